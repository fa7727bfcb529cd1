"""What `origins` prints for machines: one JSON object, with what is known of the sources."""

from __future__ import annotations

import json
from collections.abc import Iterable

from cors_authz.review.drift import StaleLine, Stranger
from cors_authz.review.listing import Listed
from cors_authz.review.usage import Tally, Usage


def usage_json(usage: Usage, lines: Iterable[Listed]) -> str:
    """Write who asked, and how each line of the policy was used; no tenant or origin (null) stands for all others."""
    rows = sorted(usage.rows.items(), key=lambda item: (-item[1].last, str(item[0])))
    listed = [_line(line) | _tally(usage.listed.get(line)) for line in lines]
    return _written(usage, {"origins": [who._asdict() | _tally(tally) for who, tally in rows], "listed": listed})


def stale_json(usage: Usage, found: Iterable[StaleLine]) -> str:
    """Write the lines that nobody used."""
    return _written(usage, {"stale": [_line(each.line) | {"last": each.last} for each in found]})


def strangers_json(usage: Usage, found: Iterable[Stranger]) -> str:
    """Write the unlisted origins that ask."""
    return _written(usage, {"unknown": list(map(_stranger, found))})


def _written(usage: Usage, said: dict[str, object]) -> str:
    sources = usage.sources
    span = sources.reach()
    known = {
        "since": span.since if span else None,
        "until": span.until if span else None,
        "decisions": sources.decisions,
        "pages": sources.pages,
        "garbage": sources.garbage,
        "folded": sources.folded,
        "torn": sources.torn,
        "least_share": sources.least_share,
        "silent": [gap._asdict() for gap in sources.silent_days(span)] if span else [],
    }
    return json.dumps({"sources": known, **said}, indent=2)


def _line(line: Listed) -> dict[str, object]:
    return {
        "tenant": line.tenant,
        "origin_group": line.origin_group,
        "listed": line.text,
        "file": line.place.file,
        "line": line.place.line,
        "column": line.place.column,
    }


def _tally(tally: Tally | None) -> dict[str, object]:
    if tally is None:
        return {"first": None, "last": None, "outcomes": {}, "methods": []}
    outcomes = {outcome: round(count) for outcome, count in tally.outcomes.items()}
    return {"first": tally.first, "last": tally.last, "outcomes": outcomes, "methods": sorted(tally.methods)}


def _stranger(stranger: Stranger) -> dict[str, object]:
    mark = stranger.mark
    return {
        "origin": stranger.origin,
        **_tally(stranger.tally),
        "asks_for": {each.group: round(each.asks) for each in stranger.wanted},
        "mark": mark.likeness.value if mark else "",
        "near": mark.near if mark else "",
    }
