"""YAML with lines: what is read, and what is refused with its place."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cors_authz.doctor import lined
from cors_authz.doctor.lined import LinedMap, UnreadableError, documents, line_of
from cors_authz.doctor.parsing import NotEnvoyError, setup_of_bootstrap

READ: Final[dict[str, tuple[str, tuple[Any, ...]]]] = {
    "words": ("[true, No, null, ~, yes please]", ([True, False, None, None, "yes please"],)),
    "words of YAML 1.1, as Envoy reads them": (
        "[y, Y, n, N, ON, oFF, yES]",
        ([*(True,) * 2, False, False, True, "oFF", "yES"],),
    ),
    "numbers": ("[1, -2, 0.5, .5, 1e3, 0x1F, 010, 08]", ([1, -2, 0.5, 0.5, "1e3", 31, 8, "08"],)),
    "quoted words stay text": ("['true', \"1\"]", (["true", "1"],)),
    "words behind a tag are read": ("[!!bool 'true', !!str true, ! true]", ([True, True, "true"],)),
    "a number too long for one stays text": ("[" + "9" * 30 + "]", (["9" * 30],)),
    "JSON": ('{"a": [1, {"b": null}]}', ({"a": [1, {"b": None}]},)),
    "several documents, empty ones left out": ("a: 1\n---\n---\n- b\n", ({"a": 1}, ["b"])),
    "an alias is what it names": ("a: &x {b: 1}\nc: *x\n", ({"a": {"b": 1}, "c": {"b": 1}},)),
    "nothing": ("", ()),
}


@pytest.mark.parametrize("sentence", READ)
def test_what_is_read(sentence: str) -> None:
    text, expected = READ[sentence]
    assert documents("x", text.encode()) == expected


def test_maps_and_keys_know_their_lines() -> None:
    (read,) = documents("x", b"a:\n- b: 1\n  c:\n    d: 2\n")
    entry = read["a"][0]
    assert (line_of(read), line_of(entry), line_of(entry, "c"), line_of(entry["c"])) == (1, 2, 3, 4)
    assert (line_of(entry, "none"), line_of({}), line_of(7, "a"), LinedMap().lines) == (2, 0, 0, {})


REFUSED: Final = {
    "no YAML": (b"a: [", "x:2: not readable as YAML"),
    "a tab": ("ä: 1\nb:\n\tc: 1".encode(), "x:3: not readable as YAML: a tab, where YAML takes blanks alone"),
    "not UTF-8": (b"a: \xff", "x: the byte at 3 is not UTF-8"),
    "a control character": (b"a: \x07", "x: not readable as YAML"),
    "too deep": (b"[" * 200, "x:1: not readable as YAML: nested more than 96 deep"),
    "very deep": (b"[" * 500_000, "nested more than 96 deep"),
    "a key that is a list": (b"\n? [a]\n: b\n", "x:2: not readable as YAML: a key that is no text"),
    "an alias that names nothing": (b"a: *x\n", "x:1: not readable as YAML: `*x` names nothing before it"),
    "an alias that names what it is in": (b"a: &x {b: *x}\n", "`*x` names nothing before it"),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_is_refused(sentence: str) -> None:
    data, said = REFUSED[sentence]
    with pytest.raises(UnreadableError) as error:
        documents("x", data)
    assert said in str(error.value)


def test_a_file_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lined, "MAX_BYTES", 3)
    with pytest.raises(UnreadableError, match="x: 4 bytes"):
        documents("x", b"a: 1")


def test_aliases_that_double_at_each_level_cost_no_more_than_their_text() -> None:
    levels = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    (read,) = documents("x", f"a0: &a0 [1]\n{levels}static_resources: {{listeners: [*a59]}}\n".encode())
    with pytest.raises(NotEnvoyError):
        setup_of_bootstrap("x", read)


@given(st.text(max_size=60) | st.text(alphabet="[]{}:,&*!-? \n\"'a1%", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        documents("x", text.encode("utf-8", "surrogatepass"))
    except UnreadableError:
        return
