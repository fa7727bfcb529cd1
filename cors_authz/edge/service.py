"""One check: bytes in, bytes out, and never an answer that nobody decided on."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cors_authz.edge.policy_store import ActivePolicy
from cors_authz.edge.transport.interface import Metadata
from cors_authz.envoy.decode import decode
from cors_authz.envoy.encode import Encoder
from cors_authz.pdp.decide import decide, refuse_unread
from cors_authz.pdp.decision import Decision, Reason
from cors_authz.pdp.match import match
from cors_authz.pdp.readings import Readings, TokenReading

_log = logging.getLogger(__name__)


class CheckService:
    """Answers `envoy.service.auth.v3.Authorization/Check`, whatever the transport.

    Args:
        active: gives the policy in force.
        clock: gives the time in seconds since the epoch.
        timer: gives seconds from an arbitrary beginning.
        new_id: draws the id of a decision, 32 characters of `[0-9a-f]`; must not raise.
        observe: is told each decision, its id and the seconds that it took, once the answer is made; what it raises is
            logged and goes no further.
    """

    def __init__(
        self,
        active: Callable[[], ActivePolicy],
        clock: Callable[[], float],
        timer: Callable[[], float],
        new_id: Callable[[], str],
        observe: Callable[[Decision, str, float], None],
    ) -> None:
        self._active = active
        self._clock = clock
        self._timer = timer
        self._new_id = new_id
        self._observe = observe
        self._faults = Encoder(None)

    def check(self, raw: bytes, _metadata: Metadata) -> bytes:
        """Answer one CheckRequest. Never raises: a fault of ours is an answer that refuses."""
        began, now = self._timer(), 0.0
        decision_id = self._new_id()
        try:
            now = self._clock()
            active = self._active()
            decision = _decide(active, raw, now)
            answer = active.encoder.encode(decision, decision_id)
        except Exception:  # noqa: BLE001 - no exception may become an allow
            _log.exception("decision %s failed", decision_id)
            decision = refuse_unread(Reason.INTERNAL_ERROR, now)
            answer = self._faults.encode(decision, decision_id)
        try:
            self._observe(decision, decision_id, self._timer() - began)
        except Exception:  # noqa: BLE001 - a record that fails does not undo a decision
            _log.exception("decision %s was made, and could not be recorded", decision_id)
        return answer


def _decide(active: ActivePolicy, raw: bytes, now: float) -> Decision:
    request = decode(raw, active.policy.surroundings)
    if request is None:
        return refuse_unread(Reason.REQUEST_MALFORMED, now)
    facts = match(request, active.policy)
    tokens: dict[str, TokenReading] = {}
    for name in facts.needs.providers:
        tokens[name] = active.tokens.read(name, request.headers, request.metadata, now)
    return decide(facts, Readings(now, tokens))
