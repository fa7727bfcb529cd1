"""Bytes of a file to the trees of its documents, with the place of every key and value.

The tree is built from the parser's events. PyYAML's own composer crashes the interpreter on deep input and takes the
last of two equal keys in silence.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import yaml

from cors_authz.policy.finding import Finding, Place, shown
from cors_authz.policy.scalar import Blank, Scalar, plain_value

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32

Path = tuple[str | int, ...]


Data = Any
"""A scalar, a tuple, or a dict with text as keys: what the models are validated from."""

Spot = int
"""Line and column of an entry's key and of its value; the entries of lists have no key but the value.

One number, as a policy of 100,000 origins has half a million spots: tuples of four took a fifth of all its memory.
"""

# No line and no column needs more than 21 bits: a file has at most 2**20 characters.
_KEY_LINE, _KEY_COLUMN, _VALUE_LINE = 63, 42, 21
_PART: Final = (1 << 21) - 1


def key_of(spot: Spot) -> tuple[int, int]:
    """Give the line and the column, from 1, of an entry's key."""
    return (spot >> _KEY_LINE) + 1, (spot >> _KEY_COLUMN & _PART) + 1


def value_of(spot: Spot) -> tuple[int, int]:
    """Give the line and the column, from 1, of an entry's value."""
    return (spot >> _VALUE_LINE & _PART) + 1, (spot & _PART) + 1


class Held(NamedTuple):
    """The spot of an entry that holds a map or a list, and the entries of that."""

    spot: Spot
    marks: Marks


Marks = Mapping[str, Spot | Held] | Sequence[Spot | Held]
"""Where the entries of a map or a list stand."""


class Partial(dict[str, Any]):
    """The data of a map that had an entry which is refused: a key that is not here may have been meant."""


class Tree(NamedTuple):
    """A document of a file and where it begins. `whole`: nothing in it was refused."""

    data: Data
    marks: Marks
    spot: Spot
    whole: bool


def spot_of(marks: Marks, begin: Spot, path: Path) -> Spot:
    """Follow a path as far as it leads. Walked anew each time: a table of 100,000 origins' places would cost more."""
    spot = begin
    for step in path:
        entry = _entry_of(marks, step)
        if entry is None:
            break
        spot, marks = entry if isinstance(entry, Held) else (entry, ())
    return spot


def _entry_of(marks: Marks, step: str | int) -> Spot | Held | None:
    if isinstance(step, str):
        return marks.get(step) if isinstance(marks, dict) else None
    return marks[step] if isinstance(marks, tuple) and 0 <= step < len(marks) else None


# --- reading ----------------------------------------------------------------------------------------------------------


_TOO_DEEP: Final = f"nested more than {MAX_DEPTH} deep"

_TAB: Final = "found a tab character that violates indentation"
_NO_TOKEN: Final = "found character that cannot start any token"

_SYNTAX: Final[Mapping[str, str]] = {
    _TOO_DEEP: f"nested more than {MAX_DEPTH} deep; a policy needs far less, so look for brackets that are not closed",
    _NO_TOKEN: ("a value cannot begin with this character in YAML (`@`, `%`, a backtick); put the value in quotes"),
    _TAB: "a tab in the indentation; indent with spaces",
    "mapping values are not allowed in this context": (
        "a `:` that no key fits; put a value that holds `: ` in quotes, or mend the indentation"
    ),
    "did not find expected alphabetic or numeric character": (
        "`*` and `&` begin an alias or an anchor in YAML; put a value that begins so in quotes"
    ),
    "did not find expected key": (
        "this fits no key above it; mend the indentation, and put a value that begins with `{` or `[` in quotes"
    ),
    "did not find expected '-' indicator": (
        "this fits no entry of the list above it; mend the indentation, and put a value that begins with `{` in quotes"
    ),
    "did not find expected ',' or ']'": (
        "the list is not closed; add `,` or `]`, and put a value that begins with `{` or `*` in quotes"
    ),
    "did not find expected ',' or '}'": (
        "the map is not closed; add `,` or `}`, and put a value that begins with `{` or `*` in quotes"
    ),
    "did not find expected node content": (
        "a value is missing here, a bracket above is not closed, or one closes what none has opened"
    ),
    "did not find expected <document start>": "text after the end of the document; begin another one with ---",
    "found unexpected end of stream": "the quote that begins here is not closed",
    "could not find expected ':'": "a key without `:`; write key: value",
    "block sequence entries are not allowed in this context": "a list begins on the line of its key; break the line",
    "found undefined tag handle": "`!`: tags are not read; put a value that begins with `!` in quotes",
    "found incompatible YAML document": "another version of YAML; drop the %YAML line",
}
_BEGUN_EARLIER: Final = frozenset({"found unexpected end of stream", "could not find expected ':'"})
"""Problems that the parser notices late; the context says where the unfinished thing begins."""

_UNPRINTABLE: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HIDDEN_BREAK: Final = re.compile("[\x85\u2028\u2029]")
"""YAML 1.1, which the parser reads, ends a line there, and a comment. Editors, diffs and YAML 1.2 do not: lines would
be miscounted, and what a reviewer takes for a comment would be read."""
_CORE_TAG: Final = "tag:yaml.org,2002:"


class Reader:
    """Reads the documents of one file; what it refuses is in `findings`. Reading never raises."""

    def __init__(self, file: str, data: bytes) -> None:
        self.findings: list[Finding] = []
        self._file = file
        self._data = data
        self._events: Iterator[Any] = iter(())
        self._texts: dict[str, str] = {}

    def documents(self) -> Iterator[Tree]:
        """Give the documents that hold something, up to the first place that is no YAML."""
        text = self._text()
        if text is None:
            return
        try:
            yield from self._read(text)
        except yaml.MarkedYAMLError as error:
            self._refuse_syntax(error, text)
        except yaml.reader.ReaderError:
            self._refuse_character(text)

    def _text(self) -> str | None:
        # With its mark: whoever reads a file stops at one byte more, and its end would be missed in silence.
        if len(self._data) > MAX_FILE_BYTES:
            size = len(self._data)
            self._refuse_at((1, 1), f"the file has {size} bytes; 1 MiB is the most: move some to a PolicyPart")
            return None
        data = self._data.removeprefix(codecs.BOM_UTF8)
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            before = data[: error.start].decode()
            self._refuse_at(
                _end_of(before), f"the byte `0x{data[error.start]:02x}` is not UTF-8; save the file as UTF-8"
            )
            return None
        return None if self._refuse_hidden_break(text) else text

    def _refuse_hidden_break(self, text: str) -> bool:
        found = _HIDDEN_BREAK.search(text)
        if found:
            said = f"the character `U+{ord(found[0]):04X}` ends a line where nobody sees it; remove it"
            self._refuse_at(_end_of(text[: found.start()]), said)
        return bool(found)

    def _read(self, text: str) -> Iterator[Tree]:
        self._events = iter(yaml.CSafeLoader(text).get_event, None)
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                refused = len(self.findings)
                first = next(self._events)
                data, marks = self._node(first, 0)
                if data is not Blank.NULL:
                    yield Tree(data, marks, _spot(first, first), whole=refused == len(self.findings))

    def _node(self, event: Any, depth: int) -> tuple[Data, Marks]:  # noqa: ANN401 -- events have no common attributes
        kind = type(event)
        if kind is yaml.ScalarEvent or kind is yaml.AliasEvent:
            return self._scalar(event), ()
        if event.tag is not None:
            self._refuse_tag(event)
        if depth == MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=event.start_mark)
        return self._list(depth + 1) if kind is yaml.SequenceStartEvent else self._map(depth + 1)

    def _scalar(self, event: Any) -> Scalar:  # noqa: ANN401 -- see `_node`
        if type(event) is yaml.AliasEvent:
            self._refuse(event, f"`*{event.anchor}`: aliases are not read; give the list a name in headerSets")
            return Blank.UNREAD
        if event.tag is not None:
            self._refuse_tag(event)
            return Blank.UNREAD
        text = self._shared(event.value)
        return plain_value(text) if event.implicit[0] else text

    def _shared(self, text: str) -> str:
        """Keep a text once: the parser makes each `methods` and each `GET` anew."""
        return self._texts.setdefault(text, text)

    def _list(self, depth: int) -> tuple[Data, Marks]:
        data: list[Data] = []
        entries: list[Spot | Held] = []
        while (kind := type(event := next(self._events))) is not yaml.SequenceEndEvent:
            spot = _spot(event, event)
            if kind is yaml.ScalarEvent:
                data.append(self._scalar(event))
                entries.append(spot)
            else:
                value, marks = self._node(event, depth)
                data.append(value)
                entries.append(Held(spot, marks) if marks else spot)
        return tuple(data), tuple(entries)

    def _map(self, depth: int) -> tuple[Data, Marks]:
        data: dict[str, Data] = {}
        entries: dict[str, Spot | Held] = {}
        partial = False
        while type(event := next(self._events)) is not yaml.MappingEndEvent:
            key = self._key(event, depth)
            begin = next(self._events)
            value, marks = self._node(begin, depth)
            if key is None:
                partial = True
            elif key in data:
                self._refuse_double(event, key, spot_of(entries, 0, (key,)))
            else:
                data[key] = value
                spot = _spot(event, begin)
                entries[key] = Held(spot, marks) if marks else spot
        return Partial(data) if partial else data, entries

    def _key(self, event: Any, depth: int) -> str | None:  # noqa: ANN401 -- see `_node`
        """Read a key as text; None for one that is refused."""
        if type(event) is not yaml.ScalarEvent:
            if self._node(event, depth)[0] is not Blank.UNREAD:
                self._refuse(event, "a list or a map as a key; keys are text: put it in quotes if it is meant as text")
            return None
        if event.value == "<<" and event.implicit[0]:
            self._refuse(
                event, "`<<`: merge keys are not read; write the keys out, or give a list a name in headerSets"
            )
            return None
        if event.tag is not None:
            self._refuse_tag(event)
            return None
        return self._shared(event.value)

    def _refuse_tag(self, event: Any) -> None:  # noqa: ANN401 -- see `_node`
        tag = str(event.tag)
        written = f"!!{tag.removeprefix(_CORE_TAG)}" if tag.startswith(_CORE_TAG) else tag
        self._refuse(event, f"`{shown(written)}`: tags are not read; drop it, and put text in quotes")

    def _refuse_double(self, event: Any, key: str, first: Spot) -> None:  # noqa: ANN401 -- see `_node`
        also = Place(self._file, *key_of(first))
        self._refuse(event, f"`{shown(key)}` is written twice (also {also}); keep one of the two")

    def _refuse_syntax(self, error: yaml.MarkedYAMLError, text: str) -> None:
        problem = _problem_of(error, text)
        mark = error.context_mark if problem in _BEGUN_EARLIER and error.context_mark else error.problem_mark
        begin = f"not readable as YAML: {problem}"
        said = _SYNTAX.get(problem, f"{begin}; put the value in quotes, or mend its indentation")
        self._refuse_at((mark.line + 1, mark.column + 1) if mark else (1, 1), said)

    def _refuse_character(self, text: str) -> None:
        bad = _UNPRINTABLE.search(text)
        before, code = (text[: bad.start()], ord(bad[0])) if bad else ("", 0)
        self._refuse_at(_end_of(before), f"the character `U+{code:04X}` is not allowed in YAML; remove it")

    def _refuse(self, event: Any, text: str) -> None:  # noqa: ANN401 -- see `_node`
        self._refuse_at(key_of(_spot(event, event)), text)

    def _refuse_at(self, at: tuple[int, int], text: str) -> None:
        self.findings.append(Finding(Place(self._file, *at), "CX046", text))


def _spot(key: Any, value: Any) -> Spot:  # noqa: ANN401 -- see `_node`
    begin, end = key.start_mark, value.start_mark
    spot: Spot = (begin.line << _KEY_LINE) + (begin.column << _KEY_COLUMN) + (end.line << _VALUE_LINE) + end.column
    return spot


def _problem_of(error: yaml.MarkedYAMLError, text: str) -> str:
    """Name the problem as the parser does; a tab that indents by its own name, which the parser seldom gives it."""
    problem, mark = str(error.problem), error.problem_mark
    return _TAB if problem == _NO_TOKEN and mark and text.startswith("\t", mark.index) else problem


def _end_of(text: str) -> tuple[int, int]:
    """Give the line and the column that follow a text."""
    return text.count("\n") + 1, len(text) - text.rfind("\n")
