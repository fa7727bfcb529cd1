"""Patterns over a sequence of names (host labels from the right, path segments), found without a scan over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

from cors_authz.policy.pattern import Piece, piece_matcher

T = TypeVar("T")


class _Slotted(NamedTuple, Generic[T]):
    piece: Piece
    matches: Callable[[str], bool]
    node: _Node[T]

    def __reduce__(self) -> tuple[object, ...]:
        """Travel without the matcher, a closure, which is made again on arrival."""
        return _slotted, (self.piece, self.node)


_NO_BRANCHES: Final[dict[str, Any]] = {}


@dataclass(slots=True)
class _Node(Generic[T]):
    """Where a pattern leads; what is empty is the same object in all of them, which is always in the caches."""

    literal: dict[str, _Node[T]] = field(default_factory=lambda: _NO_BRANCHES)
    slotted: tuple[_Slotted[T], ...] = ()
    here: tuple[T, ...] = ()
    below: tuple[T, ...] = ()


class Trie(Generic[T]):
    """Values by pattern. Filled while a policy is compiled, only read afterwards.

    A look-up follows at most one literal and the slotted branches per name: its cost grows with the patterns that
    begin like the names, not with all of them.
    """

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pieces: Sequence[Piece], value: T, *, below: bool = False) -> None:
        """File a value under a pattern; `below` files it for one or more further names as well, and not for none."""
        node = self._root
        for piece in pieces:
            node = _child(node, piece)
        if below:
            node.below = (*node.below, value)
        else:
            node.here = (*node.here, value)

    def find(self, names: Sequence[str]) -> Sequence[T]:
        """Give the values of every pattern that matches all of the names, in no order."""
        node = self._root
        found: tuple[T, ...] = ()
        # Most names lead down one branch.
        for depth, name in enumerate(names):
            if node.slotted:
                return [*found, *self._search(node, depth, names)]
            if node.below:
                found = found + node.below if found else node.below
            child = node.literal.get(name)
            if child is None:
                return found
            node = child
        return found + node.here if found else node.here

    def _search(self, start: _Node[T], depth: int, names: Sequence[str]) -> list[T]:
        found: list[T] = []
        pending = [(start, depth)]
        length = len(names)
        while pending:
            node, depth = pending.pop()
            if depth == length:
                found += node.here
                continue
            found += node.below
            name = names[depth]
            if (child := node.literal.get(name)) is not None:
                pending.append((child, depth + 1))
            pending += [(branch.node, depth + 1) for branch in node.slotted if branch.matches(name)]
        return found


def _child(node: _Node[T], piece: Piece) -> _Node[T]:
    if len(piece) == 1 and isinstance(piece[0], str):
        if not node.literal:
            node.literal = {}
        return node.literal.setdefault(piece[0], _Node())
    for branch in node.slotted:
        if branch.piece == piece:
            return branch.node
    child: _Node[T] = _Node()
    node.slotted = (*node.slotted, _slotted(piece, child))
    return child


def _slotted(piece: Piece, node: _Node[T]) -> _Slotted[T]:
    return _Slotted(piece, piece_matcher(piece), node)
