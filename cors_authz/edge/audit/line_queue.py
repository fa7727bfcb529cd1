"""Lines on their way from the checks to one sink: bounded, and what finds no room is counted and told."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from enum import Enum, unique
from threading import Condition
from typing import Final, NamedTuple

from cors_authz.edge.audit.options import WhenFull, WriterOptions
from cors_authz.edge.observation import NotRecordedError

_log = logging.getLogger(__name__)

LINES_OF_A_CHUNK: Final = 64
"""So many lines are put together where they were made: a thousand that lie about push the policy out of the caches."""
BLOCK_SECONDS: Final = 0.2
TELL_SECONDS: Final = 10.0


@unique
class Lost(Enum):
    """Why a line was lost: there was no room for it, or none because the sink took nothing, or it was never made."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    FULL = "full"
    UNWRITABLE = "unwritable"
    DEFECT = "defect"


_WHY: Final = {
    Lost.FULL: "takes too few; it is slower than the checks",
    Lost.UNWRITABLE: "takes too few; see that it can be written",
    Lost.DEFECT: "lacks what could not be put into words, which is a defect of ours: report this",
}


class Clocks(NamedTuple):
    """The time in seconds since the epoch, and seconds that never go back."""

    now: Callable[[], float]
    monotonic: Callable[[], float]


class _Chunk(NamedTuple):
    text: bytes
    lines: int


class LineQueue:
    """Holds lines from many threads for one that takes them.

    Args:
        target: the sink, for people.
        options: how much waits, and what happens beyond that.
        monotonic: gives seconds that never go back.
    """

    def __init__(self, target: str, options: WriterOptions, monotonic: Callable[[], float]) -> None:
        self._target = target
        self._capacity = options.queue_lines
        self._tight = options.queue_lines * 3 // 4
        self._drops = options.when_full is WhenFull.DROP_ALLOW_FIRST
        self._required = options.required
        self._monotonic = monotonic
        self._lines: list[bytes] = []
        self._chunks: deque[_Chunk] = deque()
        self._room = Condition()
        self._waiting = 0
        self._is_careful = False
        self._is_failing = False
        self._has_waited_in_vain = False
        self._told_at = -TELL_SECONDS
        self.lost = dict.fromkeys(Lost, 0)

    @property
    def waiting(self) -> int:
        """How many lines were put here and are not known to be written, nor lost."""
        return self._waiting + len(self._lines)

    def put(self, line: bytes, *, is_expendable: bool, until: float | None = None) -> None:
        """Hand over a line; returns at once, but for `WhenFull.BLOCK` where there is no room.

        Args:
            line: one JSON object and the end of its line.
            is_expendable: whether it is dropped first.
            until: when to wait no longer, by the clock that never goes back; None for `BLOCK_SECONDS` from now.

        Raises: NotRecordedError if the line is required, and lost.
        """
        if self._is_careful:
            self._put_carefully(line, is_expendable=is_expendable, until=until)
            return
        lines = self._lines
        lines.append(line)
        if len(lines) >= LINES_OF_A_CHUNK:
            with self._room:
                self._pack()

    def take(self) -> list[bytes]:
        """Take the lines that wait; they count as waiting until `written` or `lose` says what became of them."""
        with self._room:
            self._pack()
            chunks, self._chunks = self._chunks, deque()
        return [line for chunk in chunks for line in chunk.text.splitlines(keepends=True)]

    def lose(self) -> None:
        """Count a line that could not be made, while the exception that kept it from that is handled.

        Raises: NotRecordedError if lines are required.
        """
        self._lose(Lost.DEFECT)

    def written(self, lines: int) -> None:
        """Say that so many lines were written."""
        if not lines:
            # A sink that took nothing gives no room, and nobody any hope of it.
            return
        with self._room:
            # Not below none: what is given up may be written after all.
            self._waiting = max(0, self._waiting - lines)
            self._has_waited_in_vain = False
            self._watch()
            self._room.notify_all()

    def say_failing(self, *, failing: bool) -> None:
        """Say whether the sink takes nothing."""
        with self._room:
            self._is_failing = failing
            self._watch()

    def lose_all(self) -> None:
        """Count what waits as lost, with what was taken and is not known to be written: nobody writes it any more."""
        with self._room:
            self._pack()
            self._chunks.clear()
            self.lost[Lost.UNWRITABLE] += self._waiting
            self._waiting = 0

    def _pack(self) -> None:
        lines = self._lines[:]
        if lines:
            # What another thread adds meanwhile stands behind these.
            del self._lines[: len(lines)]
            self._chunks.append(_Chunk(b"".join(lines), len(lines)))
            self._waiting += len(lines)
            self._watch()

    def _watch(self) -> None:
        self._is_careful = self._waiting >= self._tight or (self._required and self._is_failing)

    def _put_carefully(self, line: bytes, *, is_expendable: bool, until: float | None) -> None:
        with self._room:
            if self._has_room(is_expendable=is_expendable, until=until):
                self._lines.append(line)
                self._pack()
                return
            reason = Lost.UNWRITABLE if self._is_failing else Lost.FULL
        self._lose(reason)

    def _lose(self, reason: Lost) -> None:
        with self._room:
            self.lost[reason] += 1
        self._tell(reason)
        if self._required:
            raise NotRecordedError(f"the audit trail takes no records: {self._target}")

    def _has_room(self, *, is_expendable: bool, until: float | None) -> bool:
        if self._required and self._is_failing:
            return False
        self._pack()
        if self._drops:
            return self._waiting < (self._tight if is_expendable else self._capacity)
        if self._waiting >= self._capacity and not (self._has_waited_in_vain or self._is_failing):
            seconds = BLOCK_SECONDS if until is None else until - self._monotonic()
            # Whoever comes after one that waited in vain does not wait as well: checks would come to a stand.
            self._has_waited_in_vain = not self._room.wait_for(self._is_below_capacity, seconds)
        return self._is_below_capacity()

    def _is_below_capacity(self) -> bool:
        return self._waiting < self._capacity

    def _tell(self, reason: Lost) -> None:
        now = self._monotonic()
        if now - self._told_at < TELL_SECONDS:
            return
        self._told_at = now
        lost = sum(self.lost.values())
        is_defect = reason is Lost.DEFECT
        _log.error(
            "the audit trail loses records, %s up to now: %s %s", lost, self._target, _WHY[reason], exc_info=is_defect
        )
