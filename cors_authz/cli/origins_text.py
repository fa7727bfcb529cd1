"""What `origins` prints for people: tables, and what there is to know of the sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from math import ceil, log
from typing import Final

from cors_authz.pdp.decision import Outcome
from cors_authz.policy.finding import shown
from cors_authz.review.drift import StaleLine, Stranger
from cors_authz.review.listing import Listed
from cors_authz.review.usage import Sources, Span, Tally, Usage, Who

DAY_SECONDS: Final = 86_400

_OUTCOMES: Final = tuple(outcome.value for outcome in Outcome)
_UNITS: Final = (("day", DAY_SECONDS), ("hour", 3_600), ("minute", 60))
_OTHERS: Final = "(others)"
_NONE: Final = "-"
_ALMOST_SURE: Final = 0.95


def instant(seconds: float) -> str:
    """Write a time in seconds since the epoch to the minute, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%MZ}"


def span_text(span: Span) -> str:
    """Write a time from its begin to its end."""
    return f"{instant(span.since)} to {instant(span.until)}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write rows below a head, in columns; what clients sent is made fit for a terminal."""
    lines = [tuple(head), *(tuple(map(shown, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "".join(f"{line.rstrip()}\n" for line in padded)


def usage_text(usage: Usage) -> str:
    """Write who asked, the latest first."""
    head = ("last seen", "first seen", *_OUTCOMES, "tenant", "group", "origin group", "origin")
    rows = sorted(usage.rows.items(), key=lambda item: (-item[1].last, str(item[0])))
    return table(head, (_row(who, tally) for who, tally in rows))


def listed_text(lines: Iterable[Listed], usage: Usage) -> str:
    """Write how each line of the policy was used."""
    head = ("last seen", "first seen", *_OUTCOMES, "tenant", "origin group", "listed", "at")
    return table(head, (_listed_row(line, usage.listed.get(line)) for line in lines))


def strangers_text(strangers: Iterable[Stranger]) -> str:
    """Write the unlisted origins that ask."""
    head = ("checks", "first seen", "last seen", "methods", "asks for", "origin", "note")
    return table(head, map(_stranger_row, strangers))


def stale_text(found: Sequence[StaleLine], seconds: float) -> str:
    """Write the lines that nobody used for so many seconds."""
    if not found:
        return f"every listed origin was used within {length_text(seconds)}\n"
    return table(("last seen", "tenant", "origin group", "listed", "at"), map(_stale_row, found))


def length_text(seconds: float) -> str:
    """Write a length of time in the largest unit of which there is one."""
    for name, unit in _UNITS:
        if seconds >= unit:
            number = f"{round(seconds / unit, 2):g}"
            return f"{number} {name}{'' if number == '1' else 's'}"
    return "less than a minute"


def source_notes(sources: Sources, span: Span | None) -> Iterator[str]:
    """Say what was read, and what makes it less than the whole."""
    when = f", {span_text(span)}" if span else ""
    yield f"read: decisions {_number(sources.decisions)}, services {sources.pages}{when}"
    if sources.garbage:
        yield f"lines that are no record, or of a time to come, and were passed over: {_number(sources.garbage)}"
    for name in sources.torn:
        yield f"{shown(name)} ends too early, and what it has was read: it was cut off, or is still written"
    if sources.folded:
        yield (
            f"checks that found no room in the services' memory, and whose is not known: {_number(sources.folded)};"
            " audit files have them"
        )
    if sources.least_share < 1:
        unseen = ceil(log(1 - _ALMOST_SURE) / log(1 - sources.least_share))
        yield (
            f"some records are kept in a share of {sources.least_share:g}: numbers are estimates, and who asked less"
            f" than {unseen} times may have left no record"
        )
    for gap in sources.silent_days(span) if span else ():
        yield f"there is no decision from {span_text(gap)}: if a service ran then, audit files are missing"


def _row(who: Who, tally: Tally) -> tuple[str, ...]:
    tenant, origin = (_OTHERS if text is None else text or _NONE for text in (who.tenant, who.origin))
    return (*_numbers(tally), tenant, who.group or _NONE, who.origin_group or _NONE, origin)


def _listed_row(line: Listed, tally: Tally | None) -> tuple[str, ...]:
    numbers = _numbers(tally) if tally else ("never", "never", *("0" for _ in _OUTCOMES))
    return (*numbers, line.tenant or _NONE, line.origin_group, line.text, str(line.place))


def _numbers(tally: Tally) -> tuple[str, ...]:
    counts = (_number(tally.outcomes.get(outcome, 0)) for outcome in _OUTCOMES)
    return (instant(tally.last), instant(tally.first), *counts)


def _stale_row(stale: StaleLine) -> tuple[str, ...]:
    line = stale.line
    last = instant(stale.last) if stale.last else "never"
    return (last, line.tenant or _NONE, line.origin_group, line.text, str(line.place))


def _stranger_row(stranger: Stranger) -> tuple[str, ...]:
    tally, mark = stranger.tally, stranger.mark
    wanted = ", ".join(f"{each.group or _NONE} ({_number(each.asks)})" for each in stranger.wanted)
    note = f"{mark.likeness.value}{': ' + mark.near if mark.near else ''}" if mark else ""
    seen = (instant(tally.first), instant(tally.last))
    return (_number(tally.asks), *seen, ", ".join(sorted(tally.methods)) or _NONE, wanted, stranger.origin, note)


def _number(number: float) -> str:
    return f"{round(number):,}"
