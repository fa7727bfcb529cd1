"""YAML to plain data in which each map knows its line. Hostile input is an error with a place, never a crash.

JSON is YAML. The documents are built from the parser's events, as PyYAML's own composer crashes on deep input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import yaml

MAX_BYTES: Final = 16 << 20
MAX_DEPTH: Final = 96

_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null"), None),
    **dict.fromkeys(("true", "yes", "on", "y"), True),
    **dict.fromkeys(("false", "no", "off", "n"), False),
}
"""As Envoy reads them, which goes by YAML 1.1: in lower case, in capitals, or with one first."""

_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_OCTAL: Final = re.compile(r"[-+]?0[0-7]{1,20}")
_HEX: Final = re.compile(r"[-+]?0[xX][0-9a-fA-F]{1,15}")
_DECIMAL: Final = re.compile(r"[-+]?[0-9]{0,18}\.[0-9]{1,18}")


class LinedMap(dict[str, Any]):
    """A map of a document; `line` is where it begins, from 1, and `lines` where each key stands."""

    line: int = 0
    lines: Mapping[str, int] = MappingProxyType({})


class UnreadableError(Exception):
    """A text that is no YAML, or more than is read; the message names file and line."""


def line_of(value: object, key: str = "") -> int:
    """Give the line of a key, or where its map begins if it has none; 0 for what was not read from lines."""
    return value.lines.get(key, value.line) if isinstance(value, LinedMap) else 0


def documents(name: str, data: bytes) -> tuple[Any, ...]:
    """Read all documents of a file; empty ones are left out.

    Args:
        name: how errors name the file.
        data: at most 16 MiB of UTF-8, nested at most 96 deep. Aliases stand for the object that they name.

    Raises: UnreadableError.
    """
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"{name}: {len(data)} bytes; {MAX_BYTES >> 20} MiB is the most")
    try:
        read = tuple(_Builder(data.decode()).documents())
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{name}: the byte at {error.start} is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UnreadableError(f"{name}:{line}: not readable as YAML: {_problem(error, data)}") from error
    except yaml.YAMLError as error:
        raise UnreadableError(f"{name}: not readable as YAML: {str(error).splitlines()[0]}") from error
    return tuple(document for document in read if document is not None)


def _problem(error: yaml.MarkedYAMLError, data: bytes) -> str:
    mark = error.problem_mark
    is_tab = mark is not None and data.decode()[mark.index : mark.index + 1] == "\t"
    return "a tab, where YAML takes blanks alone" if is_tab else str(error.problem)


class _Builder:
    def __init__(self, text: str) -> None:
        self._next: Callable[[], Any] = yaml.CSafeLoader(text).get_event
        self._named: dict[str, Any] = {}

    def documents(self) -> Iterator[Any]:
        while (event := self._next()) is not None:
            if isinstance(event, yaml.DocumentStartEvent):
                self._named.clear()
                yield self._value(self._next(), 0)

    def _value(self, event: Any, depth: int) -> Any:  # noqa: ANN401 -- events have no common attributes
        if depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested more than {MAX_DEPTH} deep", problem_mark=event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        value = self._built(event, depth)
        if event.anchor is not None:
            # Only now: what refers to itself would be walked without end.
            self._named[event.anchor] = value
        return value

    def _built(self, event: Any, depth: int) -> Any:  # noqa: ANN401 -- see `_value`
        if isinstance(event, yaml.ScalarEvent):
            return event.value if _is_text(event) else _scalar(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            entries: list[Any] = []
            while not isinstance(entry := self._next(), yaml.SequenceEndEvent):
                entries.append(self._value(entry, depth + 1))
            return entries
        return self._map(event, depth)

    def _map(self, event: Any, depth: int) -> LinedMap:  # noqa: ANN401 -- see `_value`
        built = LinedMap()
        lines: dict[str, int] = {}
        built.line, built.lines = event.start_mark.line + 1, lines
        while not isinstance(key := self._next(), yaml.MappingEndEvent):
            mark: Any = key.start_mark
            if not isinstance(key, yaml.ScalarEvent):
                raise yaml.MarkedYAMLError(problem="a key that is no text", problem_mark=mark)
            lines[key.value] = mark.line + 1
            built[key.value] = self._value(self._next(), depth + 1)
        return built

    def _alias(self, event: Any) -> Any:  # noqa: ANN401 -- see `_value`
        if event.anchor not in self._named:
            raise yaml.MarkedYAMLError(
                problem=f"`*{event.anchor}` names nothing before it", problem_mark=event.start_mark
            )
        return self._named[event.anchor]


def _is_text(event: Any) -> bool:  # noqa: ANN401 -- see `_value`
    """Quotes make a text; a tag such as `!!bool` or `!!str` in front does not keep Envoy from reading a word."""
    return event.tag == "!" or (event.tag is None and not event.implicit[0])


def _scalar(text: str) -> Any:  # noqa: ANN401 -- what YAML may hold
    word = text.lower()
    if word in _WORDS and text in {word, word.upper(), word.capitalize()}:
        return _WORDS[word]
    for form, base in ((_INTEGER, 10), (_OCTAL, 8), (_HEX, 16)):
        if form.fullmatch(text):
            return int(text, base)
    return float(text) if _DECIMAL.fullmatch(text) else text
