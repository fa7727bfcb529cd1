"""Proposed changes of a policy's text: what is cut, what stays byte for byte, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from cors_authz.policy.canonical import canonical
from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.finding import Place
from cors_authz.policy.load import load_policy
from cors_authz.review.listing import Listing
from cors_authz.review.proposal import Proposal, ProposalError, Remark, diff, remarked, without

HEAD: Final = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: p}\noriginGroups:\n"
TAIL: Final = """\
resourceGroups:
  api:
    match:
    - {hosts: [api.example]}
    allow:
    - {origins: [web], methods: [GET]}
"""
A, B, C = ("https://a.example", "https://b.example", "https://c.example")


def _policy(lists: str) -> tuple[Source, ...]:
    return (Source("policy.yaml", (HEAD + lists + TAIL).encode()),)


def _places(sources: tuple[Source, ...], *texts: str) -> list[Place]:
    return [line.place for line in Listing(load_policy(sources, "prod")).lines() if line.text in texts]


def _lists(proposal: Proposal) -> str:
    return proposal.files["policy.yaml"].removeprefix(HEAD).removesuffix(TAIL)


class Cut(NamedTuple):
    """Lists of origins, what is taken out, and what is left."""

    before: str
    out: tuple[str, ...]
    after: str


INLINE: Final = '  web: {origins: ["https://a.example", "https://b.example", https://c.example], trust: high}  # ours\n'
OPEN: Final = """\
  web:
    trust: high
    origins:
    # the shop
    - https://a.example
    - "https://b.example"   # since 2019
    - https://c.example
"""
WRAPPED: Final = """\
  web:
    trust: high
    origins: [
      "https://a.example",  # the shop
      "https://b.example",  # the blog
      "https://c.example"   # the desk
    ]
"""
BARE: Final = """\
  web:
    trust: high
    origins: [
      "https://a.example",
      "https://b.example",
      "https://c.example"
    ]
"""
CUTS: Final = {
    "the first of an inline list": Cut(
        INLINE, (A,), '  web: {origins: ["https://b.example", https://c.example], trust: high}  # ours\n'
    ),
    "the middle of an inline list": Cut(
        INLINE, (B,), '  web: {origins: ["https://a.example", https://c.example], trust: high}  # ours\n'
    ),
    "the last of an inline list": Cut(
        INLINE, (C,), '  web: {origins: ["https://a.example", "https://b.example"], trust: high}  # ours\n'
    ),
    "the first two of an inline list": Cut(
        INLINE, (A, B), "  web: {origins: [https://c.example], trust: high}  # ours\n"
    ),
    "the last two of an inline list": Cut(
        INLINE, (B, C), '  web: {origins: ["https://a.example"], trust: high}  # ours\n'
    ),
    "the first and the last of an inline list": Cut(
        INLINE, (A, C), '  web: {origins: ["https://b.example"], trust: high}  # ours\n'
    ),
    "a line of an open list goes with its comment": Cut(
        OPEN, (B,), OPEN.replace('    - "https://b.example"   # since 2019\n', "")
    ),
    "the comment above a line stays": Cut(OPEN, (A,), OPEN.replace("    - https://a.example\n", "")),
    "the last lines of an open list": Cut(OPEN, (B, C), OPEN[: OPEN.index('    - "https://b')]),
    "the middle of a wrapped list leaves its comment": Cut(
        WRAPPED, (B,), WRAPPED.replace('"https://b.example",  # the blog', "# the blog")
    ),
    "the last of a wrapped list takes the comma with it": Cut(
        WRAPPED,
        (C,),
        WRAPPED.replace('"https://b.example",', '"https://b.example"').replace('      "https://c.example"   #', "   #"),
    ),
    "a line of a wrapped list that nothing else stands on goes whole": Cut(
        BARE, (B,), BARE.replace('      "https://b.example",\n', "")
    ),
    "the last line of a wrapped list goes whole": Cut(
        BARE, (C,), BARE.replace('      "https://c.example"\n', "").replace('b.example",', 'b.example"')
    ),
    "of two on a line the first leaves the other": Cut(
        BARE.replace(",\n      ", ", "), (A,), BARE.replace(",\n      ", ", ").replace('"https://a.example", ', "")
    ),
    "a final comma stays": Cut(
        '  web: {origins: ["https://a.example", "https://b.example",], trust: high}\n',
        (B,),
        '  web: {origins: ["https://a.example",], trust: high}\n',
    ),
    "the same origin in another group stays": Cut(
        INLINE + '  other: {origins: ["https://z.example"], trust: low, contact: x}\n',
        (A,),
        '  web: {origins: ["https://b.example", https://c.example], trust: high}  # ours\n'
        '  other: {origins: ["https://z.example"], trust: low, contact: x}\n',
    ),
}


@pytest.mark.parametrize("case", CUTS.values(), ids=CUTS)
def test_what_is_cut(case: Cut) -> None:
    sources = _policy(case.before)
    proposal = without(sources, _places(sources, *case.out))
    assert _lists(proposal) == case.after
    after = (Source("policy.yaml", proposal.files["policy.yaml"].encode()),)
    texts = {line.text for line in Listing(load_policy(after, "prod")).lines()}
    assert texts == {line.text for line in Listing(load_policy(sources, "prod")).lines()} - set(case.out)


def test_a_list_keeps_all_rather_than_none() -> None:
    sources = _policy(
        INLINE + '  other: {origins: ["https://z.example", "https://y.example"], trust: low, contact: x}\n'
    )
    places = _places(sources, A, B, C, "https://z.example")
    proposal = without(sources, places)
    assert proposal.kept == tuple(places[:3])
    assert '["https://y.example"]' in _lists(proposal)
    assert INLINE in _lists(proposal)


def test_one_list_keeps_all_and_the_next_one_loses_what_it_can() -> None:
    other = OPEN.replace("web:", "other:").replace(".example", ".other.example")
    sources = _policy(OPEN + other)
    proposal = without(sources, _places(sources, A, B, C, "https://c.other.example"))
    assert _lists(proposal) == OPEN + other.replace("    - https://c.other.example\n", "")
    assert len(proposal.kept) == 3


def test_nothing_to_take_out_changes_nothing() -> None:
    assert without(_policy(INLINE), ()) == Proposal({})


def test_a_file_that_begins_with_a_mark_keeps_it() -> None:
    (source,) = _policy(INLINE)
    sources = (Source(source.name, b"\xef\xbb\xbf" + source.data),)
    proposal = without(sources, _places(sources, A))
    assert proposal.files["policy.yaml"].startswith("\ufeffapiVersion")
    assert A not in proposal.files["policy.yaml"]


def test_lines_that_end_as_windows_ends_them_go_whole() -> None:
    (source,) = _policy(OPEN)
    sources = (Source(source.name, source.data.replace(b"\n", b"\r\n")),)
    expected = (HEAD + OPEN.replace('    - "https://b.example"   # since 2019\n', "") + TAIL).replace("\n", "\r\n")
    assert without(sources, _places(sources, B)).files == {"policy.yaml": expected}


def test_what_would_not_load_is_not_proposed() -> None:
    sources = (Source("policy.yaml", _policy(INLINE)[0].data.replace(b"[GET]", b"[GET, TRACE]")),)
    with pytest.raises(ProposalError, match=r"(?s)would not load; change it by hand:\npolicy.yaml:\d+:\d+: CX"):
        without(sources, [Place("policy.yaml", 5, 19)])


class Comment(NamedTuple):
    """A list, the list with `https://new.example` as a comment, and what it is when the `#` is off."""

    before: str
    after: str


NEW: Final = "https://new.example"
CLOSED: Final = '  web: {origins: ["https://a.example"], trust: high}  # ours\n'
COMMENTS: Final = {
    "below an open list, as deep as it": Comment(OPEN, OPEN + f'    # - "{NEW}"  # hello\n'),
    "inside the brackets of an inline list, which is opened for it": Comment(
        CLOSED, CLOSED.replace('"]', f'",\n      # "{NEW}",  # hello\n    ]')
    ),
    "behind the last of an inline list": Comment(
        INLINE, INLINE.replace("c.example]", f'c.example,\n      # "{NEW}",  # hello\n    ]')
    ),
    "behind a final comma": Comment(
        CLOSED.replace('"]', '" , ]'), CLOSED.replace('"]', f'" ,\n      # "{NEW}",  # hello\n    ]')
    ),
    "below the last line of a wrapped list, and its comment": Comment(
        WRAPPED, WRAPPED.replace('c.example" ', 'c.example", ').replace("desk\n", f'desk\n      # "{NEW}",  # hello\n')
    ),
    "below the last line of a wrapped list": Comment(
        BARE, BARE.replace('c.example"\n', f'c.example",\n      # "{NEW}",  # hello\n')
    ),
    "behind the last of a wrapped list whose bracket is on its line": Comment(
        BARE.replace("\n    ]", "]"), BARE.replace('c.example"\n', f'c.example",\n      # "{NEW}",  # hello\n')
    ),
}


def _remarks(sources: tuple[Source, ...], *notes: str) -> list[Remark]:
    last = Listing(load_policy(sources, "prod")).lines_of("web")[-1].place
    return [Remark(last, f'"{NEW}"', note) for note in notes]


@pytest.mark.parametrize("case", COMMENTS.values(), ids=COMMENTS)
def test_where_a_comment_comes(case: Comment) -> None:
    sources = _policy(case.before)
    proposal = remarked(sources, _remarks(sources, "hello"))
    assert _lists(proposal) == case.after
    after = read_documents([Source("policy.yaml", proposal.files["policy.yaml"].encode())])[0]
    assert canonical(after) == canonical(read_documents(sources)[0])


@pytest.mark.parametrize("case", COMMENTS.values(), ids=COMMENTS)
def test_a_comment_without_its_mark_is_an_entry(case: Comment) -> None:
    listed = [
        [line.text for line in Listing(load_policy(_policy(text), "prod")).lines()]
        for text in (case.before, case.after.replace(f'# "{NEW}"', f'"{NEW}"').replace("# - ", "- "))
    ]
    assert listed[1] == [*listed[0], NEW]


def test_a_comment_at_the_end_of_a_file_begins_a_line() -> None:
    head, tail = HEAD.replace("originGroups:\n", TAIL), "originGroups:\n" + OPEN.removesuffix("\n")
    sources = (Source("policy.yaml", (head + tail).encode()),)
    proposal = remarked(sources, _remarks(sources, "hello"))
    assert proposal.files == {"policy.yaml": head + tail + f'\n    # - "{NEW}"  # hello\n'}


def test_comments_stand_in_their_order() -> None:
    sources = _policy(OPEN)
    proposal = remarked(sources, _remarks(sources, "one", "two"))
    assert _lists(proposal) == OPEN + f'    # - "{NEW}"  # one\n    # - "{NEW}"  # two\n'


def test_comments_in_brackets_stand_in_their_order() -> None:
    sources = _policy(CLOSED)
    proposal = remarked(sources, _remarks(sources, "one", "two"))
    comments = f',\n      # "{NEW}",  # one\n      # "{NEW}",  # two\n    ]'
    assert _lists(proposal) == CLOSED.replace("]", comments)


def test_a_comment_that_is_none_is_not_proposed() -> None:
    sources = _policy(OPEN)
    with pytest.raises(ProposalError, match="would change what the policy says"):
        remarked(sources, _remarks(sources, "hello\n    - https://evil.example"))


@pytest.mark.parametrize("end", ["", "\n"], ids=["without a last line end", "with a last line end"])
def test_git_applies_the_diff(end: str, tmp_path: Path) -> None:
    text = (
        (HEAD + TAIL.removesuffix("\n")).replace("originGroups:\n", "") + "\noriginGroups:\n" + OPEN.removesuffix("\n")
    )
    sources = (Source("policy.yaml", (text + end).encode()),)
    file = tmp_path / "policies" / "policy.yaml"
    file.parent.mkdir()
    file.write_bytes(sources[0].data)
    proposal = without(sources, _places(sources, C))
    written = diff(sources, proposal, lambda name: f"policies/{name}")
    subprocess.run(["git", "apply"], input=written.encode(), cwd=tmp_path, check=True)  # noqa: S607 - found by its name
    assert file.read_bytes().decode() == proposal.files["policy.yaml"]
