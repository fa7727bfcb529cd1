"""The service from start to end: load, listen, watch, drain."""

from __future__ import annotations

import logging
import signal
from threading import Event
from types import FrameType

import urllib3

from cors_authz.edge.clock import monotonic_seconds, new_decision_id, now_seconds
from cors_authz.edge.jwks import HttpsFetch, KeySources
from cors_authz.edge.policy_store import PolicyStore
from cors_authz.edge.server import POLICY, Health, Server
from cors_authz.edge.service import CheckService
from cors_authz.edge.settings import Settings
from cors_authz.pdp.decision import Decision

_log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises: PolicyError, PolicyFilesError, UnknownEnvironmentError, ServerError before anything is served.
    """
    keys = KeySources(HttpsFetch(urllib3.PoolManager(), monotonic_seconds), monotonic_seconds)
    health = Health()
    store = PolicyStore(
        settings.policy, settings.environment, keys, lambda in_force: health.say(POLICY, serving=in_force)
    )
    health.say(POLICY, serving=True)
    service = CheckService(lambda: store.active, now_seconds, new_decision_id, _log_decision)
    server = Server(service.check, health, settings.threads)
    ended = _ended_by_signal()
    address = server.listen(settings.listen)
    store.start()
    for finding in store.active.findings:
        _log.warning("%s", finding)
    policy = store.active.policy
    _log.info("policy %s, revision %s, decides on %s as %s", policy.name, policy.revision, address, policy.environment)
    ended.wait()
    _log.info("draining: NOT_SERVING for %s s, then what is under way", settings.drain_seconds)
    server.drain(settings.drain_seconds, settings.grace_seconds, Event().wait)
    store.stop()
    keys.stop()


def _ended_by_signal() -> Event:
    ended = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    return ended


def _log_decision(decision: Decision, decision_id: str) -> None:
    _log.debug("%s %s %s", decision_id, decision.outcome.value, decision.reason.value)
