"""Targets: whoever writes a path in another way writes the same path, and what is read is in normal form."""

from __future__ import annotations

import string
from typing import Final
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from cors_authz.fetch.target import read_target

ODD: Final = '|^`"<>{}[]*'
CHARACTERS: Final = string.ascii_letters + string.digits + "-._~!$&'()+,=:@" + ODD

characters = st.sampled_from(CHARACTERS)
segments = st.lists(characters, min_size=1, max_size=8).map("".join)
paths = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))
targets = st.text("/;%.\\2FfBb3Cc5" + CHARACTERS, max_size=24).map(lambda text: f"/{text}")


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, str]:
    """Give a path, and the same path with some of its characters encoded."""
    path = draw(paths)
    encoded = [draw(st.sampled_from([letter, f"%{ord(letter):02x}", f"%{ord(letter):02X}"])) for letter in path]
    return path, "".join(code if letter != "/" else "/" for letter, code in zip(path, encoded, strict=True))


@given(spellings())
def test_every_spelling_of_a_path_is_the_same_path(both: tuple[str, str]) -> None:
    path, spelled = both
    assert read_target(spelled) == read_target(path)


@given(targets)
def test_what_is_read_is_in_normal_form(raw: str) -> None:
    target = read_target(raw)
    if target is None:
        return
    again = read_target(target.path)
    assert again is not None
    assert (again.segments, again.path) == (target.segments, quote(target.path, safe="/%!$&'()+,=:@"))


@given(targets)
def test_no_dots_are_read_between_delimiters_however_they_are_written(raw: str) -> None:
    target = read_target(raw)
    if target is not None:
        decoded = "/".join(target.segments).replace("%2F", "/").replace("%3B", ";").replace(";", "/")
        assert {".", ".."}.isdisjoint(decoded.split("/"))
