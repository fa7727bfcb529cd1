"""Labels and segments by the text that they begin and end with, which tells most of them apart without a search."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from cors_authz.policy.pattern import Piece

_FEW: Final = 16
"""To look at so many takes no longer than to look them up."""
_AFTER_EVERY_LETTER: Final = "\U0010ffff"


class Ends(NamedTuple):
    """The text before the first slot of a piece, and the text after its last; of a literal piece both are all of it."""

    begin: str
    end: str

    def may_meet(self, other: Ends) -> bool:
        """Tell whether some text may begin and end as both do; where this is False, no text fits both pieces."""
        return _go_together(self.begin, other.begin, str.startswith) and _go_together(self.end, other.end, str.endswith)


def ends_of(piece: Piece) -> Ends:
    """Give the ends of a piece."""
    first, last = piece[0], piece[-1]
    return Ends(first if isinstance(first, str) else "", last if isinstance(last, str) else "")


def _go_together(one: str, other: str, fits: Callable[[str, str], bool]) -> bool:
    return fits(one, other) or fits(other, one)


class EndsIndex:
    """Finds, among many pieces, those that may meet another one, without a look at each."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self._ends = [ends_of(piece) for piece in pieces]
        is_large = len(pieces) > _FEW
        self._begins = _Beginnings([ends.begin for ends in self._ends]) if is_large else None
        self._reversed_ends = _Beginnings([ends.end[::-1] for ends in self._ends]) if is_large else None

    def meeting(self, piece: Piece, look_at: Callable[[int], object]) -> Iterator[int]:
        """Give the positions, in their order, of the pieces whose ends may meet those of a piece.

        Args:
            piece: any.
            look_at: told how many pieces are about to be looked at.
        """
        ends = ends_of(piece)
        near = self._near(ends)
        look_at(len(near))
        return (position for position in near if ends.may_meet(self._ends[position]))

    def _near(self, ends: Ends) -> Sequence[int]:
        """Look up by the end that tells more."""
        if self._begins is None or self._reversed_ends is None:
            return range(len(self._ends))
        return min(self._begins.like(ends.begin), self._reversed_ends.like(ends.end[::-1]), key=_size).positions()


class _Runs(NamedTuple):
    order: Sequence[int]
    runs: Sequence[slice]

    def positions(self) -> list[int]:
        return sorted(chain.from_iterable(self.order[run] for run in self.runs))


def _size(found: _Runs) -> int:
    return sum(run.stop - run.start for run in found.runs)


class _Beginnings:
    """Texts in alphabetical order, where those that begin alike stand together."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._order = sorted(range(len(texts)), key=texts.__getitem__)
        self._texts = [texts[position] for position in self._order]
        self._lengths = sorted(set(map(len, texts)))

    def like(self, text: str) -> _Runs:
        """Find the texts that a text begins with, and those that begin with it."""
        shorter = self._lengths[: bisect_left(self._lengths, len(text))]
        begun_with = (self._run(text[:length]) for length in shorter)
        longer = slice(bisect_left(self._texts, text), bisect_left(self._texts, text + _AFTER_EVERY_LETTER))
        return _Runs(self._order, [*begun_with, longer])

    def _run(self, text: str) -> slice:
        return slice(bisect_left(self._texts, text), bisect_right(self._texts, text))
