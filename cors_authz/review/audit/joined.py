"""What belongs to one request: a check may run several times, and what the client got is a line of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

MAX_LINES: Final = 1000
"""So many lines of one request are kept: its id may be a client's own, and a client may send one id for ever."""

MAX_IDS: Final = 5
"""So many ids with one beginning are told apart."""

Line: TypeAlias = Mapping[str, Any]


class Joined(NamedTuple):
    """The decisions and the deliveries of one request, each in the order of their time; `left_out` were too many."""

    decisions: tuple[Line, ...]
    deliveries: tuple[Line, ...]
    left_out: int = 0


def lines_with(lines: Iterable[bytes], field: str, value: str) -> Iterator[Line]:
    """Give the lines that are an object with this text in a field; whatever else there is, is passed over."""
    return (line for line in _lines_that_begin(lines, field, value) if line[field] == value)


def ids_that_begin(lines: Iterable[bytes], field: str, beginning: str) -> tuple[str, ...]:
    """Give the texts of a field that begin so, `MAX_IDS` at most; what is the text of one, is it alone."""
    found: dict[str, None] = {}
    for line in _lines_that_begin(lines, field, beginning):
        if line[field] == beginning:
            return (beginning,)
        if len(found) < MAX_IDS:
            found[line[field]] = None
    return tuple(found)


def request_of(lines: Iterable[Line]) -> str:
    """Give the request id that lines of one decision agree on; empty where they name none."""
    return next((str(line["request_id"]) for line in lines if line.get("request_id")), "")


def join(lines: Iterable[Line]) -> Joined:
    """Sort the lines of one request; a line that stands in two files is told once."""
    kept: dict[bytes, Line] = {}
    left_out = 0
    for line in lines:
        key = orjson.dumps(line, option=orjson.OPT_SORT_KEYS)
        if len(kept) < MAX_LINES:
            kept[key] = line
        else:
            left_out += key not in kept
    by_time = sorted(kept.values(), key=_time)
    decisions = tuple(line for line in by_time if line.get("kind") == "decision")
    deliveries = tuple(line for line in by_time if line.get("kind") == "delivery")
    return Joined(decisions, deliveries, left_out)


def _lines_that_begin(lines: Iterable[bytes], field: str, beginning: str) -> Iterator[Line]:
    # As orjson writes it; a look at the bytes spares most lines being parsed.
    mark = orjson.dumps(beginning.encode(errors="replace").decode())[:-1]
    for line in lines:
        if mark in line:
            read = _read(line)
            text = read.get(field) if read is not None else None
            if read is not None and isinstance(text, str) and text.startswith(beginning):
                yield read


def _read(line: bytes) -> Line | None:
    try:
        read = orjson.loads(line)
        # What is nested too deep to be told again is none of ours.
        orjson.dumps([[read]])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return read if isinstance(read, dict) else None


def _time(line: Line) -> float:
    time = line.get("time")
    return float(time) if isinstance(time, int | float) else 0.0
