"""The decision: which objections are raised, in which order, and what is answered when none is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from cors_authz.fetch.request import Kind
from cors_authz.pdp.decision import FAULTS, GOES_ON, NO_CONTENT, Decision, Objection, Outcome, Reason
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.guards import caller, origin, resource, site
from cors_authz.pdp.readings import Readings, TokenReading
from cors_authz.policy.compiled import EVERY_CONCERN, Concern, Needs


class Check(NamedTuple):
    """One question, under the name by which `explain` lists it.

    Only these kinds of request are asked it, and only of groups with this concern; None is every group, and no group.
    """

    name: str
    objects: Callable[[Facts, Readings], Objection | None]
    kinds: frozenset[Kind]
    concern: Concern | None = None

    def is_asked(self, kind: Kind, concerns: int) -> bool:
        """Tell whether a request of a kind is asked, of a group with these concerns."""
        return kind in self.kinds and (self.concern is None or bool(self.concern & concerns))


_ALL: Final = frozenset(Kind)
_ACTUAL: Final = _ALL - {Kind.PREFLIGHT}
_BY_ORIGIN: Final = frozenset({Kind.CROSS_ORIGIN, Kind.PREFLIGHT})

CHECKS: Final = (
    Check("request", resource.object_to_request, _ALL),
    Check("host", resource.object_to_host, _ALL),
    Check("resource group", resource.object_to_missing_group, _ALL),
    Check("version", resource.object_to_version, _ALL, Concern.VERSIONS),
    Check("tenant", caller.object_to_tenant, _ALL),
    Check("origin", origin.object_to_malformed_origin, _BY_ORIGIN),
    Check("protocol", resource.object_to_protocol, _ACTUAL),
    Check("preflight", origin.object_to_preflight, frozenset({Kind.PREFLIGHT})),
    Check("allow rule", origin.object_to_origin, frozenset({Kind.CROSS_ORIGIN})),
    Check("read", origin.object_to_read, frozenset({Kind.READ})),
    Check("embed", site.object_to_embed, frozenset({Kind.EMBED})),
    Check("navigation", site.object_to_navigation, frozenset({Kind.NAVIGATION})),
    Check("retired version", resource.object_to_retired_version, _ACTUAL, Concern.VERSIONS),
    Check("browser proof", site.object_to_missing_browser_proof, frozenset({Kind.NOT_A_BROWSER})),
    Check("content type", resource.object_to_content_type, frozenset({Kind.CROSS_ORIGIN}), Concern.BODIES),
    Check("guards", caller.object_to_caller, _ALL, Concern.CALLERS),
)
"""In this order; the first objection answers. An origin that is not listed never gets beyond its own checks."""

_OBJECTIONS: Final = {
    kind: tuple(
        tuple(check.objects for check in CHECKS if check.is_asked(kind, concerns))
        for concerns in range(EVERY_CONCERN + 1)
    )
    for kind in Kind
}
"""What to ask, by the kind of the request and the concerns of its group."""

# Bound here since, on Python 3.11, a member costs more to look up than a header.
_PREFLIGHT: Final = Kind.PREFLIGHT
_ALLOW: Final = Outcome.ALLOW
_RULE_ALLOWED: Final = Reason.RULE_ALLOWED
_ALLOWED: Final = {
    Kind.SAME_ORIGIN: Reason.SAME_ORIGIN,
    Kind.NOT_A_BROWSER: Reason.NOT_A_BROWSER,
    Kind.READ: Reason.UNLISTED_READ,
    Kind.EMBED: Reason.UNLISTED_EMBED,
    Kind.NAVIGATION: Reason.UNLISTED_NAVIGATION,
    Kind.CROSS_ORIGIN: Reason.UNLISTED_READ,
}


def decide(facts: Facts, readings: Readings) -> Decision:
    """Answer a request.

    Returns: the decision, whatever the request is: the first objection as a refusal, else what the request may do.
    Never raises.
    """
    group = facts.group
    for objects in _OBJECTIONS[facts.kind][group.concerns if group else 0]:
        objection = objects(facts, readings)
        if objection is not None:
            return refuse(objection, facts, readings.now)
    return _allow(facts, readings)


def refuse(objection: Objection, facts: Facts, now: float) -> Decision:
    """Turn an objection into the refusal that it stands for."""
    return Decision(
        outcome=_refusal(objection.reason, facts),
        reason=objection.reason,
        status=403 if facts.is_preflight and objection.guard else objection.status,
        facts=facts,
        guard=objection.guard,
        shadow=_is_shadow(facts),
        now=now,
    )


def refuse_unread(reason: Reason, now: float = 0.0) -> Decision:
    """Refuse when there are no facts to speak of: a message that is no request, or a fault of our own."""
    outcome = Outcome.ERROR if reason in FAULTS else Outcome.DENY
    return Decision(outcome, reason, Objection(reason).status, None, now=now)


def _refusal(reason: Reason, facts: Facts) -> Outcome:
    if reason in FAULTS:
        return Outcome.ERROR
    return Outcome.PREFLIGHT_DENY if facts.is_preflight else Outcome.DENY


def _allow(facts: Facts, readings: Readings) -> Decision:
    shadow = _is_shadow(facts)
    if facts.kind is _PREFLIGHT:
        return Decision(
            Outcome.PREFLIGHT_ALLOW, Reason.PREFLIGHT_ALLOWED, NO_CONTENT, facts, None, (), shadow, readings.now
        )
    reason = _RULE_ALLOWED if facts.standing else _ALLOWED[facts.kind]
    roles = _roles(facts.needs, readings.tokens) if facts.needs.providers else ()
    return Decision(_ALLOW, reason, GOES_ON, facts, None, roles, shadow, readings.now)


def _is_shadow(facts: Facts) -> bool:
    return facts.group.shadow if facts.group else facts.policy.shadow


def _roles(needs: Needs, tokens: Mapping[str, TokenReading]) -> tuple[str, ...]:
    names, are_of_several = needs
    if not are_of_several:
        return tokens.get(names[0], caller.MISSING).roles
    # Where either of two issuers will do, a role says whose it is: one's `admin` must not open the other's doors.
    return tuple(f"{name}:{role}" for name in names for role in tokens.get(name, caller.MISSING).roles)
