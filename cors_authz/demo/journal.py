"""The decisions of the demo's service by their ids, for whoever wants to know why an answer is what it is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Final, NamedTuple

from cors_authz.edge.observation import Observation
from cors_authz.pdp.decision import Decision
from cors_authz.policy.finding import Place

MAX_ENTRIES: Final = 1000
"""Older decisions are forgotten."""


class Journal:
    """Remembers the last `MAX_ENTRIES` decisions. Safe to use from many threads."""

    def __init__(self) -> None:
        self._decisions: OrderedDict[str, Decision] = OrderedDict()
        self._lock = Lock()
        self._tell: Callable[[Decision, str], None] = lambda _decision, _id: None

    def record(self, seen: Observation) -> None:
        """Remember a decision, and tell the listener of it."""
        with self._lock:
            self._decisions[seen.decision_id] = seen.decision
            if len(self._decisions) > MAX_ENTRIES:
                self._decisions.popitem(last=False)
        self._tell(seen.decision, seen.decision_id)

    def listen(self, tell: Callable[[Decision, str], None]) -> None:
        """From now on, tell someone each decision and its id, in the thread that decided."""
        self._tell = tell

    def find(self, decision_id: str) -> Decision | None:
        """Find a decision; None for an id that is not known, or no longer."""
        with self._lock:
            return self._decisions.get(decision_id)

    def latest(self) -> Mapping[str, Decision]:
        """Give what is remembered, by id, the oldest first."""
        with self._lock:
            return dict(self._decisions)


class Cause(NamedTuple):
    """What in the policy led to a decision: `rule catalogue/1`, `guard clerk`, `group pages`; and where it stands."""

    what: str
    place: Place | None

    def __str__(self) -> str:
        """Write the cause as `rule catalogue/1, policy.yaml:44`."""
        return f"{self.what}, {self.place.file}:{self.place.line}" if self.place else self.what


def cause_of(decision: Decision) -> Cause:
    """Name the narrowest part of the policy that led to a decision: a guard, a rule, a group, or none of them."""
    if decision.guard is not None:
        return Cause(f"guard {decision.guard.name}", decision.guard.place)
    if decision.rule is not None:
        return Cause(f"rule {decision.rule.name}", decision.rule.place)
    if decision.group is not None:
        return Cause(f"group {decision.group.name}", decision.group.place)
    return Cause("no group", None)
