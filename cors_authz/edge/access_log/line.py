"""A delivery as one line of JSON: `Delivery` of proto/cors_authz/v1/decision.proto."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import orjson

from cors_authz.edge.access_log.governed import Resource
from cors_authz.edge.client_text import carried
from cors_authz.envoy.access_log import Entry
from cors_authz.envoy.bootstrap import LOGGED_RESPONSE_HEADERS
from cors_authz.review.delivery import Decided, Finding, Verdict

_IN_SHADOW: Final = {verdict: f"would_{verdict.value}" for verdict in Verdict} | {Verdict.AGREES: "would_agree"}
_APPLIED: Final = {verdict: verdict.value for verdict in Verdict}
# As the dynamic metadata of a decision names them. A sender may log other headers, and any number of them.
_FIELDS: Final = {
    name: name.removeprefix("access-control-").replace("-", "_") for name in sorted(LOGGED_RESPONSE_HEADERS)
}


class Compared(NamedTuple):
    """An entry, what was decided, what it is for, and what the comparison found."""

    entry: Entry
    decided: Decided | None
    resource: Resource
    findings: tuple[Finding, ...]


def verdicts_of(compared: Compared) -> tuple[str, ...]:
    """Name the verdicts; in shadow, each says what would be."""
    is_shadow = compared.decided is not None and compared.decided.shadow
    words = _IN_SHADOW if is_shadow else _APPLIED
    return tuple(words[finding.verdict] for finding in compared.findings)


def line_of(compared: Compared, share: float) -> bytes:
    """Write a delivery as one line of JSON. What others sent is cut to 256 characters.

    Args:
        compared: the delivery.
        share: of how many of its kind lines are written, 0 to 1; told where it is below 1.
    """
    verdicts = verdicts_of(compared)
    manners = zip(verdicts, (finding.manner for finding in compared.findings), strict=True)
    told: dict[str, object] = {
        "kind": "delivery",
        **_of_entry(compared.entry),
        # Of the policy: a request's own path may hold names and tokens.
        "path": carried(compared.resource.path),
        "group": carried(compared.resource.group),
        "verdicts": verdicts,
        "manners": {verdict: manner for verdict, manner in manners if manner},
        "share": share if share < 1 else None,
    }
    if compared.decided is not None:
        told["decision_id"] = carried(compared.decided.decision_id)
        told["shadow"] = compared.decided.shadow
        told["decided"] = _decided(compared.decided)
    record = {name: value for name, value in told.items() if value}
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def _of_entry(entry: Entry) -> Mapping[str, object]:
    return {
        "time": entry.time,
        "request_id": carried(entry.request_id),
        "status": entry.status,
        "flags": ",".join(entry.flags),
        "details": carried(entry.details),
        "duration_us": entry.duration_us,
        "method": entry.method,
        "host": carried(entry.host),
        "origin": carried(entry.origin),
        "delivered": _delivered(entry.headers),
    }


def _decided(decided: Decided) -> Mapping[str, str]:
    told = {"outcome": decided.outcome, "reason": decided.reason, "rule": decided.rule, "revision": decided.revision}
    return _cut_all({**told, **decided.awaited._asdict()})


def _delivered(headers: Mapping[str, str]) -> Mapping[str, str]:
    return _cut_all({field: headers.get(name, "") for name, field in _FIELDS.items()})


def _cut_all(texts: Mapping[str, str]) -> Mapping[str, str]:
    return {name: carried(text) for name, text in texts.items() if text}
