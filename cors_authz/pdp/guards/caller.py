"""Guards of the caller: tenant, token, certificate and the other conditions that a policy names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any, Final

from cors_authz.fetch.request import Kind
from cors_authz.pdp.claims import claim_value
from cors_authz.pdp.decision import Objection, Reason
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.readings import Readings, TokenReading, TokenState
from cors_authz.policy.compiled import (
    AllRoles,
    AnyOf,
    AnyRole,
    Authenticated,
    ClaimIs,
    Credential,
    Guard,
    HeaderIs,
    OriginInClaim,
    PrincipalIn,
    SourceIn,
    TokenAge,
    VersionIn,
)

MISSING: Final = TokenReading(TokenState.MISSING, {})

# Bound here since, on Python 3.11, a member costs more to look up than a header.
_PREFLIGHT: Final = Kind.PREFLIGHT
_VALID: Final = TokenState.VALID
_TOKEN_REASONS: Final = {
    TokenState.MISSING: Reason.TOKEN_MISSING,
    TokenState.INVALID: Reason.TOKEN_INVALID,
    TokenState.EXPIRED: Reason.TOKEN_EXPIRED,
    TokenState.UNAVAILABLE: Reason.KEYS_UNAVAILABLE,
}


def object_to_tenant(facts: Facts, readings: Readings) -> Objection | None:
    """Refuse where host and path name two tenants, or where a token names another one, none, or cannot be read."""
    if not facts.tenants:
        return None
    if len(set(facts.tenants)) > 1:
        return Objection(Reason.TENANT_MISMATCH)
    source = facts.policy.tenants
    if source is None or not source.claim:
        return None
    tokens = [token_of(name, facts, readings) for name in facts.needs.providers]
    named = [claim_value(token.claims, source.claim) for token in tokens if token.state is TokenState.VALID]
    if not named and any(token.state is TokenState.UNAVAILABLE for token in tokens):
        # A token came and nobody can say whose it is: it may name another tenant.
        return Objection(Reason.KEYS_UNAVAILABLE)
    return None if all(claim == facts.tenant for claim in named) else Objection(Reason.TENANT_MISMATCH)


def object_to_caller(facts: Facts, readings: Readings) -> Objection | None:
    """Refuse a caller who fails one of the guards of the class, the group and the rule, in this order."""
    if facts.group is None:
        return None
    objection = _first_objection(facts.group.guards, facts, readings)
    if objection is None and facts.rule is not None:
        objection = _first_objection(facts.rule.guards, facts, readings)
    return objection


def objection_of(guard: Guard, facts: Facts, readings: Readings) -> Objection | None:
    """Ask one guard. A preflight is asked only the guards that hold in both phases.

    The condition's own answer carries the guard that the policy names, so that its `onFail` applies.
    """
    if facts.kind is _PREFLIGHT and not guard.both_phases:
        return None
    reason = _reason_against(guard, facts, readings)
    return None if reason is None else Objection(reason, guard)


def token_of(provider: str, facts: Facts, readings: Readings) -> TokenReading:
    """Read the token of a provider as far as it travels on: a credential that is not granted counts as not sent."""
    return readings.tokens.get(provider, MISSING) if provider in facts.needs.providers else MISSING


def _first_objection(guards: Iterable[Guard], facts: Facts, readings: Readings) -> Objection | None:
    for guard in guards:
        objection = objection_of(guard, facts, readings)
        if objection is not None:
            return objection
    return None


def _reason_against(guard: Guard, facts: Facts, readings: Readings) -> Reason | None:
    condition = guard.condition
    if isinstance(condition, AnyOf):
        return _reason_against_all(condition, facts, readings)
    if guard.provider:
        token = token_of(guard.provider, facts, readings)
        if token.state is not _VALID:
            return _TOKEN_REASONS[token.state]
        return _OF_TOKEN[type(condition)](condition, token, facts, readings)
    return _OF_REQUEST[type(condition)](condition, facts)


def _reason_against_all(condition: AnyOf, facts: Facts, readings: Readings) -> Reason | None:
    reasons = [_reason_against(guard, facts, readings) for guard in condition.guards]
    if None in reasons:
        return None
    # Whoever might have passed by the missing keys is told to come again, not to stay away.
    return Reason.KEYS_UNAVAILABLE if Reason.KEYS_UNAVAILABLE in reasons else reasons[0]


def _any_role(condition: AnyRole, token: TokenReading, *_: object) -> Reason | None:
    return Reason.ROLE_MISSING if condition.roles.isdisjoint(token.roles) else None


def _all_roles(condition: AllRoles, token: TokenReading, *_: object) -> Reason | None:
    return None if condition.roles.issubset(token.roles) else Reason.ROLE_MISSING


def _claim(condition: ClaimIs, token: TokenReading, *_: object) -> Reason | None:
    value = claim_value(token.claims, condition.claim)
    held = value if isinstance(value, list | tuple) else (value,)
    return None if any(_same(item, wanted) for item in held for wanted in condition.values) else Reason.CLAIM_MISMATCH


def _same(value: object, wanted: str | int | bool) -> bool:  # noqa: FBT001 - a claim's value, not a switch
    # Python's True equals 1; a claim that is true is not the number one. Envoy's metadata has every number as a float.
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return value == wanted


def _token_age(condition: TokenAge, token: TokenReading, _facts: Facts, readings: Readings) -> Reason | None:
    issued = token.claims.get("iat")
    if not isinstance(issued, int | float):
        return Reason.TOKEN_TOO_OLD
    return None if readings.now - issued <= condition.seconds else Reason.TOKEN_TOO_OLD


def _origin_in_claim(condition: OriginInClaim, token: TokenReading, facts: Facts, _readings: Readings) -> Reason | None:
    if not facts.origin:
        return None
    listed = claim_value(token.claims, condition.claim)
    found = isinstance(listed, list | tuple) and facts.origin in listed
    return None if found else Reason.ORIGIN_NOT_IN_TOKEN


def _authenticated(*_: object) -> Reason | None:
    return None


def _principal(condition: PrincipalIn, facts: Facts) -> Reason | None:
    principal = facts.request.principal if Credential.MTLS in facts.credentials else ""
    held = principal in condition.exact or (bool(principal) and principal.startswith(condition.prefixes))
    return None if held else Reason.PRINCIPAL_NOT_ALLOWED


def _source(condition: SourceIn, facts: Facts) -> Reason | None:
    try:
        address = ip_address(facts.request.source)
    except ValueError:
        return Reason.SOURCE_NOT_ALLOWED
    mapped = getattr(address, "ipv4_mapped", None)
    held = any((mapped or address) in network for network in condition.networks)
    return None if held else Reason.SOURCE_NOT_ALLOWED


def _header(condition: HeaderIs, facts: Facts) -> Reason | None:
    return None if facts.request.headers.get(condition.name) == condition.value else Reason.HEADER_MISMATCH


def _version(condition: VersionIn, facts: Facts) -> Reason | None:
    held = facts.version in condition.versions or not facts.version_known
    return None if held else Reason.VERSION_RETIRED


# The conditions are a closed set, and each function takes the condition that it is filed under.
_OF_TOKEN: Final[Mapping[type, Callable[..., Reason | None]]] = {
    Authenticated: _authenticated,
    AnyRole: _any_role,
    AllRoles: _all_roles,
    ClaimIs: _claim,
    TokenAge: _token_age,
    OriginInClaim: _origin_in_claim,
}
_OF_REQUEST: Final[Mapping[type, Callable[[Any, Facts], Reason | None]]] = {
    PrincipalIn: _principal,
    SourceIn: _source,
    HeaderIs: _header,
    VersionIn: _version,
}
