"""The one way to write a policy: nothing said is lost, nothing settled changes again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cors_authz.policy.canonical import canonical
from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.format import WIDTH, FormatError, format_policy

REFERENCE = Path(__file__).parents[2] / "policies" / "reference"
FILES = {file.relative_to(REFERENCE).as_posix(): file.read_text() for file in sorted(REFERENCE.rglob("*.yaml"))}
HEAD = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: p}\n"


def said(text: str) -> object:
    documents, findings = read_documents([Source("p.yaml", text.encode())])
    assert findings == ()
    return canonical(documents)


def formatted(body: str) -> str:
    return format_policy("p.yaml", (HEAD + body).encode()).removeprefix(HEAD)


def test_there_are_references_to_try() -> None:
    assert len({name.partition("/")[0] for name in FILES}) == 9


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_reference_says_the_same_and_settles_at_once(text: str) -> None:
    once = format_policy("p.yaml", text.encode())
    assert said(once) == said(text)
    assert format_policy("p.yaml", once.encode()) == once


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_a_flow_collection_stays_within_the_width(text: str) -> None:
    for line in format_policy("p.yaml", text.encode()).splitlines():
        code = line.partition(" #")[0].rstrip()
        assert len(code) <= WIDTH or not code.endswith(("}", "]"))


LAYOUTS = {
    "blanks that align are dropped": (
        "originGroups:\n  web:     {any: true}\n  a:\n      any:   true\n",
        "originGroups:\n  web: {any: true}\n  a:\n    any: true\n",
    ),
    "lists stand on the level of their key": (
        "guards:\n  a:\n    anyOf:\n      - b\n      - c\n",
        "guards:\n  a:\n    anyOf:\n    - b\n    - c\n",
    ),
    "quotes that text does not need go": (
        "guards:\n  a: {anyRole: ['x', \"y z\"]}\n",
        "guards:\n  a: {anyRole: [x, y z]}\n",
    ),
    "quotes that keep a text from being a number stay": (
        "guards:\n  a: {anyRole: ['1', '1.0', '0x1f', 'true', '~', 'null', '1e3', '2026-01-01', '1_000', 'NO']}\n",
        'guards:\n  a: {anyRole: ["1", "1.0", "0x1f", "true", "~", "null", "1e3", "2026-01-01", "1_000", NO]}\n',
    ),
    "durations and percentages need no quotes": (
        "rollout: {shadow: '1h', steps: [{enforce: \"5%\", for: 30m}, {enforce: 100%}]}\n",
        "rollout: {shadow: 1h, steps: [{enforce: 5%, for: 30m}, {enforce: 100%}]}\n",
    ),
    "a comment behind an empty list stays there": (
        "resourceGroups:\n  a:\n    match: [{hosts: [a.example]}]\n    allow: []   # nobody\n",
        "resourceGroups:\n  a:\n    match: [{hosts: [a.example]}]\n    allow: []   # nobody\n",
    ),
    "a sharp within a text is no comment": (
        "guards:\n  a: {anyRole: [x], description: 'team #7 and #8'}\n",
        'guards:\n  a: {anyRole: [x], description: "team #7 and #8"}\n',
    ),
    "blanks at the end of lines go": ("guards:   \n  a: {anyRole: [x]}  \n", "guards:\n  a: {anyRole: [x]}\n"),
}


@pytest.mark.parametrize(("written", "settled"), LAYOUTS.values(), ids=LAYOUTS)
def test_layout(written: str, settled: str) -> None:
    assert formatted(written) == settled
    assert formatted(settled) == settled


def test_what_does_not_fit_is_opened_from_the_outside_and_its_parts_that_fit_stay() -> None:
    roles = ", ".join(f"role-{n:02}" for n in range(11))
    body = f"guards:\n  a: {{anyRole: [{roles}], description: some words}}\n"
    assert formatted(body) == f"guards:\n  a:\n    anyRole: [{roles}]\n    description: some words\n"


@pytest.mark.parametrize("length", range(70, 80))
def test_the_key_counts_towards_the_width(length: int) -> None:
    line = f"  {'k' * 20}: {{anyRole: [{'r' * length}], provider: p}}"
    kept = formatted(f"guards:\n{line}\n") == f"guards:\n{line}\n"
    assert kept == (len(line) <= WIDTH)


def test_a_byte_order_mark_goes_and_lines_end_in_one_way() -> None:
    windows = "\ufeff" + (HEAD + "guards:\n  a: {anyRole: [x]}\n").replace("\n", "\r\n")
    assert format_policy("p.yaml", windows.encode()) == HEAD + "guards:\n  a: {anyRole: [x]}\n"


def test_a_comment_within_a_flow_list_opens_it() -> None:
    body = "guards:\n  a:\n    anyRole: [x,  # why x\n      y]\n"
    settled = formatted(body)
    assert "# why x" in settled
    assert "    - x\n" in settled
    assert formatted(settled) == settled


def test_a_comment_that_the_writer_would_lose_is_a_refusal() -> None:
    with pytest.raises(FormatError, match=r"^p\.yaml: formatting would lose a comment or change a value; the file is"):
        formatted("guards:\n  a: {anyRole: [x],  # why x\n    provider: p}\n")


REFUSED = {
    "no YAML": "a: [",
    "no document": "",
    "a mistake of shape": HEAD + "unknown: 1\n",
    "an alias": HEAD + "guards: {a: &a {anyRole: [x]}, b: *a}\n",
    "a key written twice": HEAD + "guards: {}\nguards: {}\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_policy_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(FormatError, match=r"^p\.yaml:[0-9]+:[0-9]+: CX0"):
        format_policy("p.yaml", text.encode())


def test_a_text_that_the_writer_takes_for_a_date_is_no_fault() -> None:
    with pytest.raises(FormatError):
        formatted("guards:\n  a: {anyRole: [x], description: 2027-99-99}\n")


def commented(data: st.DataObject, text: str) -> tuple[str, list[str]]:
    """Put comments between lines and behind them, each with a word of its own."""
    lines: list[str] = []
    comments: list[str] = []
    for line in text.splitlines():
        kind = data.draw(st.sampled_from(["none", "none", "none", "above", "behind"]))
        note = (
            f"# note {len(comments)} {data.draw(st.sampled_from(['', 'a: b', '- x', '#', chr(39), '{', 'é']))}".rstrip()
        )
        if kind != "none":
            comments.append(note)
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}{note}", line] if kind == "above" else [f"{line}  {note}" if kind == "behind" else line]
    return "\n".join(lines) + "\n", comments


@pytest.mark.parametrize("name", ["01-spa-and-api.yaml", "06-rpc.yaml", "08-previews.yaml"])
@given(st.data())
@settings(max_examples=25)
def test_no_comment_is_lost(name: str, data: st.DataObject) -> None:
    text, comments = commented(data, format_policy("p.yaml", FILES[name].encode()))
    once = format_policy("p.yaml", text.encode())
    for comment in comments:
        assert sum(line.endswith(comment) for line in once.splitlines()) >= 1, comment
    assert said(once) == said(text)
    assert format_policy("p.yaml", once.encode()) == once


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30), st.sampled_from("'\""))
@settings(max_examples=150)
def test_any_text_is_kept_or_refused(words: str, quote: str) -> None:
    escaped = words.replace("'", "''") if quote == "'" else words.replace("\\", "\\\\").replace('"', '\\"')
    text = HEAD + f"guards:\n  a: {{anyRole: [x], description: {quote}{escaped}{quote}}}\n"
    assume(read_documents([Source("p.yaml", text.encode())])[1] == ())
    try:
        once = format_policy("p.yaml", text.encode())
    except FormatError:
        return
    assert said(once) == said(text)
    assert format_policy("p.yaml", once.encode()) == once
