"""Is the chain of an audit trail whole? Every line that was removed, changed, moved or put in is named by its place.

Files are read once, in any order, and what is kept of them does not grow with their lines: of each writer in each file
its first line, its last, and the numbers that are missing between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Final, NamedTuple, Protocol, TypeAlias

import orjson

from cors_authz.review.audit.chain import BEGINNING, Chained, Head, read_chained, signed_text

MAX_BREACHES: Final = 1000
"""So many are listed; all are counted."""
MAX_SEGMENTS: Final = 20_000
"""So many writers are followed in all files together; a process that is started anew is another writer."""
_MAX_GAPS: Final = 1000
_BEGIN: Final = b'{"'


@unique
class Fault(Enum):
    """What happened to a line."""

    CHANGED = "changed"
    REMOVED = "removed"
    REORDERED = "re-ordered"
    DUPLICATED = "duplicated"
    FOREIGN = "foreign"
    FORGED = "forged"


class At(NamedTuple):
    """A line of a file: the file's number among those that are read, and the line's, from 1."""

    file: int
    line: int


class Breach(NamedTuple):
    """A fault, where it shows, and what it is, in words."""

    at: At
    fault: Fault
    text: str


class Tail(NamedTuple):
    """The lines at a writer's end that no head anchors: the first of them, and how many they are."""

    writer: str
    at: At
    lines: int


class Loss(NamedTuple):
    """So many records were lost before a head, after the head of its writer before it: no line says what they were."""

    at: At
    records: int


class Report(NamedTuple):
    """What was found.

    `signed` are heads that are signed with a key that was given, `lost` the records that heads tell of as lost. `torn`
    are lines that were not ended, `empty` the files without a line of any writer, `unproven` first lines of a writer
    here that nothing shows to be as they were written. `open_ends` are the writers that did not say that they end,
    `begins_late` those whose beginning is not in these files, with the number of their first line here.
    """

    breaches: tuple[Breach, ...]
    breach_count: int
    records: int
    heads: int
    signed: int
    lost: int
    losses: tuple[Loss, ...]
    writers: tuple[str, ...]
    tails: tuple[Tail, ...]
    torn: tuple[At, ...]
    empty: tuple[int, ...]
    unproven: tuple[At, ...]
    open_ends: tuple[str, ...]
    begins_late: tuple[tuple[str, int], ...]


class Keys(Protocol):
    """Public keys, by their ids."""

    def verifies(self, key_id: str, signature: bytes, message: bytes) -> bool | None:
        """Tell whether a signature is the key's; None for a key that is not among these."""


Names: TypeAlias = Sequence[str]


class _Gap(NamedTuple):
    """Numbers that are missing, both included, before a line."""

    first: int
    last: int
    at: At


@dataclass(slots=True)
class _Segment:
    """A writer in one file."""

    first: Chained
    first_at: At
    last: Chained
    last_at: At
    gaps: list[_Gap] = field(default_factory=list)
    is_anchored: bool = False
    tail_at: At | None = None
    tail_lines: int = 0


class Verifier:
    """Reads the lines of audit files, and tells at the end what is wrong with them.

    Args:
        names: of the files, for what is said.
        keys: with which every head must be signed; None takes heads as they are.
    """

    def __init__(self, names: Names, keys: Keys | None) -> None:
        self._names = names
        self._keys = keys
        self._segments: dict[tuple[str, int], _Segment] = {}
        self._breaches: list[Breach] = []
        self._breach_count = 0
        self._torn: list[At] = []
        self._records = 0
        self._heads = 0
        self._signed = 0
        self._lost = 0
        self._losses: list[Loss] = []

    def read(self, file: int, lines: Iterable[bytes]) -> None:
        """Read a file's lines, each once; a line that is too long to be one may come in pieces."""
        for number, line in enumerate(lines, 1):
            text = line.rstrip(b"\n")
            if text:
                self._take(text, At(file, number))

    def report(self) -> Report:
        """Put the files together, and tell what was found; once only."""
        segments = sorted(self._segments.values(), key=lambda each: (each.first.writer, each.first.seq, each.first_at))
        by_writer = {writer: list(group) for writer, group in groupby(segments, key=lambda each: each.first.writer)}
        for run in by_writer.values():
            self._join(run)
        if self._keys is not None and not by_writer:
            self._object(At(0, 1), Fault.REMOVED, "no line of a writer is in these files, so nothing is proven")
        tails = (_tail_of(writer, run) for writer, run in by_writer.items())
        return Report(
            breaches=tuple(sorted(self._breaches, key=attrgetter("at"))),
            breach_count=self._breach_count,
            records=self._records,
            heads=self._heads,
            signed=self._signed,
            lost=self._lost,
            losses=tuple(self._losses),
            writers=tuple(by_writer),
            tails=tuple(tail for tail in tails if tail is not None),
            torn=tuple(self._torn),
            empty=tuple(sorted(set(range(len(self._names))) - {file for _, file in self._segments})),
            unproven=tuple(run[0].first_at for run in by_writer.values() if self._is_unproven(run[0].first)),
            open_ends=tuple(writer for writer, run in by_writer.items() if not _is_ended(run[-1])),
            begins_late=tuple((writer, run[0].first.seq) for writer, run in by_writer.items() if run[0].first.seq > 1),
        )

    def _take(self, text: bytes, at: At) -> None:
        chained = read_chained(text)
        if chained is None:
            self._take_other(text, at)
            return
        self._records += chained.head is None
        segment = self._segments.get((chained.writer, at.file))
        if segment is not None:
            self._continue(segment, chained, at)
        elif len(self._segments) < MAX_SEGMENTS:
            segment = self._segments[chained.writer, at.file] = _Segment(chained, at, chained, at)
        else:
            self._object(at, Fault.FOREIGN, f"there are more than {MAX_SEGMENTS} writers; give fewer files at once")
            return
        self._anchor(segment, chained, at)

    def _take_other(self, text: bytes, at: At) -> None:
        if _is_torn(text):
            self._torn += [at] if len(self._torn) < MAX_BREACHES else []
        else:
            self._object(at, Fault.FOREIGN, "no writer wrote this line: it is in no chain")

    def _continue(self, segment: _Segment, chained: Chained, at: At) -> None:
        last = segment.last
        if chained.seq <= last.seq:
            self._object_to_order(segment, chained, at)
            return
        self._object_behind_end(segment, at)
        if chained.seq > last.seq + 1:
            segment.gaps.append(_Gap(last.seq + 1, chained.seq - 1, at))
            self._bound_gaps(segment)
            self._hold_to(chained, _said_by(chained), at)
        else:
            self._hold_to(chained, last.hash, at, segment.last_at)
        segment.last, segment.last_at = chained, at

    def _object_to_order(self, segment: _Segment, chained: Chained, at: At) -> None:
        seq = chained.seq
        for index, gap in enumerate(segment.gaps):
            if gap.first <= seq <= gap.last:
                rest = (_Gap(gap.first, seq - 1, gap.at), _Gap(seq + 1, gap.last, gap.at))
                segment.gaps[index : index + 1] = [each for each in rest if each.first <= each.last]
                where = self._place(segment.last_at)
                self._object(
                    at, Fault.REORDERED, f"number {seq} of its writer stands behind number {segment.last.seq}, {where}"
                )
                return
        self._object(at, Fault.DUPLICATED, f"number {seq} of its writer stands here again")

    def _object_behind_end(self, segment: _Segment, at: At) -> None:
        if _is_ended(segment):
            self._object(at, Fault.FOREIGN, f"its writer ended before this line, {self._place(segment.last_at)}")

    def _bound_gaps(self, segment: _Segment) -> None:
        if len(segment.gaps) > _MAX_GAPS:
            self._object_to_gap(segment.gaps.pop(0))

    def _anchor(self, segment: _Segment, chained: Chained, at: At) -> None:
        if chained.head is None:
            segment.tail_at = segment.tail_at or at
            segment.tail_lines += 1
            return
        self._take_head(chained.head, at)
        if self._is_signed(chained, at):
            segment.is_anchored, segment.tail_at, segment.tail_lines = True, None, 0

    def _take_head(self, head: Head, at: At) -> None:
        self._heads += 1
        self._lost += head.lost
        if head.lost and len(self._losses) < MAX_BREACHES:
            self._losses.append(Loss(at, head.lost))

    def _is_signed(self, chained: Chained, at: At) -> bool:
        """Tell whether a head anchors what is before it."""
        if self._keys is None or chained.head is None:
            return True
        head = chained.head
        if not head.key_id:
            self._object(at, Fault.FORGED, "this head is not signed, and a key was given")
            return False
        is_signed = self._keys.verifies(head.key_id, head.signature, signed_text(chained.hash))
        if is_signed is None:
            self._object(at, Fault.FORGED, f"this head is signed with key {head.key_id}, which was not given")
        elif not is_signed:
            self._object(at, Fault.FORGED, f"the signature of this head is not that of key {head.key_id}")
        self._signed += bool(is_signed)
        return bool(is_signed)

    def _join(self, run: list[_Segment]) -> None:
        """Hold the files of one writer against each other."""
        for segment in run:
            for gap in segment.gaps:
                self._object_to_gap(gap)
        first, at = run[0].first, run[0].first_at
        self._hold_to(first, BEGINNING if first.seq == 1 else _said_by(first), at)
        if self._keys is not None and first.head is None:
            self._object(at, Fault.FORGED, "this line is the first of its writer here, and no signed head proves it")
        for former, latter in pairwise(run):
            self._hold_together(former, latter)

    def _is_unproven(self, first: Chained) -> bool:
        """Tell whether the first line of a writer may have been changed; where there are keys, that is a breach."""
        return self._keys is None and first.seq > 1 and first.head is None

    def _hold_together(self, former: _Segment, latter: _Segment) -> None:
        first, at, expected = latter.first, latter.first_at, former.last.seq + 1
        if first.seq < expected:
            text = f"numbers {first.seq} to {min(former.last.seq, latter.last.seq)} of its writer"
            self._object(at, Fault.DUPLICATED, f"{text} stand here and up to {self._place(former.last_at)}")
            return
        self._object_behind_end(former, at)
        if first.seq > expected:
            self._object_to_gap(_Gap(expected, first.seq - 1, at))
            self._hold_to(first, _said_by(first), at)
        else:
            self._hold_to(first, former.last.hash, at, former.last_at)

    def _hold_to(self, chained: Chained, previous: bytes | None, at: At, previous_at: At | None = None) -> None:
        """Hold a line against the hash of the one before, as far as that is known."""
        if previous is not None and not chained.follows(previous):
            after = f" after {self._place(previous_at)}, or that was changed" if previous_at else ""
            self._object(at, Fault.CHANGED, f"this line is not what was written{after}")

    def _object_to_gap(self, gap: _Gap) -> None:
        count = gap.last - gap.first + 1
        lines = f"line {gap.first}" if count == 1 else f"{count} lines, {gap.first} to {gap.last},"
        self._object(
            gap.at, Fault.REMOVED, f"{lines} of its writer {'is' if count == 1 else 'are'} missing before this one"
        )

    def _object(self, at: At, fault: Fault, text: str) -> None:
        self._breach_count += 1
        if len(self._breaches) < MAX_BREACHES:
            self._breaches.append(Breach(at, fault, text))

    def _place(self, at: At) -> str:
        return f"{self._names[at.file]}:{at.line}"


def _said_by(chained: Chained) -> bytes | None:
    """Give the hash before a line as the line itself names it: a head does."""
    return chained.head.previous if chained.head else None


def _is_torn(text: bytes) -> bool:
    """Tell whether a line begins as a writer begins one, and has no end."""
    if not text.startswith(_BEGIN):
        # A system that stops may leave zeros where it had not yet put what was written.
        return _BEGIN.startswith(text.strip(b"\0"))
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return True
    return False


def _tail_of(writer: str, run: Sequence[_Segment]) -> Tail | None:
    at: At | None = None
    lines = 0
    for segment in run:
        if segment.is_anchored:
            at, lines = None, 0
        at = at or segment.tail_at
        lines += segment.tail_lines
    return Tail(writer, at, lines) if at is not None else None


def _is_ended(segment: _Segment) -> bool:
    return segment.last.head is not None and segment.last.head.is_end
