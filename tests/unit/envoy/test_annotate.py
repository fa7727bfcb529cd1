"""Comments beside settings: where they stand, how wide they are, and that they change nothing."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cors_authz.envoy.annotate import annotated


class Case(NamedTuple):
    """A value, its notes, and the text."""

    config: object
    notes: dict[str, str]
    text: str


CASES = {
    "a note stands above its setting": Case({"a": 1, "b": 2}, {"b": "why"}, "a: 1\n# why\nb: 2\n"),
    "a note is as far in as its setting": Case({"a": {"b": {"c": 1}}}, {"c": "why"}, "a:\n  b:\n    # why\n    c: 1\n"),
    "in a list it is as far in as the dash": Case({"a": [{"b": 1}]}, {"b": "why"}, "a:\n# why\n- b: 1\n"),
    "places in lists do not count": Case({"a": [[{"b": 1}]]}, {"a.b": "why"}, "a:\n# why\n- - b: 1\n"),
    "keys above it tell which setting is meant": Case(
        {"x": {"t": 1}, "y": {"t": 2}}, {"y.t": "why"}, "x:\n  t: 1\ny:\n  # why\n  t: 2\n"
    ),
    "the note that names more keys is taken": Case(
        {"x": {"t": 1}, "t": 2}, {"t": "any", "x.t": "that of x"}, "x:\n  # that of x\n  t: 1\n# any\nt: 2\n"
    ),
    "a note is written once": Case([{"a": 1}, {"a": 2}], {"a": "why"}, "# why\n- a: 1\n- a: 2\n"),
    "a note of what is not there is left out": Case({"a": 1}, {"b": "why"}, "a: 1\n"),
    "a long note is broken between words": Case(
        {"a": {"b": 1}},
        {"b": "word " * 30},
        f"a:\n  # {' '.join(['word'] * 23)}\n  # {' '.join(['word'] * 7)}\n  b: 1\n",
    ),
    "no word of a note is broken, nor a flag at its hyphens": Case(
        {"a": 1},
        {"a": f"{'x' * 130} {'y' * 110} --drain-seconds"},
        f"# {'x' * 130}\n# {'y' * 110}\n# --drain-seconds\na: 1\n",
    ),
    "a long value is not broken": Case({"a": "x " * 100 + "x"}, {}, f"a: {'x ' * 100}x\n"),
    "a value that reads like a setting is none": Case({"a": "b: 1"}, {"b": "why"}, "a: 'b: 1'\n"),
    "nothing has no notes": Case({}, {"a": "why"}, "{}\n"),
}


@pytest.mark.parametrize("sentence", CASES)
def test_notes_are_comments(sentence: str) -> None:
    case = CASES[sentence]

    assert annotated(case.config, case.notes) == case.text


KEYS = st.sampled_from(["a", "b", "@type", "x.y", "on", "# c", "1", ": "])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(KEYS, children, max_size=3),
)


NOTES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200)


@given(VALUES, st.dictionaries(KEYS | st.just("a.b"), NOTES))
def test_a_comment_changes_no_value(config: object, notes: dict[str, str]) -> None:
    assert json.dumps(yaml.safe_load(annotated(config, notes))) == json.dumps(config)
