"""What a client got, held against what was decided: do the two agree, and if not, who interfered."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, unique
from typing import Final, NamedTuple

from cors_authz.pdp.decision import Outcome
from cors_authz.pdp.response import Delivery

VIA_UPSTREAM: Final = "via_upstream"
"""Envoy's details of a response that an upstream gave; all others are Envoy's own.

Spec: https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/response_code_details.
"""
_CHECK_FAILED: Final = "ext_authz_error"
_FOLLOWED: Final = "internal_redirect"
"""Envoy followed an upstream's redirect: no client got this response, and the next request has an entry of its own."""
_FIRST_REFUSAL: Final = 400
_PREFLIGHTS: Final = frozenset({Outcome.PREFLIGHT_ALLOW.value, Outcome.PREFLIGHT_DENY.value})
_ALLOW: Final = Outcome.ALLOW.value
_ANY: Final = "*"


@unique
class Verdict(Enum):
    """How what a client got agrees with what was decided; docs/access-log.md says what each one means."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    AGREES = "agrees"
    ALLOW_ORIGIN_DIFFERS = "allow_origin_differs"
    CREDENTIALS_DIFFERS = "credentials_differs"
    EXPOSE_HEADERS_DIFFERS = "expose_headers_differs"
    VARY_MISSES = "vary_misses"
    MISSING_ON_LOCAL_REPLY = "missing_on_local_reply"
    NOT_APPLIED = "not_applied"
    NO_RESPONSE = "no_response"
    UNCHECKED = "unchecked"
    CHECK_FAILED = "check_failed"
    ANSWERED_BEFORE_CHECK = "answered_before_check"


UNREMARKABLE: Final = frozenset({Verdict.AGREES, Verdict.NO_RESPONSE})
"""Verdicts of which a share may stand for all."""


class Decided(NamedTuple):
    """What was decided, as it travels in Envoy's dynamic metadata. `awaited` is what the client should get."""

    outcome: str
    reason: str
    decision_id: str
    revision: str
    group: str
    rule: str
    shadow: bool
    awaited: Delivery


class Delivered(NamedTuple):
    """What the client got.

    Args:
        status: the final status, 0 where the client left before there was one.
        details: Envoy's details of the response code.
        reached_upstream: whether an upstream was asked.
        headers: as they left Envoy; lines of one name are joined by commas.
    """

    status: int
    details: str
    reached_upstream: bool
    headers: Delivery


class Finding(NamedTuple):
    """A verdict and, where it needs one, the manner: `missing`, `added`, `overwritten`, `doubled`, or names."""

    verdict: Verdict
    manner: str = ""


_AGREES: Final = (Finding(Verdict.AGREES),)


def decided_of(metadata: Mapping[str, object]) -> Decided | None:
    """Read what the service wrote into `envoy.filters.http.ext_authz`.

    Returns: the decision; None where there is none, as another service's metadata has no outcome. Never raises.
    """
    outcome = _text(metadata, "outcome")
    if not outcome:
        return None
    return Decided(
        outcome,
        _text(metadata, "reason"),
        _text(metadata, "decision_id"),
        _text(metadata, "revision"),
        _text(metadata, "group"),
        _text(metadata, "rule"),
        metadata.get("shadow") is True,
        Delivery(
            _text(metadata, "allow_origin"),
            _text(metadata, "allow_credentials"),
            _text(metadata, "expose_headers"),
            _text(metadata, "vary"),
        ),
    )


def compare(decided: Decided | None, delivered: Delivered) -> tuple[Finding, ...]:
    """Hold what a client got against what was decided.

    In shadow nothing of ours is applied: the findings say what would change for the client if it were.

    Args:
        decided: the decision; None where Envoy has none for the request.
        delivered: the response.

    Returns: every finding, and `AGREES` alone where there is none. Never raises.
    """
    if decided is None:
        return (_unchecked(delivered),)
    if not decided.shadow:
        # Even to a client that has left: what the upstream did, it did.
        if decided.outcome != _ALLOW and delivered.reached_upstream:
            return (Finding(Verdict.NOT_APPLIED),)
        if decided.outcome == _ALLOW and _lost_on_local_reply(decided, delivered):
            return (Finding(Verdict.MISSING_ON_LOCAL_REPLY),)
    if not _was_sent(delivered):
        return (Finding(Verdict.NO_RESPONSE),)
    return _differences(decided, delivered.headers) or _AGREES


def _unchecked(delivered: Delivered) -> Finding:
    is_served = 0 < delivered.status < _FIRST_REFUSAL
    if delivered.reached_upstream or is_served:
        return Finding(Verdict.UNCHECKED)
    if not delivered.status:
        return Finding(Verdict.NO_RESPONSE)
    return Finding(Verdict.CHECK_FAILED if delivered.details == _CHECK_FAILED else Verdict.ANSWERED_BEFORE_CHECK)


def _was_sent(delivered: Delivered) -> bool:
    return delivered.status > 0 and delivered.details != _FOLLOWED


def _lost_on_local_reply(decided: Decided, delivered: Delivered) -> bool:
    is_local = _was_sent(delivered) and delivered.details != VIA_UPSTREAM
    return is_local and bool(decided.awaited.allow_origin) and not delivered.headers.allow_origin


def _differences(decided: Decided, got: Delivery) -> tuple[Finding, ...]:
    awaited = decided.awaited
    found = [(Verdict.ALLOW_ORIGIN_DIFFERS, _changed(awaited.allow_origin, got.allow_origin))]
    # Of a preflight's answer, browsers read the others only to a permission that it then gives or not.
    if decided.outcome not in _PREFLIGHTS:
        found += [
            (Verdict.CREDENTIALS_DIFFERS, _changed(awaited.allow_credentials, got.allow_credentials)),
            (Verdict.EXPOSE_HEADERS_DIFFERS, _changed_names(awaited.expose_headers, got.expose_headers)),
            (Verdict.VARY_MISSES, _missed_names(awaited.vary, got.vary)),
        ]
    return tuple(Finding(verdict, manner) for verdict, manner in found if manner)


def _changed(awaited: str, got: str) -> str:
    if got == awaited:
        return ""
    if not got:
        return "missing"
    # Envoy joins lines of one name; no value of ours has a comma, and a browser takes two for none.
    if "," in got:
        return "doubled"
    return "overwritten" if awaited else "added"


def _changed_names(awaited: str, got: str) -> str:
    due, found = _names(awaited), _names(got)
    if due == found:
        return ""
    if not found:
        return "missing"
    return "added" if due < found else "overwritten"


def _missed_names(awaited: str, got: str) -> str:
    found = _names(got)
    return "" if _ANY in found else ", ".join(sorted(_names(awaited) - found))


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip().lower() for name in text.split(",")) - {""}


def _text(metadata: Mapping[str, object], name: str) -> str:
    value = metadata.get(name, "")
    return value if isinstance(value, str) else ""
