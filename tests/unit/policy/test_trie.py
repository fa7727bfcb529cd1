"""Patterns over names: what a trie finds is what each pattern, asked by itself, matches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final, NamedTuple

import pytest

from cors_authz.policy.pattern import Piece, Slot
from cors_authz.policy.trie import Trie


class Filed(NamedTuple):
    """A pattern with `/` between its pieces: a name, `*` for any one, `v*` for one that begins so; `**` is below."""

    text: str

    @property
    def below(self) -> bool:
        """Whether it is filed for one or more names beyond its pieces."""
        return self.text.endswith("**")

    @property
    def pieces(self) -> tuple[str, ...]:
        """What it says of each name."""
        return tuple(piece for piece in self.text.removesuffix("**").split("/") if piece)

    def matches(self, names: Sequence[str]) -> bool:
        """Tell whether all of the names fit, as the words say it."""
        pieces = self.pieces
        has_length = len(names) > len(pieces) if self.below else len(names) == len(pieces)
        return has_length and all(_fits(name, piece) for name, piece in zip(names, pieces, strict=False))


def _fits(name: str, piece: str) -> bool:
    prefix = piece.removesuffix("*")
    return name == piece if prefix == piece else name.startswith(prefix) and name != prefix


def _filed_under(piece: str) -> Piece:
    prefix = piece.removesuffix("*")
    return (piece,) if prefix == piece else (prefix, Slot.SEGMENT) if prefix else (Slot.SEGMENT,)


def trie_of(patterns: Sequence[Filed]) -> Trie[Filed]:
    trie: Trie[Filed] = Trie()
    for pattern in patterns:
        trie.add(tuple(map(_filed_under, pattern.pieces)), pattern, below=pattern.below)
    return trie


TABLES: Final = {
    "nothing": "",
    "the root alone": "/",
    "all below the root": "**",
    "literals of one branch": "/ a a/b a/b/a a/b/a/b",
    "literals of several branches": "a b a/a a/b b/a b/b/a",
    "below at each depth of one branch": "** a/** a/b/** a/b/a/**",
    "below and here at each depth of one branch": "/ ** a a/** a/b a/b/** a/b/a a/b/a/**",
    "below above a literal that ends": "** a a/b",
    "below above a branch that skips it": "** a/b a/b/a/**",
    "twice the same": "a/** a/** a/b a/b",
    "a slot at the root": "* a a/b",
    "a slot under a literal": "a/* a/b a/b/a",
    "a slot under below": "** a/** a/* a/b/*/** a/b/a",
    "below at each depth of a branch that ends in slots": "** a/** a/b/** a/b/*/** a/b/*/b a/b/a/v1",
    "below under slots": "*/** */*/** */b/** a/*/** a/b/**",
    "slots that overlap": "* v* v1 */* v*/* */v* v*/v* v1/v1",
    "one slot, four patterns": "a/v*/a a/v*/b a/v*/** a/v*",
    "all kinds at once": "/ ** a a/** a/* a/b a/b/** */b/** */*/v* v*/** v1/a v*/a/b",
}
NAMES: Final = ("a", "b", "v", "v1")
ASKED: Final = [names for length in range(5) for names in product(NAMES, repeat=length)]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_trie_finds_what_each_pattern_matches_by_itself(table: str) -> None:
    patterns = sorted(map(Filed, table.split()))
    trie = trie_of(patterns)
    # Asked twice: to give what is found must not change what is filed.
    for names in (*ASKED, *ASKED):
        assert sorted(trie.find(names)) == [pattern for pattern in patterns if pattern.matches(names)]


FOUND: Final = {
    "the name itself": ("a", {"a", "**"}),
    "a name below": ("a/b", {"a/**", "a/*", "a/b", "**"}),
    "two names below": ("a/b/a", {"a/**", "a/b/**", "**"}),
    "a name that a slot takes": ("a/v1", {"a/**", "a/*", "**"}),
    "another name": ("b/a", {"**"}),
    "no name": ("", set[str]()),
}


@pytest.mark.parametrize(("asked", "then"), FOUND.values(), ids=FOUND)
def test_what_is_found_by_hand(asked: str, then: set[str]) -> None:
    trie = trie_of([*map(Filed, ("**", "a", "a/**", "a/*", "a/b", "a/b/**"))])
    found = trie.find(tuple(name for name in asked.split("/") if name))
    assert sorted(pattern.text for pattern in found) == sorted(then)
