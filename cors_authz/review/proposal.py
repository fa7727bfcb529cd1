"""A change of a policy's text that is proposed, never made: entries of lists taken out, or comments put in.

The text is changed where the entries stand, so that a diff shows them and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import unified_diff
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

import yaml

from cors_authz.policy.canonical import canonical
from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.finding import Place, Severity
from cors_authz.policy.load import check_policy

T = TypeVar("T")

_BYTE_ORDER_MARK: Final = "\ufeff"
_NO_NEWLINE: Final = "\n\\ No newline at end of file\n"
_BEFORE_ENTRY: Final = (yaml.BlockEntryToken, yaml.FlowEntryToken, yaml.FlowSequenceStartToken)
_LINE: Final = re.compile(r"[^\n]*\n|[^\n]+")


class ProposalError(Exception):
    """The change cannot be proposed: what it would leave does not load; the text says why."""


class Proposal(NamedTuple):
    """The files that would change, by name, and the entries that stay because their list would be left without any."""

    files: Mapping[str, str]
    kept: tuple[Place, ...] = ()


class Remark(NamedTuple):
    """An entry that a list may take, as a comment behind the entry at `last`: without its `#`, it is one.

    `entry` is as YAML writes it, `note` is for those who read it; each is of one line.
    """

    last: Place
    entry: str
    note: str


class _Edit(NamedTuple):
    """The characters from `begin` up to `end` become `text`."""

    begin: int
    end: int
    text: str = ""


def without(sources: Sequence[Source], places: Iterable[Place]) -> Proposal:
    """Propose to take entries out of lists. A list that would be left without an entry keeps all of them.

    Args:
        sources: the files of a policy that loads.
        places: where the entries stand.

    Raises: ProposalError.
    """
    kept: list[Place] = []
    after = _edited(sources, _by_file(places, lambda place: place), lambda text, own: _cuts(text, own, kept))
    _demand_valid(after)
    return Proposal(_changed(sources, after), tuple(kept))


def remarked(sources: Sequence[Source], remarks: Iterable[Remark]) -> Proposal:
    """Propose comments on lists. The policy says the same with them, until a person takes the `#` off.

    Raises: ProposalError.
    """
    after = _edited(sources, _by_file(remarks, lambda remark: remark.last), _comments)
    if canonical(read_documents(after)[0]) != canonical(read_documents(sources)[0]):
        raise ProposalError("the comments would change what the policy says; write them by hand")
    return Proposal(_changed(sources, after))


def diff(sources: Sequence[Source], proposal: Proposal, name_of: Callable[[str], str]) -> str:
    """Write a proposal as a unified diff, as `git apply` and `patch -p1` take it.

    Args:
        sources: the files of the policy.
        proposal: what they would be.
        name_of: gives the path of a file by its name.
    """
    written: list[str] = []
    for source in sources:
        if source.name in proposal.files:
            before, after = (_LINE.findall(text) for text in (source.data.decode(), proposal.files[source.name]))
            path = name_of(source.name).lstrip("/")
            written += unified_diff(before, after, f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else line + _NO_NEWLINE for line in written)


def _by_file(items: Iterable[T], place_of: Callable[[T], Place]) -> Mapping[str, list[T]]:
    by_file: dict[str, list[T]] = {}
    for item in items:
        by_file.setdefault(place_of(item).file, []).append(item)
    return by_file


def _edited(
    sources: Iterable[Source], wanted: Mapping[str, list[T]], edits_of: Callable[[str, list[T]], Iterable[_Edit]]
) -> tuple[Source, ...]:
    return tuple(
        Source(source.name, _applied(source.data.decode(), wanted[source.name], edits_of))
        if source.name in wanted
        else source
        for source in sources
    )


def _applied(data: str, wanted: list[T], edits_of: Callable[[str, list[T]], Iterable[_Edit]]) -> bytes:
    # Places count without the mark.
    text = data.removeprefix(_BYTE_ORDER_MARK)
    mark = data[: len(data) - len(text)]
    for edit in sorted(edits_of(text, wanted), key=lambda edit: edit.begin)[::-1]:
        text = text[: edit.begin] + edit.text + text[edit.end :]
    return (mark + text).encode()


def _demand_valid(sources: Sequence[Source]) -> None:
    errors = [finding for finding in check_policy(sources) if finding.severity is Severity.ERROR]
    if errors:
        raise ProposalError("\n".join(("what is left would not load; change it by hand:", *map(str, errors))))


def _changed(sources: Sequence[Source], after: Sequence[Source]) -> Mapping[str, str]:
    pairs = zip(sources, after, strict=True)
    return {new.name: new.data.decode() for old, new in pairs if old.data != new.data}


# --- Lists of a text --------------------------------------------------------------------------------------------------


class _Entry(NamedTuple):
    """A scalar in a list; `before` is the `-`, the comma or the bracket in front of it, `after` the token behind it."""

    scalar: Any
    before: Any
    after: Any

    @property
    def spot(self) -> tuple[int, int]:
        """Its line and column, from 1."""
        return self.scalar.start_mark.line + 1, self.scalar.start_mark.column + 1

    @property
    def is_inline(self) -> bool:
        """Whether the list stands in brackets."""
        return not isinstance(self.before, yaml.BlockEntryToken)


def _lists(text: str) -> Iterator[list[_Entry]]:
    """Give the lists of scalars in a text."""
    tokens = list(yaml.scan(text, Loader=yaml.CSafeLoader))
    entries: list[_Entry] = []
    last = 0
    for index, (before, token) in enumerate(pairwise(tokens), 1):
        if not (isinstance(token, yaml.ScalarToken) and isinstance(before, _BEFORE_ENTRY)):
            continue
        if index != last + 2 or isinstance(before, yaml.FlowSequenceStartToken):
            yield entries
            entries = []
        entries.append(_Entry(token, before, tokens[index + 1]))
        last = index
    yield entries


def _cuts(text: str, places: Iterable[Place], kept: list[Place]) -> Iterator[_Edit]:
    wanted = {(place.line, place.column): place for place in places}
    for entries in _lists(text):
        doomed = [entry for entry in entries if entry.spot in wanted]
        if len(doomed) == len(entries):
            kept.extend(wanted[entry.spot] for entry in doomed)
        elif doomed:
            staying = max(entry.scalar.start_mark.index for entry in entries if entry.spot not in wanted)
            for entry in doomed:
                yield from _cut(text, entry, is_last=entry.scalar.start_mark.index > staying)


def _cut(text: str, entry: _Entry, *, is_last: bool) -> Iterator[_Edit]:
    """Cut an entry with the comma behind it; if no other entry follows, with the one in front."""
    begin, end = entry.scalar.start_mark.index, entry.scalar.end_mark.index
    if not entry.is_inline:
        yield _Edit(_line_begin(text, entry.before.start_mark.index), _line_end(text, end))
    elif is_last:
        yield _Edit(entry.before.start_mark.index, entry.before.end_mark.index)
        yield _whole_line(text, len(text[:begin].rstrip(" \t")), end)
    else:
        behind = entry.after.end_mark.index
        yield _whole_line(text, begin, behind + len(text[behind:]) - len(text[behind:].lstrip(" \t")))


def _whole_line(text: str, begin: int, end: int) -> _Edit:
    """Cut the line with what is cut of it, if nothing else is on it."""
    first, last = _line_begin(text, begin), _line_end(text, end)
    is_alone = not text[first:begin].strip() and not text[end:last].strip()
    return _Edit(first, last) if is_alone else _Edit(begin, end)


def _comments(text: str, remarks: Iterable[Remark]) -> Iterator[_Edit]:
    entry_at = {entry.spot: entry for entries in _lists(text) for entry in entries}
    behind: dict[tuple[int, int], list[Remark]] = {}
    for remark in remarks:
        behind.setdefault((remark.last.line, remark.last.column), []).append(remark)
    for spot, own in behind.items():
        yield from (_inside if entry_at[spot].is_inline else _below)(text, entry_at[spot], own)


def _below(text: str, entry: _Entry, remarks: Iterable[Remark]) -> Iterator[_Edit]:
    at, margin = _line_end(text, entry.scalar.end_mark.index), " " * entry.before.start_mark.column
    newline = "" if text[:at].endswith("\n") else "\n"
    yield _Edit(at, at, newline + "".join(f"{margin}# - {each.entry}  # {each.note}\n" for each in remarks))


def _inside(text: str, entry: _Entry, remarks: Iterable[Remark]) -> Iterator[_Edit]:
    """Put comments between the brackets, each on a line of its own: outside of them no entry can stand."""
    end, margin = entry.scalar.end_mark.index, _margin(text, entry)
    comments = "".join(f"{margin}# {each.entry},  # {each.note}\n" for each in remarks)
    if isinstance(entry.after, yaml.FlowEntryToken):
        end = entry.after.end_mark.index
    else:
        yield _Edit(end, end, ",")
    rest = text[end : _line_end(text, end)].lstrip()
    if not rest or rest.startswith("#"):
        yield _Edit(_line_end(text, end), _line_end(text, end), comments)
    else:
        yield _Edit(end, text.index(rest, end), f"\n{comments}{margin[2:]}")


def _margin(text: str, entry: _Entry) -> str:
    """Give what stands left of an entry that a line begins with; else, four columns more than its line has."""
    begin = entry.scalar.start_mark.index
    left = text[_line_begin(text, begin) : begin]
    return left if left.isspace() else " " * (len(left) - len(left.lstrip()) + 4)


def _line_begin(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    newline = text.find("\n", at)
    return len(text) if newline < 0 else newline + 1
