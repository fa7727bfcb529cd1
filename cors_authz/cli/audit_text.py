"""What is said of audit files, for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import orjson

from cors_authz.policy.finding import printable
from cors_authz.review.audit.joined import Joined, Line
from cors_authz.review.audit.verify import At, Report

_MAX_LISTED = 10
_UNSIGNED = "not checked for signatures: without --public-key, heads are no proof"


def verdict_lines(report: Report, names: Sequence[str], *, are_signed: bool) -> Iterator[str]:
    """Say what is wrong with the files, line by line, then what was read, then what is not proven."""
    for breach in report.breaches:
        yield f"{_place(breach.at, names)}: {breach.fault.value}: {breach.text}"
    left_out = report.breach_count - len(report.breaches)
    if left_out:
        yield f"and {left_out} more"
    yield from _notes(report, names)
    signed = f"{report.signed} signed with a key that was given" if are_signed else _UNSIGNED
    verdict = "NOT whole" if report.breach_count else "whole"
    lost = f", {report.lost} lost" if report.lost else ""
    yield (
        f"{verdict}: {_count(report.records, 'record')} of {_count(len(report.writers), 'writer')} "
        f"in {_count(len(names), 'file')}{lost}, {_count(report.heads, 'head')} ({signed})"
    )


def _notes(report: Report, names: Sequence[str]) -> Iterator[str]:
    for at in report.torn[:_MAX_LISTED]:
        yield f"{_place(at, names)}: note: a line was not ended: its writer was killed here, or the disk was full"
    yield from _rest(report.torn)
    for loss in report.losses[:_MAX_LISTED]:
        lost = f"{_count(loss.records, 'record')} {'was' if loss.records == 1 else 'were'} lost"
        yield f"{_place(loss.at, names)}: note: {lost} before this line, since its writer's last head"
    yield from _rest(report.losses)
    for file in report.empty[:_MAX_LISTED]:
        yield f"{names[file]}: note: no line of a writer is in this file, so it proves nothing"
    yield from _rest(report.empty)
    for at in report.unproven[:_MAX_LISTED]:
        yield f"{_place(at, names)}: note: nothing proves this line: what came before is not in these files"
    yield from _rest(report.unproven)
    for tail in report.tails[:_MAX_LISTED]:
        lines = f"{_count(tail.lines, 'record')} of writer {tail.writer}"
        yield f"{_place(tail.at, names)}: note: no head anchors {lines} from here on"
    yield from _rest(report.tails)
    for writer, seq in report.begins_late[:_MAX_LISTED]:
        yield f"note: writer {writer} begins at its line {seq}: what came before is not in these files"
    yield from _rest(report.begins_late)
    for writer in report.open_ends[:_MAX_LISTED]:
        yield f"note: writer {writer} has no end: it still runs, was killed, or its end was cut off"
    yield from _rest(report.open_ends)


def _rest(listed: Sequence[object]) -> Iterator[str]:
    if len(listed) > _MAX_LISTED:
        yield f"note: and {len(listed) - _MAX_LISTED} more of these"


def _place(at: At, names: Sequence[str]) -> str:
    return f"{names[at.file]}:{at.line}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def to_text(joined: Joined) -> str:
    """Write the lines of one request, one below the other."""
    deliveries = "1 delivery" if len(joined.deliveries) == 1 else f"{len(joined.deliveries)} deliveries"
    lines = [f"{_count(len(joined.decisions), 'decision')}, {deliveries}"]
    for decision in joined.decisions:
        lines += ["", *_decision(decision)]
    for delivery in joined.deliveries:
        lines += ["", *_delivery(delivery)]
    lines += ["", f"{joined.left_out} more were left out"] if joined.left_out else []
    return "\n".join(map(printable, lines)) + "\n"


def _decision(line: Line) -> Iterator[str]:
    shadow = ", in shadow: not applied" if line.get("shadow") else ""
    status = f", status {line['status']}" if line.get("status") else ""
    became = f"{line.get('outcome')}, {line.get('reason')}{status}{shadow}"
    yield f"{_instant(line)}  decision {line.get('decision_id', '')}: {became}"
    origin = f" from {line['origin']} ({line.get('origin_group') or 'not listed'})" if line.get("origin") else ""
    yield f"  request        {line.get('method', '')} {line.get('host', '')}{line.get('path', '')}{origin}"
    yield from _pairs(line, ("group", "rule", "tenant", "version", "principal", "revision", "trace_id"))
    justification = _object(line, "justification")
    if justification:
        yield f"  justification  {justification.get('at', '')} {justification.get('text', '')}".rstrip()
    for guard in _list(line, "guards"):
        told = guard if isinstance(guard, dict) else {}
        yield f"  guard          {told.get('name', '')}: {told.get('verdict', '')}"
    for name in ("headers", "claims"):
        for key, value in _object(line, name).items():
            yield f"  {name[:-1]:<15}{key}: {value}"
    yield from _lists(line, ("roles", "injected", "masked", "erased"))
    yield f"  took           {line.get('latency_us', 0)} µs"


def _delivery(line: Line) -> Iterator[str]:
    manners = _object(line, "manners")
    verdicts = map(str, _list(line, "verdicts"))
    told = (f"{each} ({manners[each]})" if each in manners else each for each in verdicts)
    yield f"{_instant(line)}  delivery of {line.get('decision_id') or 'no decision'}: {', '.join(told)}"
    yield f"  request        {line.get('method', '')} {line.get('host', '')}{line.get('path', '')}"
    yield from _pairs(line, ("status", "flags", "details", "duration_us"))
    for name in ("decided", "delivered"):
        for key, value in _object(line, name).items():
            yield f"  {name:<15}{key}: {value}"


def _pairs(line: Line, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if line.get(name):
            yield f"  {name:<15}{line[name]}"


def _lists(line: Line, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if listed := _list(line, name):
            yield f"  {name:<15}{', '.join(map(str, listed))}"


def _object(line: Line, name: str) -> Mapping[str, object]:
    """Give the object in a field: who can write the file can put anything there."""
    value = line.get(name)
    return value if isinstance(value, dict) else {}


def _list(line: Line, name: str) -> Sequence[object]:
    value = line.get(name)
    return value if isinstance(value, list) else ()


def _instant(line: Line) -> str:
    time = line.get("time")
    try:
        return datetime.fromtimestamp(float(time or 0), UTC).isoformat(timespec="milliseconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return "at no time"


def to_json(joined: Joined) -> str:
    """Write the lines of one request as one object of JSON, with what would steer a terminal escaped."""
    text = orjson.dumps(joined._asdict()).decode()
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
