"""Who is told of each check, and when: some checks at a time.

Told one by one, each check would push what decides out of the processor's caches, and fetch in what counts and records;
told some at a time, they cost half as much.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Final, NamedTuple, TypeAlias

from cors_authz.edge.observation import NotRecordedError, Observation, SpanIds
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Reason

_log = logging.getLogger(__name__)

AT_ONCE: Final = 32
TELL_SECONDS: Final = 0.02
"""How long a check waits at most for others to be told with it."""

SpanOf: TypeAlias = Callable[[Observation], SpanIds | None]
"""Makes the span of a check; None where it is not sampled."""
Append: TypeAlias = Callable[[Observation, SpanIds | None], None]
"""Records a check; may raise NotRecordedError."""
Count: TypeAlias = Callable[[Decision], None]
"""Counts what was decided, or whose origin it was."""
Measure: TypeAlias = Callable[[Sequence[float], SpanIds | None, float], None]
"""Measures how long a check took, by its laps, in a span, at a time."""


_Seen: TypeAlias = tuple[Observation, SpanIds | None]


class Told(NamedTuple):
    """Who is told; None is nobody."""

    span_of: SpanOf | None = None
    append: Append | None = None
    measure: Measure | None = None
    counts: tuple[Count, ...] = ()


class Observer:
    """Is told each check, and tells it on. Safe to use from many threads.

    Args:
        told: who is told.
        at_once: how many checks are told at once. With 1 each is told before its answer leaves, and refused where it
            must be recorded and cannot be.
    """

    def __init__(self, told: Told, at_once: int = AT_ONCE) -> None:
        self._told, self._at_once = told, at_once
        self._span_of = told.span_of
        self._seen: deque[_Seen] = deque()
        self._ended = Event()
        self._teller = Thread(target=self._run, name="observer", daemon=True)

    def start(self) -> None:
        """Begin to tell what waits for others in vain; once only."""
        if self._at_once > 1:
            self._teller.start()

    def stop(self) -> None:
        """Tell all of it, and wait for others no longer."""
        self._ended.set()
        if self._teller.ident is not None:
            self._teller.join()
        self.tell()

    def observe(self, seen: Observation) -> None:
        """Take a check.

        Raises: NotRecordedError.
        """
        span = self._span_of(seen) if self._span_of else None
        if self._at_once == 1:
            self._tell_one(seen, span)
            return
        self._seen.append((seen, span))
        if len(self._seen) >= self._at_once:
            self.tell()

    def tell(self) -> None:
        """Tell what was taken up to now."""
        seen = []
        try:
            while True:
                seen.append(self._seen.popleft())
        except IndexError:
            # Another thread may tell as well.
            pass
        if seen:
            self._tell(seen)

    def _tell_one(self, seen: Observation, span: SpanIds | None) -> None:
        try:
            self._tell([(seen, span)])
        except NotRecordedError:
            self._count([refuse_unread(Reason.AUDIT_UNAVAILABLE, seen.decision.now)])
            raise

    def _tell(self, seen: Sequence[_Seen]) -> None:
        _, append, measure, _ = self._told
        # One after the other: whoever is told stays in the caches until all of them are told. First whoever must be.
        if append:
            for each, span in seen:
                append(each, span)
        if measure:
            for each, span in seen:
                measure(each.laps, span, each.decision.now)
        self._count([each.decision for each, _ in seen])

    def _count(self, decisions: Sequence[Decision]) -> None:
        for count in self._told.counts:
            for decision in decisions:
                count(decision)

    def _run(self) -> None:
        while not self._ended.wait(TELL_SECONDS):
            try:
                self.tell()
            except Exception:  # noqa: BLE001 - the next ones are told
                _log.exception("checks were decided, and could not be told")
