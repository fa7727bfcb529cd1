"""Pairs of patterns that may overlap, found by what stands at each depth of them: most pairs are never looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, product
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from cors_authz.policy.effort import Effort
from cors_authz.policy.ends import EndsIndex
from cors_authz.policy.pattern import Piece, piece_matcher

T = TypeVar("T")

# In the steps of a search: one comparison of a pair, and one item at one depth.
_STEPS_OF_A_PAIR: Final = 16
_STEPS_OF_AN_ITEM: Final = 4


class Item(NamedTuple, Generic[T]):
    """A value with its pieces; `open` goes on beyond them."""

    value: T
    pieces: tuple[Piece, ...]
    open: bool


class _Split(NamedTuple, Generic[T]):
    """Items by what stands at one depth: nothing more, anything, one name, or a slotted piece."""

    ended: list[Item[T]]
    open: list[Item[T]]
    literal: dict[str, list[Item[T]]]
    slotted: dict[Piece, list[Item[T]]]


_Branches: TypeAlias = tuple[list[Item[T]], list[Item[T]]]


class Candidates(Generic[T]):
    """Gives the pairs of items that may overlap: all that do, and few that do not.

    Args:
        effort: what pairs are counted against; EffortSpentError is raised once it is spent.
    """

    def __init__(self, effort: Effort) -> None:
        self._effort = effort

    def among(self, items: list[Item[T]]) -> Iterator[tuple[T, T]]:
        """Give the pairs among items."""
        pending = [(items, 0)]
        while pending:
            group, depth = pending.pop()
            if len(group) < 2:  # noqa: PLR2004 - a pair
                continue
            self._effort.spend(len(group) * _STEPS_OF_AN_ITEM)
            split = _split(group, depth)
            yield from self._counted(combinations(split.ended, 2))
            yield from self._counted(combinations(split.open, 2))
            yield from self._counted(product(split.open, [item for item in group if not _is_open_at(item, depth)]))
            branches = [*split.literal.values(), *split.slotted.values()]
            pending.extend((branch, depth + 1) for branch in branches)
            for left, right in self._meeting_within(split):
                yield from self.between(left, right, depth + 1)

    def between(self, left: list[Item[T]], right: list[Item[T]], depth: int = 0) -> Iterator[tuple[T, T]]:
        """Give the pairs of one item of each side, of items that may meet up to a depth."""
        pending = [(left, right, depth)]
        while pending:
            ones, others, at = pending.pop()
            self._effort.spend((len(ones) + len(others)) * _STEPS_OF_AN_ITEM)
            one, other = _split(ones, at), _split(others, at)
            yield from self._counted(product(one.ended, other.ended))
            yield from self._counted(product(one.open, others))
            yield from self._counted(product((item for item in ones if not _is_open_at(item, at)), other.open))
            pending.extend((a, b, at + 1) for a, b in self._meeting(one, other))

    def _counted(self, pairs: Iterable[tuple[Item[T], Item[T]]]) -> Iterator[tuple[T, T]]:
        for one, other in pairs:
            self._effort.spend(_STEPS_OF_A_PAIR)
            yield one.value, other.value

    def _look_at(self, count: int) -> None:
        self._effort.spend(count * _STEPS_OF_A_PAIR)

    def _meeting_within(self, split: _Split[T]) -> Iterator[_Branches[T]]:
        """Give the branches of one split that may meet: two slotted pieces, or a slotted piece and a name that fits."""
        slotted = list(split.slotted.values())
        index = EndsIndex(list(split.slotted))
        for position, piece in enumerate(split.slotted):
            for other in index.meeting(piece, self._look_at):
                if other > position:
                    yield slotted[position], slotted[other]
        yield from self._slotted_and_literal(split.slotted, split.literal)

    def _meeting(self, one: _Split[T], other: _Split[T]) -> Iterator[_Branches[T]]:
        """Give the branches of two splits that may meet."""
        for name, named in one.literal.items():
            if name in other.literal:
                yield named, other.literal[name]
        yield from self._slotted_and_slotted(one.slotted, other.slotted)
        yield from self._slotted_and_literal(one.slotted, other.literal)
        for items, named in self._slotted_and_literal(other.slotted, one.literal):
            yield named, items

    def _slotted_and_slotted(
        self, ones: Mapping[Piece, list[Item[T]]], others: Mapping[Piece, list[Item[T]]]
    ) -> Iterator[_Branches[T]]:
        if ones and others:
            index, branches = EndsIndex(list(others)), list(others.values())
            for piece, items in ones.items():
                yield from ((items, branches[position]) for position in index.meeting(piece, self._look_at))

    def _slotted_and_literal(
        self, slotted: Mapping[Piece, list[Item[T]]], literal: Mapping[str, list[Item[T]]]
    ) -> Iterator[_Branches[T]]:
        if not (slotted and literal):
            return
        names, branches = list(literal), list(literal.values())
        index = EndsIndex([(name,) for name in names])
        for piece, items in slotted.items():
            fits = piece_matcher(piece)
            for position in index.meeting(piece, self._look_at):
                if fits(names[position]):
                    yield items, branches[position]


def _split(items: Iterable[Item[T]], depth: int) -> _Split[T]:
    split: _Split[T] = _Split([], [], {}, {})
    for item in items:
        if depth == len(item.pieces):
            (split.open if item.open else split.ended).append(item)
            continue
        piece = item.pieces[depth]
        if len(piece) == 1 and isinstance(piece[0], str):
            split.literal.setdefault(piece[0], []).append(item)
        else:
            split.slotted.setdefault(piece, []).append(item)
    return split


def _is_open_at(item: Item[T], depth: int) -> bool:
    return item.open and depth == len(item.pieces)
