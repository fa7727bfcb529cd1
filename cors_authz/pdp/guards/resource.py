"""Guards of the resource: its path, host, versions, protocols and bodies."""

from __future__ import annotations

from typing import Final

from cors_authz.fetch.fields import SAFE_METHODS, STANDARD_METHODS, is_token
from cors_authz.pdp.decision import Objection, Reason
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.readings import Readings
from cors_authz.policy.compiled import Protocol

_PLAIN_HTTP: Final = frozenset({Protocol.HTTP, Protocol.SSE, Protocol.MCP})
"""Server-sent events and MCP are plain HTTP: whoever serves one of these answers ordinary requests."""

_BODILESS: Final = SAFE_METHODS | {"DELETE"}


def object_to_request(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse what an upstream might read in another way: a path that is not in one form, a forbidden override."""
    if not facts.request.target or not _is_method(facts.request.method):
        return Objection(Reason.REQUEST_MALFORMED)
    if facts.target is None:
        return Objection(Reason.PATH_AMBIGUOUS)
    if facts.target.encoded_delimiter and not (facts.group and facts.group.opaque_slashes):
        return Objection(Reason.PATH_AMBIGUOUS)
    return Objection(Reason.METHOD_OVERRIDE_FORBIDDEN) if facts.method is None else None


def _is_method(method: str) -> bool:
    # Methods are case-sensitive, yet many upstreams run `post` as POST: it must not pass for another method.
    return method in STANDARD_METHODS or (is_token(method) and method.upper() not in STANDARD_METHODS)


def object_to_host(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse a host that no group lists: a page whose name was pointed here has no other way in."""
    return None if facts.host_known else Objection(Reason.HOST_UNKNOWN)


def object_to_missing_group(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse what no route covers: everything is closed until a group opens it."""
    return None if facts.route else Objection(Reason.NO_RESOURCE_GROUP)


def object_to_version(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse a version that the group does not name."""
    if facts.group is None or facts.group.versions is None or not facts.version_known:
        return None
    return None if facts.version in facts.group.versions else Objection(Reason.VERSION_UNKNOWN)


def object_to_retired_version(facts: Facts, readings: Readings) -> Objection | None:
    """Refuse a version from its sunset on; its preflights pass, so that the reason can be read."""
    if facts.group is None or facts.group.versions is None:
        return None
    version = facts.group.versions.get(facts.version)
    if version is None or version.sunset is None or readings.now < version.sunset:
        return None
    return Objection(Reason.VERSION_RETIRED)


def object_to_protocol(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse a protocol that the group does not serve; a preflight does not show which one follows."""
    if facts.group is None:
        return None
    served = facts.group.protocols
    if facts.protocol in served or (facts.protocol is Protocol.HTTP and served & _PLAIN_HTTP):
        return None
    return Objection(Reason.PROTOCOL_NOT_SERVED)


def object_to_content_type(facts: Facts, _readings: Readings) -> Objection | None:
    """Refuse a body of a type that the rule does not list, one without a type among them."""
    rule = facts.rule
    if rule is None or rule.content_types is None:
        return None
    essence = facts.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if essence in rule.content_types or (not essence and not _may_have_body(facts)):
        return None
    return Objection(Reason.CONTENT_TYPE_NOT_ALLOWED)


def _may_have_body(facts: Facts) -> bool:
    headers = facts.request.headers
    length = headers.get("content-length")
    if length is None:
        return facts.request.method not in _BODILESS or "transfer-encoding" in headers
    return length != "0"
