"""Configuration as YAML with comments: each note stands above the setting that it is about."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import yaml

_WIDTH: Final = 120
_NEVER_WRAP: Final = 1_000_000


class _Key(NamedTuple):
    """A key of a mapping: its path without the places in lists, and the line that it stands in."""

    path: tuple[str, ...]
    line: int


def annotated(config: object, notes: Mapping[str, str]) -> str:
    """Write a value of JSON as YAML with comments.

    Args:
        config: The value.
        notes: Comments by the last keys of a setting's path, joined by dots; the more keys match, the better.

    Returns: Lines, each ended by a line feed; comments keep to 120 columns. A note stands where its setting stands
    first. Read as YAML, the text is `config`.
    """
    text = yaml.safe_dump(config, sort_keys=False, width=_NEVER_WRAP)
    lines, left = text.splitlines(), dict(notes)
    above: dict[int, list[str]] = {}
    for key in _keys(yaml.compose(text, Loader=yaml.SafeLoader)):
        name = next((suffix for suffix in _suffixes(key.path) if suffix in left), None)
        if name is not None:
            above.setdefault(key.line, []).extend(_comment(left.pop(name), lines[key.line]))
    written = (line for number, line in enumerate(lines) for line in (*above.get(number, ()), line))
    return "".join(f"{line}\n" for line in written)


def _keys(node: yaml.Node | None, path: tuple[str, ...] = ()) -> Iterator[_Key]:
    """Name every key, from the first line to the last."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _keys(item, path)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, key.value)
            yield _Key(here, key.start_mark.line)
            yield from _keys(value, here)


def _suffixes(path: tuple[str, ...]) -> Iterator[str]:
    return (".".join(path[start:]) for start in range(len(path)))


def _comment(note: str, line: str) -> list[str]:
    prefix = line[: len(line) - len(line.lstrip())] + "# "
    return textwrap.wrap(
        note, _WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False, break_on_hyphens=False
    )
