"""Texts of others, as a terminal may show them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cors_authz.policy.finding import MAX_SHOWN_CHARACTERS, Place, printable, shown

SHOWN = {
    "what prints stays": ("é\\x1b ✓", "é\\x1b ✓"),
    "a control character is its code": ("\x1b[2J\x9b", "\\x1b[2J\\x9b"),
    "a line break does not break the line": ("a\r\nb", "a\\r\\nb"),
    "what turns the direction of a line is its code": ("\u202e", "\\u202e"),
    "a byte that is no UTF-8 is its code": ("\udcff", "\\udcff"),
}


@pytest.mark.parametrize("sentence", SHOWN)
def test_what_does_not_print_is_escaped(sentence: str) -> None:
    text, expected = SHOWN[sentence]

    assert (printable(text), shown(text)) == (expected, expected)
    assert str(Place(text, 3, 1)) == f"{expected}:3:1"


@given(st.text(st.characters()))
def test_what_is_printable_has_no_controls_and_stays_as_it_is(text: str) -> None:
    escaped = printable(text)

    assert escaped.isprintable()
    assert printable(escaped) == escaped


def test_a_long_text_is_cut_where_an_author_is_quoted() -> None:
    text = "x" * MAX_SHOWN_CHARACTERS

    assert (shown(text), shown(text + "y")) == (text, text[:-1] + "…")
    assert printable(text + "y") == text + "y"
