"""Pieces by their ends: all that may meet another one are found, and few that do not."""

from __future__ import annotations

from itertools import product
from typing import Final

import pytest

from cors_authz.policy.ends import Ends, EndsIndex, ends_of
from cors_authz.policy.pattern import Piece, Slot

CASES: Final = {
    "a name": (("shop",), Ends("shop", "shop")),
    "a slot": ((Slot.SLUG,), Ends("", "")),
    "text around a slot": (("pr-", Slot.DIGITS, "-x"), Ends("pr-", "-x")),
    "text between slots": ((Slot.DIGITS, "-x-", Slot.HEX), Ends("", "")),
}


@pytest.mark.parametrize(("piece", "ends"), CASES.values(), ids=CASES)
def test_ends(piece: Piece, ends: Ends) -> None:
    assert ends_of(piece) == ends


@pytest.mark.parametrize(
    ("one", "other", "may_meet"),
    [
        (Ends("", ""), Ends("a", "b"), True),
        (Ends("pr-", ""), Ends("p", "x"), True),
        (Ends("pr-", ""), Ends("ps", ""), False),
        (Ends("", "-12"), Ends("", "12"), True),
        (Ends("", "-12"), Ends("", "-2"), False),
    ],
)
def test_whether_they_may_meet(one: Ends, other: Ends, may_meet: bool) -> None:  # noqa: FBT001 - a table
    assert (one.may_meet(other), other.may_meet(one)) == (may_meet, may_meet)


def test_an_index_finds_what_a_look_at_each_finds() -> None:
    texts = ["", "a", "ab", "b", "abc", "ba"]
    pieces: list[Piece] = [(Slot.SLUG,)]
    pieces += [tuple(part for part in (begin, Slot.SLUG, end) if part) for begin, end in product(texts, texts)]
    pieces += [(text,) for text in texts if text]
    index = EndsIndex(pieces)
    for piece in pieces:
        expected = [at for at, other in enumerate(pieces) if ends_of(piece).may_meet(ends_of(other))]
        assert list(index.meeting(piece, lambda _: None)) == expected


@pytest.mark.parametrize("numbered_first", [True, False])
def test_it_looks_only_at_what_the_better_end_leaves(numbered_first: bool) -> None:  # noqa: FBT001 - a table
    pieces: list[Piece] = [
        (f"a{number}-", Slot.DIGITS, "-x") if numbered_first else ("pr-", Slot.DIGITS, f"-{number}")
        for number in range(100)
    ]
    looked: list[int] = []
    index = EndsIndex(pieces)
    assert [list(index.meeting(piece, looked.append)) for piece in pieces] == [[number] for number in range(100)]
    assert looked == [1] * 100
