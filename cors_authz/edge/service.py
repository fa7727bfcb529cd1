"""One check: bytes in, bytes out, and never an answer that nobody decided on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from itertools import cycle
from typing import NamedTuple

from cors_authz.edge.observation import MEASURED_OF, NO_TOKENS, NotRecordedError, Observation, Observe, Parent
from cors_authz.edge.policy_store import ActivePolicy
from cors_authz.edge.transport.interface import Metadata
from cors_authz.envoy.decode import decode
from cors_authz.envoy.encode import Encoder
from cors_authz.pdp.decide import decide, refuse_unread
from cors_authz.pdp.decision import Decision, Reason
from cors_authz.pdp.match import match
from cors_authz.pdp.readings import Readings, TokenReading

_log = logging.getLogger(__name__)


def no_parent(_metadata: Metadata) -> Parent | None:
    """Find no span that a check belongs to."""
    return None


def unobserved(_seen: Observation) -> None:
    """Tell nobody."""


class Watch(NamedTuple):
    """Who is told of each check, and how the span is found in a call's metadata that a check belongs to.

    What `observe` raises is logged and undoes no decision, but for `NotRecordedError`: that one refuses.
    """

    parent_of: Callable[[Metadata], Parent | None] = no_parent
    observe: Observe = unobserved


class CheckService:
    """Answers `envoy.service.auth.v3.Authorization/Check`, whatever the transport.

    Args:
        active: gives the policy in force.
        clock: gives the time in seconds since the epoch.
        timer: gives seconds from an arbitrary beginning.
        new_id: draws the id of a decision, 32 characters of `[0-9a-f]`; must not raise.
        watch: who is told of each check.
    """

    def __init__(
        self,
        active: Callable[[], ActivePolicy],
        clock: Callable[[], float],
        timer: Callable[[], float],
        new_id: Callable[[], str],
        watch: Watch,
    ) -> None:
        self._active = active
        self._clock = clock
        self._timer = timer
        self._new_id = new_id
        self._parent_of, self._observe = watch
        self._faults = Encoder(None)
        self._is_measured = cycle([True] + [False] * (MEASURED_OF - 1)).__next__

    def check(self, raw: bytes, metadata: Metadata) -> bytes:
        """Answer one CheckRequest. Never raises: a fault of ours is an answer that refuses."""
        laps, now, tokens = [self._timer()], 0.0, NO_TOKENS
        decision_id = self._new_id()
        try:
            now = self._clock()
            active = self._active()
            decision, tokens = self._decide(active, raw, now, laps)
            answer = active.encoder.encode(decision, decision_id)
        except Exception:  # noqa: BLE001 - no exception may become an allow
            _log.exception("decision %s failed", decision_id)
            decision, answer = self._refuse(Reason.INTERNAL_ERROR, now, decision_id)
        laps.append(self._timer())
        try:
            self._observe(Observation(decision, decision_id, laps, self._parent_of(metadata), tokens))
        except NotRecordedError:
            return self._refuse(Reason.AUDIT_UNAVAILABLE, now, decision_id).answer
        except Exception:  # noqa: BLE001 - a record that fails does not undo a decision
            _log.exception("decision %s was made, and could not be recorded", decision_id)
        return answer

    def _decide(
        self, active: ActivePolicy, raw: bytes, now: float, laps: list[float]
    ) -> tuple[Decision, Mapping[str, TokenReading]]:
        is_measured = self._is_measured()
        request = decode(raw, active.policy.surroundings)
        if is_measured:
            laps.append(self._timer())
        if request is None:
            return refuse_unread(Reason.REQUEST_MALFORMED, now), NO_TOKENS
        facts = match(request, active.policy)
        if is_measured:
            laps.append(self._timer())
        tokens: dict[str, TokenReading] = {}
        for name in facts.needs.providers:
            tokens[name] = active.tokens.read(name, request.headers, request.metadata, now)
        if is_measured:
            laps.append(self._timer())
        decision = decide(facts, Readings(now, tokens))
        if is_measured:
            laps.append(self._timer())
        return decision, tokens

    def _refuse(self, reason: Reason, now: float, decision_id: str) -> _Refusal:
        decision = refuse_unread(reason, now)
        return _Refusal(decision, self._faults.encode(decision, decision_id))


class _Refusal(NamedTuple):
    decision: Decision
    answer: bytes
