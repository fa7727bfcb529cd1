"""One process that decides: a policy in force, the issuers' keys, health and a transport."""

from __future__ import annotations

import logging
from threading import Event

import urllib3

from cors_authz.edge.clock import monotonic_seconds, new_decision_id, now_seconds, timer_seconds
from cors_authz.edge.jwks import HttpsFetch, KeySources
from cors_authz.edge.policy_store import PolicyStore
from cors_authz.edge.service import CheckService
from cors_authz.edge.settings import Settings
from cors_authz.edge.transport.choose import open_transport
from cors_authz.edge.transport.health import POLICY, Health
from cors_authz.edge.watchers import Watchers

_log = logging.getLogger(__name__)


class Serving:
    """Answers Envoy's checks and health checks by `store`, once a policy is in force there.

    Args:
        settings: those of the service.
        worker: the number of this process where there are several.

    Raises: SettingsError for what cannot be watched as it is asked for, TransportError if there can be no transport.
    """

    def __init__(self, settings: Settings, worker: int | None = None) -> None:
        self._settings = settings
        self._keys = KeySources(HttpsFetch(urllib3.PoolManager(), monotonic_seconds), monotonic_seconds)
        self._health = Health()
        self._listens = False
        self._watchers = Watchers(settings, worker)
        self.store = PolicyStore(self._keys, let_go=self._watchers.let_go)
        watch = self._watchers.watch()
        service = CheckService(lambda: self.store.active, now_seconds, timer_seconds, new_decision_id, watch)
        self._transport = open_transport(service.check, self._health, now_seconds, settings.transport)
        self._watchers.show((self.store.samples, self._keys.samples, self._transport.samples))

    def listen(self, address: str) -> str:
        """Answer at an address, and return it with the port that the system chose.

        Raises: TransportError.
        """
        bound = self._transport.listen(address)
        if not self._listens:
            self._watchers.start()
        self._listens = True
        return bound

    def say_newest(self, *, in_force: bool) -> None:
        """Say whether the newest version of the policy is the one in force."""
        self._health.say(POLICY, serving=in_force)
        self.store.say_newest(in_force=in_force)

    def drain(self) -> None:
        """Say that we leave, give Envoy time to notice, finish what is under way."""
        _log.info("draining: NOT_SERVING for %s s, then what is under way", self._settings.drain_seconds)
        self._end(self._settings.drain_seconds)

    def leave(self) -> None:
        """Leave without notice: nobody new is let in, what is under way is finished."""
        self._end(0.0)

    def stop(self) -> None:
        """End what goes on in the background, and write what is not written yet; once only."""
        self._keys.stop()
        self._watchers.stop()

    def _end(self, notice_seconds: float) -> None:
        if self._listens:
            self._transport.drain(notice_seconds, self._settings.grace_seconds, Event().wait)
