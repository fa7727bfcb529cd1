"""What holds of every policy text: reading never raises, places are where things stand, editors and loader agree."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.forms import DATE, INSTANT, moment_of
from cors_authz.policy.json_schema import json_schema
from cors_authz.policy.scalar import plain_value

REFERENCE = Path(__file__).parents[1] / "policies" / "reference"
EDITOR = Draft202012Validator(json_schema())


def _documents() -> list[dict[str, Any]]:
    """Read the reference policies by PyYAML alone; none of them holds what YAML 1.1 reads in its own way."""
    texts = [file.read_text(encoding="utf-8") for file in sorted(REFERENCE.rglob("*.yaml"))]
    return [yaml.load(text, Loader=yaml.BaseLoader) for text in texts]  # noqa: S506 -- reads texts, and nothing else


def _typed(value: Any) -> Any:  # noqa: ANN401 -- whatever stands in a policy
    """Give back the types that reading all as text took away."""
    if isinstance(value, dict):
        return {key: _typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_typed(part) for part in value]
    return plain_value(value) if value in {"true", "false"} or value.isdecimal() else value


DOCUMENTS = [_typed(document) for document in _documents()]

lines = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
scalars = st.one_of(
    lines,
    st.booleans(),
    st.integers(-10, 2000),
    st.sampled_from(
        [0.5, 2.25, "GET", "web", "10m", "0s", "2027-01-31", "2026-11-20T00:00:00Z", "5%", "v1", "https://a.example"]
    ),
)
values = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(lines, inner, max_size=3),
    max_leaves=6,
)


def _holders(value: Any) -> list[Any]:  # noqa: ANN401 -- see `_typed`
    """Give all maps and lists of a document that hold something."""
    if not isinstance(value, dict | list) or not value:
        return []
    parts = value.values() if isinstance(value, dict) else value
    return [value, *(holder for part in parts for holder in _holders(part))]


@st.composite
def edited(draw: st.DrawFn) -> dict[str, Any]:
    """One of the reference documents, with an entry somewhere in it left out, replaced or added."""
    document: dict[str, Any] = deepcopy(draw(st.sampled_from(DOCUMENTS)))
    holder = draw(st.sampled_from(_holders(document)))
    places = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    place = draw(st.sampled_from(places))
    match draw(st.sampled_from(["leave out", "replace", "add"])):
        case "leave out":
            del holder[place]
        case "add" if isinstance(holder, dict):
            holder[draw(lines)] = draw(values)
        case _:
            holder[place] = draw(values)
    return document


@given(edited())
@settings(max_examples=200)
def test_what_editors_accept_loads(document: dict[str, Any]) -> None:
    source = Source("p.yaml", json.dumps(document, ensure_ascii=False).encode())
    documents, findings = read_documents([source])
    assert bool(documents) is not bool(findings)
    if EDITOR.is_valid(document):
        assert findings == ()


GRAMMARS = {
    "origins", "hosts", "paths", "methods", "headers", "exposeHeaders", "request", "expose", "sourceIn", "principalIn",
    "governs",
}  # fmt: skip
"""Keys whose texts the compiler reads."""


def _is_shape(document: dict[str, Any], path: list[str | int]) -> bool:
    """Tell whether an error there is the loader's to find."""
    overlaid = document.get("kind") == "TenantOverlay" and path[:1] == ["originGroups"]
    return not overlaid and not GRAMMARS & set(path)


@given(edited())
@settings(max_examples=200)
def test_what_editors_flag_does_not_load_unless_the_compiler_judges_it(document: dict[str, Any]) -> None:
    flagged = any(_is_shape(document, list(error.absolute_path)) for error in EDITOR.iter_errors(document))
    _, findings = read_documents([Source("p.yaml", json.dumps(document, ensure_ascii=False).encode())])
    assert findings or not flagged


@given(edited(), st.booleans())
@settings(max_examples=100)
def test_findings_stand_within_the_text_and_say_something_on_one_line(document: dict[str, Any], flow: bool) -> None:  # noqa: FBT001 -- drawn
    text = yaml.safe_dump(document, default_flow_style=flow, allow_unicode=True, sort_keys=False)
    _, findings = read_documents([Source("p.yaml", text.encode())])
    rows = text.split("\n")
    assert list(findings) == sorted(findings, key=lambda finding: (finding.place.line, finding.place.column))
    for finding in findings:
        assert 1 <= finding.place.column <= len(rows[finding.place.line - 1]) + 1
        assert finding.text.isprintable()


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
@settings(max_examples=200)
def test_reading_never_raises_and_never_keeps_silent(data: bytes) -> None:
    documents, findings = read_documents([Source("p.yaml", data)])
    assert documents == ()
    assert findings != ()


@given(st.text("{}[]&*!|>'\"%@`,?:-#<~ \t\n\rab01.", max_size=60))
@settings(max_examples=200)
def test_the_signs_of_yaml_in_any_order_never_raise(text: str) -> None:
    head = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: shop}\n"
    for tail in (text, f"guards: {text}", f"guards: [{text}]", f"guards: {{{text}}}"):
        documents, findings = read_documents([Source("p.yaml", (head + tail).encode())])
        assert documents or findings


@pytest.mark.parametrize("indent", [None, 1, 4])
@given(
    names=st.lists(
        st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True), min_size=1, max_size=6, unique=True
    )
)
@settings(max_examples=50)
def test_places_are_where_things_stand(indent: int | None, names: list[str]) -> None:
    groups = {name: {"origins": [f"https://{number}.{name}" for number in range(3)]} for name in names}
    text = json.dumps(
        {
            "apiVersion": "cors-authz/v1",
            "kind": "PolicyPart",
            "metadata": {"name": "a", "owner": "b"},
            "originGroups": groups,
        },
        indent=indent,
    )
    (document,), _ = read_documents([Source("p.yaml", text.encode())])
    rows = text.split("\n")
    for name, group in groups.items():
        key = document.key_place("originGroups", name)
        assert rows[key.line - 1][key.column - 1 :].startswith(json.dumps(name))
        for index, origin in enumerate(group["origins"]):
            place = document.place("originGroups", name, "origins", index)
            assert rows[place.line - 1][place.column - 1 :].startswith(json.dumps(origin))


@given(st.integers(-(10**60), 10**60) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
@settings(max_examples=200)
def test_what_json_writes_plainly_is_read_as_it_was(value: float | bool) -> None:  # noqa: FBT001 -- drawn
    assert plain_value(json.dumps(value)) == value


@given(st.datetimes().map(lambda moment: moment.replace(microsecond=0)))
@settings(max_examples=100)
def test_instants_come_back(moment: Any) -> None:  # noqa: ANN401 -- a datetime, which typing alone would import
    read = moment_of(INSTANT, f"{moment.isoformat()}Z")
    assert read is not None
    assert read.replace(tzinfo=None) == moment
    assert moment_of(DATE, f"{moment.isoformat()}Z") == read
