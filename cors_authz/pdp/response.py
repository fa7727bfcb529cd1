"""The answer to a decision: Access-Control-*, Vary and our own headers, to the client and to the upstream.

An answer has two parts. What follows from the policy alone is the same for every request with the same decision, so
whoever encodes it may do so once; what follows from the request is little, and is added each time.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from enum import IntEnum, unique
from typing import Final, NamedTuple
from urllib.parse import quote

from cors_authz.fetch.request import OWN_PREFIX
from cors_authz.pdp.decision import Decision, Outcome, Reason
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.reasons import WORDS, mend_of
from cors_authz.policy.compiled import PREFLIGHT_VARY, ApiVersion, Credential, ResourceGroup, Rule

DECISION_ID: Final = "<decision-id: 32 hex characters>"
"""Stands in constant parts for the id of the decision, and is as long as one."""

_PREFLIGHT_VARY: Final = ", ".join(PREFLIGHT_VARY)

ID_HEADER: Final = OWN_PREFIX + "decision-id"
GROUP_HEADER: Final = OWN_PREFIX + "origin-group"
TENANT_HEADER: Final = OWN_PREFIX + "tenant"
VERSION_HEADER: Final = OWN_PREFIX + "api-version"
ROLES_HEADER: Final = OWN_PREFIX + "roles"

_OF_CALLER: Final = (TENANT_HEADER, VERSION_HEADER, ROLES_HEADER)
_OWN_HEADERS: Final = frozenset({ID_HEADER, GROUP_HEADER, *_OF_CALLER})
ALLOW_ORIGIN: Final = "access-control-allow-origin"
_MAX_ROLES_CHARACTERS: Final = 4096


@unique
class Action(IntEnum):
    """What becomes of a header that is already there; the values are those of Envoy's HeaderAppendAction."""

    # The hash of an Enum is slow.
    __hash__ = int.__hash__

    APPEND = 0
    ADD_IF_ABSENT = 1
    OVERWRITE = 2
    OVERWRITE_IF_EXISTS = 3


class Header(NamedTuple):
    """A header to set, its name in lower case. The empty value blanks a header that is there."""

    name: str
    value: str
    action: Action = Action.OVERWRITE


class Answer(NamedTuple):
    """Headers to the client and to the upstream, names taken off the request, and the body of an answer of ours."""

    to_client: tuple[Header, ...] = ()
    to_upstream: tuple[Header, ...] = ()
    removed: tuple[str, ...] = ()
    body: str = ""


_NOTHING: Final = Answer()

# An upstream's own grants never widen ours. They are blanked only where they are there, since Envoy cannot remove
# them from here; an empty Access-Control-Allow-Origin fails the CORS check, as an absent one does.
_BLANKS: Final = tuple(
    Header(f"access-control-{name}", "", Action.OVERWRITE_IF_EXISTS)
    for name in (
        "allow-origin",
        "allow-credentials",
        "expose-headers",
        "allow-methods",
        "allow-headers",
        "max-age",
        "allow-private-network",
    )
)
_ID_TO_CLIENT: Final = Header(ID_HEADER, DECISION_ID)
_NO_STORE: Final = Header("cache-control", "no-store")


def constant_part(decision: Decision) -> Answer:
    """Give the part of the answer that follows from the policy, with `DECISION_ID` where the id will stand."""
    if decision.shadow:
        return _NOTHING
    if decision.outcome is Outcome.ALLOW:
        return _allowed(decision)
    if decision.outcome is Outcome.PREFLIGHT_ALLOW:
        return _preflight(decision)
    return _refused(decision)


def echoed_origin(decision: Decision) -> str:
    """Give the origin that may read the answer, where it is told by its name; else the empty string."""
    facts = decision.facts
    if decision.shadow or facts is None or facts.group is None or facts.group.star:
        return ""
    if decision.outcome is Outcome.ALLOW or decision.outcome is Outcome.PREFLIGHT_ALLOW:
        return facts.origin if facts.rule else ""
    return facts.origin if decision.reader and not facts.is_preflight else ""


def told_origin_group(decision: Decision) -> str:
    """Give the origin group that the upstream is told, where the request goes on by a rule; else the empty string."""
    facts = decision.facts
    if facts is None or facts.standing is None or decision.outcome is not Outcome.ALLOW or decision.shadow:
        return ""
    return facts.standing.membership.group


class Delivery(NamedTuple):
    """What the client of an answer should get, for whoever compares it with what arrived. Empty is none.

    `vary` holds the names that its `Vary` must have; whoever answers may add others.
    """

    allow_origin: str
    allow_credentials: str
    expose_headers: str
    vary: str


def delivery(decision: Decision) -> Delivery:
    """Give what the client should get; in shadow, what it would get if the decision were applied."""
    applied = decision._replace(shadow=False)
    told = {header.name: header.value for header in constant_part(applied).to_client}
    return Delivery(
        echoed_origin(applied) or told.get(ALLOW_ORIGIN, ""),
        told.get("access-control-allow-credentials", ""),
        told.get("access-control-expose-headers", ""),
        told.get("vary", ""),
    )


class Caller(NamedTuple):
    """The facts of the caller that services need not find out again, each empty where there is none."""

    tenant: str = ""
    version: str = ""
    roles: tuple[str, ...] = ()


NOBODY: Final = Caller()


def told_caller(decision: Decision) -> Caller:
    """Give what the upstream is told of the caller: nothing unless the request goes on."""
    facts = decision.facts
    if facts is None or decision.outcome is not Outcome.ALLOW or decision.shadow:
        return NOBODY
    if not (facts.tenants or facts.version or decision.roles):
        return NOBODY
    return Caller(facts.tenant, facts.version, decision.roles)


def caller_part(caller: Caller) -> Answer:
    """Give the part of the answer that follows from the caller; what a client sent in place of a fact is taken off."""
    said = ((TENANT_HEADER, caller.tenant), (VERSION_HEADER, caller.version), (ROLES_HEADER, _role_list(caller.roles)))
    told = tuple(Header(name, value) for name, value in said if value)
    return Answer((), told, tuple(name for name, value in said if not value))


def request_part(decision: Decision) -> Answer:
    """Give the part of the answer that follows from the request, the echoed origin and the caller apart."""
    facts = decision.facts
    if facts is None:
        return _NOTHING
    if decision.shadow:
        # Nobody else may speak to the upstream under our name: other groups of it may be in force.
        return Answer(removed=facts.request.spoofed)
    if decision.outcome is Outcome.ALLOW:
        return _request_part_of_allowed(decision, facts)
    if decision.outcome is Outcome.PREFLIGHT_ALLOW:
        return Answer(_asked(facts))
    return Answer(_announcements(decision, facts)) if decision.reader and not facts.is_preflight else _NOTHING


def whole(decision: Decision, decision_id: str) -> Answer:
    """Give the whole answer, as the client and the upstream will see it. For people; the wire splices its parts."""
    constant, origin, request = constant_part(decision), echoed_origin(decision), request_part(decision)
    echo = (Header(ALLOW_ORIGIN, origin),) if origin else ()
    told = told_caller(decision)
    caller = _NOTHING if told is NOBODY else caller_part(told)
    name = told_origin_group(decision)
    group = (Header(GROUP_HEADER, name),) if name else ()
    return Answer(
        tuple(_with_id(header, decision_id) for header in constant.to_client + echo + request.to_client),
        tuple(_with_id(header, decision_id) for header in constant.to_upstream + group + caller.to_upstream),
        constant.removed + caller.removed + request.removed,
        constant.body.replace(DECISION_ID, decision_id),
    )


def _with_id(header: Header, decision_id: str) -> Header:
    return header._replace(value=decision_id) if header.value == DECISION_ID else header


def _allowed(decision: Decision) -> Answer:
    group, facts = decision.group, decision.facts
    if group is None or facts is None:
        return _NOTHING
    grants = _grants(group, decision.rule)
    granted = {header.name for header in grants}
    if echoed_origin(decision):
        granted.add(ALLOW_ORIGIN)
    blanks = tuple(header for header in _BLANKS if header.name not in granted)
    untold = (*(() if facts.standing else (GROUP_HEADER,)), *(_OF_CALLER if told_caller(decision) is NOBODY else ()))
    return Answer(
        to_client=(*grants, *blanks, *_group_headers(group), _ID_TO_CLIENT),
        to_upstream=(Header(ID_HEADER, DECISION_ID),),
        removed=(*_withheld(facts.credentials), *untold),
    )


def _grants(group: ResourceGroup, rule: Rule | None) -> tuple[Header, ...]:
    """The constant grants of an actual answer: `*` where the group gives the same to all, then what the rule gives."""
    rule = rule or group.open_read
    if rule is None:
        return ()
    star = (Header(ALLOW_ORIGIN, "*"),) if group.star else ()
    credentials = (Header("access-control-allow-credentials", "true"),) if rule.sends_browser_credentials else ()
    exposed = (Header("access-control-expose-headers", ",".join(rule.exposed)),) if rule.exposed else ()
    return (*star, *credentials, *exposed)


def _group_headers(group: ResourceGroup) -> tuple[Header, ...]:
    vary = (Header("vary", ", ".join(group.vary), Action.APPEND),) if group.vary else ()
    private = (Header("cache-control", "private", Action.ADD_IF_ABSENT),) if group.private else ()
    # Two values of Cross-Origin-Resource-Policy protect nothing: https://fetch.spec.whatwg.org/#corp-check.
    corp = (Header("cross-origin-resource-policy", group.corp),) if group.corp else ()
    timing = (Header("timing-allow-origin", ", ".join(group.timing_origins)),) if group.timing_origins else ()
    return (*vary, *private, *corp, *timing)


def _withheld(credentials: frozenset[Credential]) -> tuple[str, ...]:
    cookie = () if Credential.COOKIE in credentials else ("cookie",)
    return cookie if Credential.BEARER in credentials else (*cookie, "authorization")


def _preflight(decision: Decision) -> Answer:
    group, rule = decision.group, decision.rule
    if group is None or rule is None:
        return _NOTHING
    exposed = {"access-control-expose-headers"}
    grants = tuple(header for header in _grants(group, rule) if header.name not in exposed)
    age = Header("access-control-max-age", str(rule.max_age_seconds))
    return Answer(to_client=(*grants, age, Header("vary", _PREFLIGHT_VARY, Action.APPEND), _ID_TO_CLIENT))


def _refused(decision: Decision) -> Answer:
    if decision.facts is not None and decision.facts.is_preflight:
        return Answer((Header("vary", _PREFLIGHT_VARY, Action.APPEND), _NO_STORE, _ID_TO_CLIENT))
    group, reader = decision.group, decision.reader
    grants = _grants(group, reader) if group and reader else ()
    vary = ", ".join(group.vary) if group else "Origin"
    varies = (Header("vary", vary, Action.APPEND),) if vary else ()
    kind = Header("content-type", "application/problem+json" if reader else "application/json")
    return Answer(
        to_client=(*grants, *varies, _NO_STORE, kind, *_demands(decision), _ID_TO_CLIENT),
        body=_problem(decision) if reader else json.dumps({"decision_id": DECISION_ID}),
    )


def _demands(decision: Decision) -> tuple[Header, ...]:
    if decision.outcome is Outcome.ERROR:
        return (Header("retry-after", "1"),)
    if decision.status != 401:  # noqa: PLR2004 - the one status that demands a challenge
        return ()
    # https://www.rfc-editor.org/rfc/rfc6750#section-3: no error code where no token came.
    missing = decision.reason is Reason.TOKEN_MISSING
    return (Header("www-authenticate", "Bearer" if missing else 'Bearer error="invalid_token"'),)


def _problem(decision: Decision) -> str:
    """Write the problem document. Spec: https://www.rfc-editor.org/rfc/rfc9457."""
    group = decision.group
    document = {
        "type": f"urn:cors-authz:reason:{decision.reason.value}",
        "title": WORDS[decision.reason].title,
        "status": decision.status,
        "detail": mend_of(decision),
        "decision_id": DECISION_ID,
        "reason": decision.reason.value,
        "docs": group.docs if group else "",
        "contact": group.contact if group else "",
    }
    return json.dumps({key: value for key, value in document.items() if value})


def _asked(facts: Facts) -> tuple[Header, ...]:
    headers = facts.request.headers
    asked = [Header("access-control-allow-methods", headers["access-control-request-method"])]
    if facts.asked_headers:
        asked.append(Header("access-control-allow-headers", ",".join(facts.asked_headers)))
    rule = facts.rule
    if rule and rule.allow_private_network and headers.get("access-control-request-private-network") == "true":
        asked.append(Header("access-control-allow-private-network", "true"))
    return tuple(asked)


def _request_part_of_allowed(decision: Decision, facts: Facts) -> Answer:
    spoofed = facts.request.spoofed
    if not (spoofed or facts.version):
        return _NOTHING
    return Answer(_announcements(decision, facts), (), tuple(name for name in spoofed if name not in _OWN_HEADERS))


def are_told(roles: tuple[str, ...]) -> bool:
    """Tell whether the upstream is told these roles where the request goes on: a list that is too long it is not."""
    return bool(_role_list(roles))


def _role_list(roles: tuple[str, ...]) -> str:
    """Join roles by commas. A token may name a role as it likes, so what could break the list is percent-encoded."""
    listed = ",".join(quote(role, safe=":/@+", errors="surrogatepass") for role in roles)
    return listed if len(listed) <= _MAX_ROLES_CHARACTERS else ""


def _announcements(decision: Decision, facts: Facts) -> tuple[Header, ...]:
    versions = facts.group.versions if facts.group else None
    version = versions.get(facts.version) if versions else None
    if version is None or (version.deprecated is None and version.sunset is None):
        return ()
    if version.deprecated is not None and decision.now < version.deprecated:
        return ()
    # https://www.rfc-editor.org/rfc/rfc9745 and https://www.rfc-editor.org/rfc/rfc8594.
    announced = [("deprecation", f"@{int(version.deprecated)}")] if version.deprecated is not None else []
    # RFC 8594 reads a time in the past as "at any point from now on"; by then the version is gone.
    if version.sunset is not None and decision.now < version.sunset:
        announced.append(("sunset", formatdate(version.sunset, usegmt=True)))
    if link := _link(version, facts):
        announced.append(("link", link))
    return tuple(Header(name, value, _announcing(name)) for name, value in announced)


def _announcing(name: str) -> Action:
    return Action.APPEND if name == "link" else Action.OVERWRITE


def _link(version: ApiVersion, facts: Facts) -> str:
    """Point to the same resource in the successor, where the version stands in the path; else to the documentation."""
    slot = facts.route.version_in_path if facts.route else None
    if slot is None or facts.target is None or not version.successor:
        docs = facts.group.docs if facts.group else ""
        return f'<{docs}>; rel="deprecation"' if docs else ""
    segments = list(facts.target.segments)
    held = segments[slot.element]
    segments[slot.element] = held[: slot.prefix] + version.successor + held[len(held) - slot.suffix :]
    return f'</{quote("/".join(segments), safe="/%!$&()*+,=:@~")}>; rel="successor-version"'
