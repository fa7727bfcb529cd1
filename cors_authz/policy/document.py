"""Policy documents: YAML text in; models, the places of all that they say, and every mistake of their shape out.

The tree is built from the parser's events. PyYAML's own composer crashes the interpreter on deep input, takes the last
of two equal keys in silence, and reads `no` and `12:30` as YAML 1.1 did.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import Enum, unique
from functools import cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Final, NamedTuple, TypeGuard, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from cors_authz.policy.finding import Finding, Place
from cors_authz.policy.schema import (
    API_VERSION,
    DATE,
    FORMS,
    INSTANT,
    KINDS,
    NAME,
    Exception_,
    Model,
    PolicyBundle,
    Shape,
    moment_of,
    ticked,
)

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_NUMBER_CHARACTERS: Final = 64
"""Longer digits stay text: no key takes such a number, and Python refuses to read very long ones."""
MAX_SHOWN_CHARACTERS: Final = 80

Path = tuple[str | int, ...]


class Source(NamedTuple):
    """A file of the policy: its name as the operator wrote it, and its bytes."""

    name: str
    data: bytes


# --- the tree -----------------------------------------------------------------------------------------------------


@unique
class Blank(Enum):
    """What stands where there is no value."""

    NULL = "null"
    """The author wrote none; no key of the language takes that."""
    UNREAD = "unread"
    """The author wrote something that is refused; nothing further is said of it."""


Scalar = str | int | float | bool | Blank
Data = Any
"""A scalar, a tuple, or a dict with text as keys: what the models are validated from."""

Spot = tuple[int, int, int, int]
"""Line and column, from 1, of an entry's key and of its value; the entries of lists have no key but the value.

A bare tuple, and scalars have no nodes: what holds nothing but numbers and text leaves the collector's lists, which
made reading 100,000 origins twice as fast as nodes for all.
"""


_NOTHING: Final[Mapping[str | int, Any]] = MappingProxyType({})


class Node(NamedTuple):
    """A value of a document with the places of what it holds; `within` has the maps and lists among that."""

    data: Data
    spots: Mapping[str, Spot] | Sequence[Spot] = ()
    within: Mapping[str | int, Node] = _NOTHING


_LEAF: Final = Node(None)


class Partial(dict[str, Any]):
    """The data of a map that had an entry which is refused: a key that is not here may have been meant."""


_CONSTANTS: Final[Mapping[str, bool | float | Blank]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), Blank.NULL),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NUMBER_BEGINS: Final = frozenset("+-.0123456789")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+")
_PREFIXED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


def plain_value(text: str) -> str | int | float | bool | Blank:
    """Read an unquoted scalar by the core schema of YAML 1.2; never raises.

    Returns: Blank.NULL, a truth value or a number where the text says one; the text itself for all else, so also for
    `yes`, `12:30`, dates, and numbers of more than 64 characters.
    Spec: https://yaml.org/spec/1.2.2/#1032-tag-resolution.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMBER_BEGINS or len(text) > MAX_NUMBER_CHARACTERS:
        return text
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _PREFIXED.fullmatch(text):
        return int(text, base=0)
    return float(text) if _FLOAT.fullmatch(text) else text


# --- reading YAML -------------------------------------------------------------------------------------------------

_TOO_DEEP: Final = f"nested more than {MAX_DEPTH} deep"

_SYNTAX: Final[Mapping[str, str]] = {
    _TOO_DEEP: f"nested more than {MAX_DEPTH} deep; a policy needs far less, so look for brackets that are not closed",
    "found character that cannot start any token": (
        "a value cannot begin with this character in YAML (a tab, `@`, `%`, a backtick); put the value in quotes"
    ),
    "found a tab character that violates indentation": "a tab in the indentation; indent with spaces",
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
    "did not find expected node content": "a value is missing here, or a bracket closes what none has opened",
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
_CORE_TAG: Final = "tag:yaml.org,2002:"


class _Read(NamedTuple):
    """A document of a file and where it begins. `whole`: nothing in it was refused."""

    root: Node
    spot: Spot
    whole: bool


class _Reader:
    """Reads the documents of one file; what it refuses is in `findings`. Reading never raises."""

    def __init__(self, source: Source) -> None:
        self.findings: list[Finding] = []
        self._source = source
        self._events: Iterator[Any] = iter(())

    def documents(self) -> Iterator[_Read]:
        """Give the documents that hold something, up to the first place that is no YAML."""
        text = self._text()
        if text is None:
            return
        try:
            yield from self._read(text)
        except yaml.MarkedYAMLError as error:
            self._refuse_syntax(error)
        except yaml.reader.ReaderError:
            self._refuse_character(text)

    def _text(self) -> str | None:
        data = self._source.data.removeprefix(codecs.BOM_UTF8)
        if len(data) > MAX_FILE_BYTES:
            self._refuse_at((1, 1), f"the file has {len(data)} bytes; 1 MiB is the most: move some to a PolicyPart")
            return None
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            before = data[: error.start].decode()
            self._refuse_at(
                _end_of(before), f"the byte `0x{data[error.start]:02x}` is not UTF-8; save the file as UTF-8"
            )
            return None

    def _read(self, text: str) -> Iterator[_Read]:
        self._events = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                refused = len(self.findings)
                first = next(self._events)
                root = self._node(first, 0)
                if root.data is not Blank.NULL:
                    yield _Read(root, _spot(first, first), whole=refused == len(self.findings))

    def _node(self, event: Any, depth: int) -> Node:  # noqa: ANN401 -- the parser's events have no common attributes
        kind = type(event)
        if kind is yaml.ScalarEvent or kind is yaml.AliasEvent:
            return Node(self._scalar(event))
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
        value: str = event.value
        return plain_value(value) if event.implicit[0] else value

    def _list(self, depth: int) -> Node:
        data: list[Data] = []
        spots: list[Spot] = []
        within: dict[str | int, Node] = {}
        while (kind := type(event := next(self._events))) is not yaml.SequenceEndEvent:
            spots.append(_spot(event, event))
            if kind is yaml.ScalarEvent:
                data.append(self._scalar(event))
            else:
                within[len(data)] = node = self._node(event, depth)
                data.append(node.data)
        return Node(tuple(data), tuple(spots), within or _NOTHING)

    def _map(self, depth: int) -> Node:
        data: dict[str, Data] = {}
        spots: dict[str, Spot] = {}
        within: dict[str | int, Node] = {}
        partial = False
        while type(event := next(self._events)) is not yaml.MappingEndEvent:
            key = self._key(event, depth)
            begin = next(self._events)
            node = self._node(begin, depth)
            spot = _spot(event, begin)
            if key is None:
                partial = True
            elif (first := spots.setdefault(key, spot)) is not spot:
                self._refuse_double(event, key, first)
            else:
                data[key] = node.data
                if node.spots:
                    within[key] = node
        return Node(Partial(data) if partial else data, spots, within or _NOTHING)

    def _key(self, event: Any, depth: int) -> str | None:  # noqa: ANN401 -- see `_node`
        """Read a key as text; None for one that is refused."""
        if type(event) is not yaml.ScalarEvent:
            if self._node(event, depth).data is not Blank.UNREAD:
                self._refuse(event, "a list or a map as a key; keys are text: put it in quotes if it is meant as text")
            return None
        if event.value == "<<" and event.implicit[0]:
            self._refuse(
                event, "`<<`: merge keys are not read; write the keys out, or give a list a name in headerSets"
            )
            return None
        return None if self._scalar(event) is Blank.UNREAD else str(event.value)

    def _refuse_tag(self, event: Any) -> None:  # noqa: ANN401 -- see `_node`
        tag = str(event.tag)
        written = f"!!{tag.removeprefix(_CORE_TAG)}" if tag.startswith(_CORE_TAG) else tag
        self._refuse(event, f"`{shown(written)}`: tags are not read; drop it, and put text in quotes")

    def _refuse_double(self, event: Any, key: str, first: Spot) -> None:  # noqa: ANN401 -- see `_node`
        also = Place(self._source.name, *first[:2])
        self._refuse(event, f"`{shown(key)}` is written twice (also {also}); keep one of the two")

    def _refuse_syntax(self, error: yaml.MarkedYAMLError) -> None:
        problem = str(error.problem)
        mark = error.context_mark if problem in _BEGUN_EARLIER and error.context_mark else error.problem_mark
        begin = f"not readable as YAML: {problem}"
        text = _SYNTAX.get(problem, f"{begin}; put the value in quotes, or mend its indentation")
        self._refuse_at((mark.line + 1, mark.column + 1) if mark else (1, 1), text)

    def _refuse_character(self, text: str) -> None:
        bad = _UNPRINTABLE.search(text)
        before, code = (text[: bad.start()], ord(bad[0])) if bad else ("", 0)
        self._refuse_at(_end_of(before), f"the character `U+{code:04X}` is not allowed in YAML; remove it")

    def _refuse(self, event: Any, text: str) -> None:  # noqa: ANN401 -- see `_node`
        self._refuse_at(_spot(event, event)[:2], text)

    def _refuse_at(self, at: tuple[int, int], text: str) -> None:
        self.findings.append(Finding(Place(self._source.name, *at), "CX046", text))


def _spot(key: Any, value: Any) -> Spot:  # noqa: ANN401 -- see `_node`
    begin, end = key.start_mark, value.start_mark
    return begin.line + 1, begin.column + 1, end.line + 1, end.column + 1


def _end_of(text: str) -> tuple[int, int]:
    """Give the line and the column that follow a text."""
    return text.count("\n") + 1, len(text) - text.rfind("\n")


# --- what is wrong with the shape ---------------------------------------------------------------------------------


class Fault(NamedTuple):
    """A mistake at a path of a document: at the value, or at the key that leads to it."""

    path: Path
    text: str
    at_key: bool = False
    code: str = "CX046"


class _Problem(NamedTuple):
    """An error of pydantic, with the root of the models that it was found in."""

    root: type[Shape]
    path: Path
    value: object
    limits: Mapping[str, Any]


def shown(value: str) -> str:
    """Show an author's text on one line of a terminal: cut at 80 characters, without control characters."""
    cut = value if len(value) <= MAX_SHOWN_CHARACTERS else value[: MAX_SHOWN_CHARACTERS - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _said(value: object) -> str:
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"the number `{shown(str(value))}`"
        case str():
            return f"the text `{shown(value)}`"
        case Mapping():
            return "a map"
        case _:
            return "a list"


def _called(path: Path) -> str:
    """Call the value at a path by its key, an entry of a list by its number, the whole by its kind of thing."""
    match path:
        case ():
            return "the document"
        case (*_, str() as key, int() as index):
            return f"entry {index + 1} of `{shown(key)}`"
        case _:
            return f"`{shown(str(path[-1]))}`"


def _suggestion(word: object, words: Sequence[str]) -> str:
    near = get_close_matches(str(word).casefold(), [known.casefold() for known in words], 1)
    meant = next((known for known in words if near and known.casefold() == near[0]), None)
    return f"; did you mean `{meant}`?" if meant else ""


def _keys_of(shape: type[Shape]) -> dict[str, Any]:
    return {str(field.alias): field.annotation for field in shape.model_fields.values()}


def _bare(annotation: Any) -> Any:  # noqa: ANN401 -- annotations have no type of their own
    """Take off `Annotated` and `| None`."""
    while get_origin(annotation) in {Annotated, Union, UnionType}:
        annotation = get_args(annotation)[0]
    return annotation


def _annotation_at(root: type[Shape], path: Path) -> Any:  # noqa: ANN401 -- see `_bare`
    here: Any = root
    for step in path:
        here = _bare(here)
        if _is_shape(here):
            here = _keys_of(here).get(str(step))
        else:
            here = get_args(here)[-1] if get_origin(here) is dict else get_args(here)[0]
    return _bare(here)


def _shape_at(root: type[Shape], path: Path) -> type[Shape]:
    shape: type[Shape] = _annotation_at(root, path)
    return shape


def _many(term: str) -> str:
    bare = term.removeprefix("an ").removeprefix("a ")
    return f"{bare[:-1]}ies" if bare.endswith("y") else f"{bare}s"


_WANTED: Final[Mapping[Any, str]] = {
    str: "text",
    int: "a whole number",
    float: "a percentage",
    dict: "a map",
    timedelta: "a duration",
    datetime: "a date",
}


def _wanted(annotation: Any) -> str:  # noqa: ANN401 -- see `_bare`
    if get_origin(annotation) is tuple:
        item = _bare(get_args(annotation)[0])
        return f"a list of {_many(item.term) if _is_shape(item) else 'text'}"
    if _is_shape(annotation):
        return "a map"
    return _WANTED[get_origin(annotation) or annotation]


def _is_shape(annotation: Any) -> TypeGuard[type[Shape]]:  # noqa: ANN401 -- see `_bare`
    return isinstance(annotation, type) and issubclass(annotation, Shape)


def _of_wrong_type(problem: _Problem) -> str:
    called, value = _called(problem.path), problem.value
    if value is Blank.NULL:
        return _without_value(problem)
    annotation = _annotation_at(problem.root, problem.path)
    return f"{called} wants {_wanted(annotation)}, not {_said(value)}{_retyped(annotation, problem)}"


def _retyped(annotation: Any, problem: _Problem) -> str:  # noqa: ANN401 -- see `_bare`
    """Say how the value is written in the type that is wanted, where that is plain."""
    value = problem.value
    if get_origin(annotation) is tuple and isinstance(value, str) and not _is_shape(_bare(get_args(annotation)[0])):
        return f"; write {problem.path[-1]}: [{shown(value)}]"
    if annotation is timedelta and isinstance(value, int) and not isinstance(value, bool):
        return f"; write its unit too: {value}s"
    if annotation is str and isinstance(value, int | float):
        return "; put it in quotes"
    return ""


def _of_wrong_form(problem: _Problem) -> str:
    form = FORMS[problem.limits["pattern"]]
    text = str(problem.value)
    return f"`{shown(text)}` is not {form.noun}; write {_reformed(form.pattern, text) or form.written}"


def _reformed(pattern: str, text: str) -> str | None:
    """Write the text in the form that is wanted, where only the spelling is off."""
    if pattern == NAME.pattern:
        name = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
        return f"`{name}`" if re.fullmatch(NAME.pattern, name) else None
    if pattern == INSTANT.pattern and moment_of(DATE, text):
        return f"{text}T00:00:00Z"
    return _in_utc(text) if pattern in {DATE.pattern, INSTANT.pattern} else None


def _in_utc(text: str) -> str | None:
    try:
        moment = datetime.fromisoformat(text)
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _of_no_choice(problem: _Problem) -> str:
    if problem.value is Blank.NULL:
        return _without_value(problem)
    choices = re.sub("'([^']*)'", r"`\1`", problem.limits["expected"])
    if choices == "true":
        return f"{_called(problem.path)} is true or is left out, not {_said(problem.value)}"
    near = _suggestion(problem.value, re.findall("`([^`]*)`", choices)) if isinstance(problem.value, str) else ""
    return f"{_called(problem.path)} takes {choices}, not {_said(problem.value)}{near}"


def _of_unknown_key(problem: _Problem) -> str:
    shape, key = _shape_at(problem.root, problem.path[:-1]), str(problem.path[-1])
    keys = _keys_of(shape)
    begun = f"`{shown(key)}` is not a key of {shape.term}"
    if len(problem.path) == 1 and key in _keys_of(PolicyBundle):
        return f"{begun}; it stands in the PolicyBundle: move it there"
    return begun + (_suggestion(key, list(keys)) or f"; its keys are {ticked(keys)}")


def _of_missing_key(problem: _Problem) -> str:
    owner, key = problem.path[:-1], problem.path[-1]
    return f"{_called(owner)} has no `{key}`; {_shape_at(problem.root, owner).term} needs one: add {key}"


def _of_short_list(problem: _Problem) -> str:
    least = problem.limits["min_length"]
    if not problem.value:
        return f"{_called(problem.path)} is an empty list; name at least {least}{_or_nothing(problem)}"
    return f"{_called(problem.path)} has too few entries; name at least {least}"


def _of_short_text(problem: _Problem) -> str:
    if not problem.value:
        return f"{_called(problem.path)} is empty; write something{_or_nothing(problem)}"
    least = problem.limits["min_length"]
    return f"`{shown(str(problem.value))}` is too short for {_called(problem.path)}; {least} characters are the least"


def _without_value(problem: _Problem) -> str:
    return f"{_called(problem.path)} has no value; write one{_or_nothing(problem)}"


def _or_nothing(problem: _Problem) -> str:
    """Offer to leave the value out, unless its key is required."""
    owner = _annotation_at(problem.root, problem.path[:-1])
    required = _is_shape(owner) and problem.path[-1] in {
        field.alias for field in owner.model_fields.values() if field.is_required()
    }
    return "" if required else " or leave it out"


_SENTENCES: Final[Mapping[str, Callable[[_Problem], str]]] = {
    "extra_forbidden": _of_unknown_key,
    "missing": _of_missing_key,
    "literal_error": _of_no_choice,
    "string_pattern_mismatch": _of_wrong_form,
    "string_too_short": _of_short_text,
    "string_too_long": lambda p: (
        f"{_called(p.path)} has {len(str(p.value))} characters; {p.limits['max_length']} is the most: shorten it"
    ),
    "too_short": _of_short_list,
    "listed_twice": lambda p: f"{_called(p.path)} names one of its entries twice; name each once",
    "greater_than_equal": lambda p: f"{_called(p.path)} is `{p.value}`; {p.limits['ge']} is the least",
    "less_than_equal": lambda p: f"{_called(p.path)} is `{p.value}`; {p.limits['le']} is the most",
    **dict.fromkeys(("string_type", "int_type", "tuple_type", "dict_type", "model_type"), _of_wrong_type),
}

_EXCEPTION_NEEDS: Final[Mapping[str, str]] = {
    "until": "an exception ends: write until: {until}",
    "reason": "an exception says why: write reason: and one sentence",
    "ticket": "an exception can be looked up: write ticket: and its number",
}
_USUAL_LENGTH: Final = timedelta(days=21)
_SOME_END: Final = "2026-12-31T00:00:00Z"


def _end_for(data: Mapping[str, object]) -> str:
    """Suggest an end for an exception: three weeks after its beginning, where that is known."""
    begun = moment_of(INSTANT, str(data.get("from")))
    try:
        return f"{begun + _USUAL_LENGTH:%Y-%m-%dT%H:%M:%SZ}" if begun else _SOME_END
    except OverflowError:
        return _SOME_END


def _counts_refused(error: Mapping[str, Any]) -> bool:
    """Tell whether a list is short only because pydantic counts the entries that it accepts."""
    return error["type"] == "too_short" and bool(len(error["input"]) >= error["ctx"]["min_length"])


def _fault(root: type[Shape], error: Mapping[str, Any]) -> Fault | None:
    """Say an error of pydantic in a sentence; None where it follows from something that was refused before."""
    kind, path, value = error["type"], error["loc"], error["input"]
    missing = kind == "missing"
    if value is Blank.UNREAD or (missing and isinstance(value, Partial)) or _counts_refused(error):
        return None
    of_key = kind != "extra_forbidden" and path[-1:] == ("[key]",)
    path = path[:-1] if of_key else path
    if missing and path[-1] in _EXCEPTION_NEEDS and _shape_at(root, path[:-1]) is Exception_:
        mend = _EXCEPTION_NEEDS[path[-1]].format(until=_end_for(value))
        return Fault(path[:-1], f"{shown(str(path[-2]))} has no `{path[-1]}`; {mend}", at_key=True, code="CX024")
    text = _SENTENCES[kind](_Problem(root, path, value, error.get("ctx", {})))
    return Fault(path[:-1] if missing else path, text, at_key=missing or of_key or kind == "extra_forbidden")


def _broken_rules(shape: type[Shape], data: object, path: Path = ()) -> Iterator[Fault]:
    """Ask the rules of every object in the data that one of the models describes."""
    if not isinstance(data, dict):
        return
    if shape.rules and not isinstance(data, Partial):
        for rule in shape.rules:
            for key, text in rule.objections(data, shape.term):
                yield Fault((*path, key) if key else path, f"{_called(path)} {text}", at_key=True)
    for key, (child, many) in _parts(shape).items():
        if key in data:
            for step, part in _each(data[key], many=many):
                yield from _broken_rules(child, part, (*path, key, *step))


@cache
def _parts(shape: type[Shape]) -> Mapping[str, tuple[type[Shape], bool]]:
    """Give the keys below which a rule may apply: the shape there, and whether many of it stand there."""
    parts = {}
    for key, annotation in _keys_of(shape).items():
        bare = _bare(annotation)
        many = get_origin(bare) in {tuple, dict}
        child = _bare(get_args(bare)[-1 if get_origin(bare) is dict else 0]) if many else bare
        if _is_shape(child) and (child.rules or _parts(child)):
            parts[key] = (child, many)
    return parts


def _each(data: object, *, many: bool) -> Iterator[tuple[Path, object]]:
    """Give the objects that stand at a key, each with the rest of its path."""
    if not many:
        yield (), data
    elif isinstance(data, dict):
        yield from (((key,), part) for key, part in data.items())
    elif isinstance(data, tuple):
        yield from (((index,), part) for index, part in enumerate(data))


def _validated(model: type[Model], data: object) -> tuple[Model | None, list[Fault]]:
    faults = list(_broken_rules(model, data))
    try:
        return model.model_validate(data), faults
    except ValidationError as refused:
        errors = refused.errors(include_url=False)
        return None, [*faults, *(fault for error in errors if (fault := _fault(model, error)))]


def _unknown_kind(data: object) -> list[Fault]:
    """Say why no model describes a document: it is no map, or of another version or kind."""
    if not isinstance(data, dict):
        begins = f"apiVersion: {API_VERSION}"
        return [] if data is Blank.UNREAD else [Fault((), f"{_said(data)}, not a document; it begins with {begins}")]
    faults = []
    for key, known in (("apiVersion", (API_VERSION,)), ("kind", tuple(KINDS))):
        if key not in data and not isinstance(data, Partial):
            faults.append(Fault((), f"the document has no `{key}`; write {key}: {' or '.join(known)}"))
        elif key in data and data[key] not in known and data[key] is not Blank.UNREAD:
            faults.append(Fault((key,), _unknown(key, data[key], known)))
    return faults


def _unknown(key: str, value: object, known: Sequence[str]) -> str:
    if not isinstance(value, str):
        written = "has no value" if value is Blank.NULL else f"is {_said(value)}"
        return f"`{key}` {written}; write {key}: {' or '.join(known)}"
    near = _suggestion(value, known) if len(known) > 1 else ""
    return f"`{shown(value)}` is not one of the values of `{key}`{near or f'; write {key}: ' + ' or '.join(known)}"


# --- documents ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Document:
    """A document without a mistake of its shape: what it says, and where."""

    file: str
    kind: str
    root: Node
    begin: Spot
    model: Model

    def place(self, *path: str | int) -> Place:
        """Give the place of the value at a path of keys, as YAML writes them, and of indices from 0.

        Returns: the place; that of the nearest value around it where the path leads to nothing. Never raises.
        """
        return Place(self.file, *_spot_of(self.root, self.begin, path)[2:])

    def key_place(self, *path: str | int) -> Place:
        """Give the place of the key at a path; entries of lists have none, so there it is that of the value.

        Returns: the place; that of the nearest key around it where the path leads to nothing. Never raises.
        """
        return Place(self.file, *_spot_of(self.root, self.begin, path)[:2])


def _spot_of(root: Node, begin: Spot, path: Path) -> Spot:
    """Follow a path as far as it leads. Walked anew each time: a table of 100,000 origins' places would cost more."""
    node, spot = root, begin
    for step in path:
        match node.spots, step:
            case Mapping() as spots, str() if step in spots:
                spot = spots[step]
            case tuple() as spots, int() if 0 <= step < len(spots):
                spot = spots[step]
            case _:
                break
        node = node.within.get(step, _LEAF)
    return spot


def read_documents(sources: Sequence[Source]) -> tuple[tuple[Document, ...], tuple[Finding, ...]]:
    """Read the files of a policy.

    Args:
        sources: the files, each at most 1 MiB of UTF-8; one or more YAML documents a file, empty ones are skipped.

    Returns: the documents without a mistake; every mistake of the others (CX046; CX024 for an exception without end,
    reason or ticket) in the order of files and lines. A policy without any document is a mistake, too. Never raises.
    Spec: https://yaml.org/spec/1.2.2/.
    """
    documents: list[Document] = []
    findings: list[Finding] = []
    for source in sources:
        read, refused = _read_source(source)
        documents.extend(read)
        findings.extend(sorted(refused, key=lambda finding: (finding.place.line, finding.place.column)))
    if not documents and not findings:
        nowhere = Place(sources[0].name if sources else "policy", 1, 1)
        findings.append(Finding(nowhere, "CX046", f"the policy is empty; it begins with apiVersion: {API_VERSION}"))
    return tuple(documents), tuple(findings)


def _read_source(source: Source) -> tuple[list[Document], list[Finding]]:
    documents: list[Document] = []
    findings: list[Finding] = []
    reader = _Reader(source)
    for read in reader.documents():
        model, faults = _model_of(read.root.data)
        findings.extend(_finding(source.name, read, fault) for fault in faults)
        if model and not faults and read.whole:
            documents.append(Document(source.name, model.kind, read.root, read.spot, model))
    return documents, [*reader.findings, *findings]


def _model_of(data: Data) -> tuple[Model | None, list[Fault]]:
    faults = _unknown_kind(data)
    if faults or not isinstance(data, dict) or data.get("kind") not in KINDS:
        return None, faults
    return _validated(KINDS[data["kind"]], data)


def _finding(file: str, read: _Read, fault: Fault) -> Finding:
    spot = _spot_of(read.root, read.spot, fault.path)
    about = "/".join(str(step) for step in fault.path[:2])
    return Finding(Place(file, *(spot[:2] if fault.at_key else spot[2:])), fault.code, fault.text, about=about)
