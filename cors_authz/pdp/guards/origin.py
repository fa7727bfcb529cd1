"""Guards of the origin: who may call by script, with which method and headers."""

from __future__ import annotations

from cors_authz.fetch.origin import OPAQUE
from cors_authz.fetch.request import is_websocket, is_write
from cors_authz.pdp.decision import Objection, Reason
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.readings import Readings
from cors_authz.policy.compiled import ResourceGroup


def object_to_malformed_origin(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse an `Origin` that no browser sends, whatever the method.

    Spec: https://fetch.spec.whatwg.org/#origin-header.
    """
    return Objection(Reason.ORIGIN_MALFORMED) if facts.origin_malformed else None


def object_to_origin(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse a foreign origin that no rule admits; a read goes on without a grant where the group forwards reads.

    Writes and WebSockets are refused always: a browser sends them first and keeps only their answer from the page.
    """
    if facts.standing is not None or facts.group is None or _is_forwarded_read(facts, facts.group):
        return None
    return Objection(Reason.METHOD_NOT_ALLOWED if facts.listed else Reason.ORIGIN_NOT_ALLOWED)


def object_to_read(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse a cross-site read without an origin where the group denies unlisted reads."""
    return None if facts.group is None or facts.group.forwards_reads else Objection(Reason.ORIGIN_NOT_ALLOWED)


def object_to_preflight(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse a preflight unless a rule has its origin, its method and every header that it asks for.

    Spec: https://fetch.spec.whatwg.org/#cors-preflight-fetch.
    """
    if facts.standing is None:
        return Objection(Reason.METHOD_NOT_ALLOWED if facts.listed else Reason.ORIGIN_NOT_ALLOWED)
    if facts.asked_headers is None or not facts.standing.rule.grants(facts.asked_headers):
        return Objection(Reason.HEADER_NOT_ALLOWED)
    return None


def _is_forwarded_read(facts: Facts, group: ResourceGroup) -> bool:
    if facts.origin == OPAQUE or is_write(facts.method or "") or is_websocket(facts.request):
        return False
    return group.forwards_reads
