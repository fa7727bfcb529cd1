"""What was decided, how often, and how long it took: counted in place, read whenever somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from threading import Lock
from typing import Final, NamedTuple

from cors_authz.pdp.decision import Decision, Outcome, Reason

BOUNDS_SECONDS: Final = (25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3)
"""The upper bounds of the buckets of durations; one more bucket takes what is longer."""


class Decided(NamedTuple):
    """What decisions are counted by; `group` is empty where no route matched."""

    outcome: Outcome
    reason: Reason
    group: str


class Counts(NamedTuple):
    """All that was counted since the start. `durations` has one count for each bound and one for what is beyond."""

    decisions: Counter[Decided]
    durations: tuple[int, ...]
    seconds: float


class Counters:
    """Counts decisions. Safe to use from many threads; OpenTelemetry's instruments would cost forty times as much."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._decisions: dict[tuple[Outcome, Reason, str], int] = {}
        self._durations = [0] * (len(BOUNDS_SECONDS) + 1)
        self._seconds = 0.0

    def count(self, decision: Decision, seconds: float) -> None:
        """Count a decision that took so many seconds."""
        facts = decision.facts
        group = facts.group.name if facts and facts.group else ""
        decided = (decision.outcome, decision.reason, group)
        bucket = bisect_left(BOUNDS_SECONDS, seconds)
        with self._lock:
            self._decisions[decided] = self._decisions.get(decided, 0) + 1
            self._durations[bucket] += 1
            self._seconds += seconds

    def read(self) -> Counts:
        """Give what was counted up to now."""
        with self._lock:
            decisions = Counter({Decided(*decided): count for decided, count in self._decisions.items()})
            return Counts(decisions, tuple(self._durations), self._seconds)
