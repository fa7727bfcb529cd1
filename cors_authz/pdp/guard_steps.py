"""The guards of a request one by one: each condition in words, and whether it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from cors_authz.pdp.facts import Facts
from cors_authz.pdp.guards import caller
from cors_authz.pdp.readings import Readings, TokenState
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


class Judged(NamedTuple):
    """A guard, whether it holds (None: it was not asked), and its condition and the reason in words.

    `members` are the guards of an `anyOf`, each judged.
    """

    guard: Guard
    holds: bool | None
    words: str
    members: tuple[Judged, ...] = ()


def judge_guards(facts: Facts, readings: Readings) -> tuple[Judged, ...]:
    """Ask the guards of class, group and rule in their order, until the first that does not hold. Never raises."""
    return tuple(_judge_each(facts, readings))


def _judge_each(facts: Facts, readings: Readings) -> Iterator[Judged]:
    guards = (*(facts.group.guards if facts.group else ()), *(facts.rule.guards if facts.rule else ()))
    failed: Guard | None = None
    for guard in guards:
        if failed is not None:
            yield Judged(guard, None, f"guard `{failed.name}` objected first")
            continue
        judged = _judge(guard, facts, readings)
        failed = guard if judged.holds is False else None
        yield judged


def _judge(guard: Guard, facts: Facts, readings: Readings) -> Judged:
    if facts.is_preflight and not guard.both_phases:
        return Judged(guard, None, f"asked on the actual request, not on its preflight: {_condition(guard)}")
    members: tuple[Judged, ...] = ()
    if isinstance(guard.condition, AnyOf):
        # The phase is that of the guard which names them.
        members = tuple(_judge(replace(each, both_phases=True), facts, readings) for each in guard.condition.guards)
    holds = caller.objection_of(guard, facts, readings) is None
    return Judged(guard, holds, _verdict(guard, facts, readings, holds=holds), members)


def _verdict(guard: Guard, facts: Facts, readings: Readings, *, holds: bool) -> str:
    condition = _condition(guard)
    if holds:
        return f"{condition}: it holds"
    seen = _token(guard, facts, readings) if guard.provider else _seen(guard, facts)
    return f"{condition}: it does not hold{f', {seen}' if seen else ''}"


def _token(guard: Guard, facts: Facts, readings: Readings) -> str:
    provider = facts.policy.providers[guard.provider]
    if not facts.sees_token_of(provider):
        return f"the credential that carries the token of `{provider.name}` is not granted, so it counts as not sent"
    token = caller.token_of(guard.provider, facts, readings)
    if token.state is TokenState.VALID:
        return ""
    return f"the token of `{provider.name}` is {token.state.value}" + (f": {token.why}" if token.why else "")


def _seen(guard: Guard, facts: Facts) -> str:
    condition, request = guard.condition, facts.request
    if isinstance(condition, PrincipalIn):
        return _certificate(facts)
    if isinstance(condition, SourceIn):
        return f"the address is `{request.source}`" if request.source else "no address is known"
    if isinstance(condition, HeaderIs):
        # The value may be a secret that the policy demands; that it differs is enough.
        return "it has another value" if condition.name in request.headers else "the header is absent"
    return f"the version is `{facts.version}`" if isinstance(condition, VersionIn) else ""


def _certificate(facts: Facts) -> str:
    if not facts.request.principal:
        return "no certificate is known"
    if Credential.MTLS not in facts.credentials:
        return "`mtls` is not granted, so the certificate counts as not sent"
    return f"the certificate names `{facts.request.principal}`"


def _condition(guard: Guard) -> str:
    condition = guard.condition
    return _CONDITIONS[type(condition)](condition)


def _listed(names: Iterable[object]) -> str:
    return ", ".join(sorted(f"`{name}`" for name in names))


def _networks(condition: SourceIn) -> str:
    return f"the client's address is in {', '.join(f'`{network}`' for network in condition.networks)}"


def _principals(condition: PrincipalIn) -> str:
    names = (*condition.exact, *(f"{prefix}*" for prefix in condition.prefixes))
    return f"the certificate names one of {_listed(names)}"


# The conditions are a closed set, and each function takes the condition that it is filed under.
_CONDITIONS: Final[Mapping[type, Callable[[Any], str]]] = {
    Authenticated: lambda _: "the caller has a valid token",
    AnyRole: lambda condition: f"the token has one of the roles {_listed(condition.roles)}",
    AllRoles: lambda condition: f"the token has all of the roles {_listed(condition.roles)}",
    ClaimIs: lambda condition: f"claim `{condition.claim}` of the token is one of {_listed(condition.values)}",
    TokenAge: lambda condition: f"the token was issued at most {condition.seconds:g} s ago",
    OriginInClaim: lambda condition: f"claim `{condition.claim}` of the token lists the origin",
    PrincipalIn: _principals,
    SourceIn: _networks,
    HeaderIs: lambda condition: f"request header `{condition.name}` is `{condition.value}`",
    VersionIn: lambda condition: f"the version is one of {_listed(condition.versions)}",
    AnyOf: lambda condition: f"one of the guards {_listed(guard.name for guard in condition.guards)} holds",
}
