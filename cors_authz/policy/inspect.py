"""What follows from a policy before any request is made: properties of its text, one set per resource group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cors_authz.policy.compiled import (
    FORWARD_ALL,
    PREFLIGHT_VARY,
    AnyOf,
    CompiledPolicy,
    Credential,
    Guard,
    PrincipalIn,
    ResourceGroup,
    Rule,
    SourceIn,
    VersionIn,
    VersionSource,
)
from cors_authz.policy.subject import RouteAt, Subject


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """What a rule grants and what it takes off; `origins` are patterns, `any` for every origin."""

    name: str
    place: str
    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    credentials: tuple[str, ...]
    withheld: tuple[str, ...]
    max_age_seconds: int


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """What is decided of a resource group when the policy is compiled."""

    name: str
    place: str
    sensitivity: str
    owner: str
    routes: tuple[str, ...]
    vary: tuple[str, ...]
    preflight_vary: tuple[str, ...]
    identity: tuple[str, ...]
    """Whose identity the guards read: token providers by name, `mtls` for certificates."""
    unknown_in_preflight: tuple[str, ...]
    """What the guards and versions read that no preflight carries; it is taken as if some value fitted."""
    push_down: str
    """Why Envoy's own filter could not answer for the group; empty if it could."""
    rules: tuple[RuleFacts, ...]


def facts_of(policy: CompiledPolicy, subject: Subject) -> tuple[GroupFacts, ...]:
    """Give the static facts of each resource group, in the order of the policy."""
    routes: dict[str, list[RouteAt]] = {}
    for route in subject.routes:
        routes.setdefault(route.group.name, []).append(route)
    return tuple(_group(group, tuple(routes.get(group.name, ())), policy, subject) for group in policy.groups)


def _group(group: ResourceGroup, routes: tuple[RouteAt, ...], policy: CompiledPolicy, subject: Subject) -> GroupFacts:
    guards = tuple(_every_guard(group))
    return GroupFacts(
        name=group.name,
        place=str(group.place),
        sensitivity=group.sensitivity,
        owner=group.owner,
        routes=tuple(map(_route, routes)),
        vary=group.vary,
        preflight_vary=PREFLIGHT_VARY,
        identity=tuple(dict.fromkeys(_identity(group, guards))),
        unknown_in_preflight=tuple(dict.fromkeys(_unknown_in_preflight(group, guards))),
        push_down=next(_objections_to_push_down(group, routes, policy, subject), ""),
        rules=tuple(_rule(rule, subject) for rule in group.rules),
    )


def _route(route: RouteAt) -> str:
    methods = f" [{', '.join(sorted(route.methods))}]" if route.methods is not None else ""
    return f"{route.host.text}{route.path.text}{methods}"


def _rule(rule: Rule, subject: Subject) -> RuleFacts:
    kept = {kind.value for kind in rule.credentials}
    return RuleFacts(
        name=rule.name,
        place=str(rule.place),
        origins=tuple(_origins(rule, subject)),
        methods=("*",) if rule.any_method else tuple(sorted(rule.methods)),
        headers=(*sorted(rule.headers), *(["*"] if rule.any_header else [])),
        exposed=rule.exposed,
        credentials=tuple(sorted(kept)),
        withheld=tuple(kind.value for kind in Credential if kind.value not in kept),
        max_age_seconds=rule.max_age_seconds,
    )


def _origins(rule: Rule, subject: Subject) -> Iterator[str]:
    for name in rule.origin_groups:
        if subject.estate.origin_groups[name].model.any:
            yield "any"
        yield from (at.pattern.text for at in subject.patterns[name])


def _every_guard(group: ResourceGroup) -> Iterator[Guard]:
    pending = [*group.guards, *(guard for rule in group.rules for guard in rule.guards)]
    while pending:
        guard = pending.pop(0)
        yield guard
        if isinstance(guard.condition, AnyOf):
            pending.extend(guard.condition.guards)


def _identity(group: ResourceGroup, guards: tuple[Guard, ...]) -> Iterator[str]:
    yield from group.providers
    for guard in guards:
        if guard.provider:
            yield guard.provider
        if isinstance(guard.condition, PrincipalIn):
            yield Credential.MTLS.value


def _unknown_in_preflight(group: ResourceGroup, guards: tuple[Guard, ...]) -> Iterator[str]:
    if group.version_from is not None and group.version_from.source is not VersionSource.QUERY:
        yield "version"
    if any(rule.content_types is not None for rule in group.rules):
        yield "content type"
    for guard in guards:
        if not isinstance(guard.condition, SourceIn | VersionIn | AnyOf):
            yield guard.name


def _objections_to_push_down(
    group: ResourceGroup, routes: tuple[RouteAt, ...], policy: CompiledPolicy, subject: Subject
) -> Iterator[str]:
    if any(True for _ in _every_guard(group)):
        yield "guards decide by caller"
    if policy.tenants or any(route.host.tenant or route.path.tenant for route in routes):
        yield "origins differ by tenant"
    if group.versions:
        yield "versions are known and retire"
    if group.unlisted != FORWARD_ALL or group.browser_only:
        yield "other sites' loads and writes are judged one by one"
    if subject.estate.exceptions:
        yield "exceptions come and go"
