"""Compile a policy that has no errors, for one environment: every lookup that a decision makes is laid out here."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_network
from typing import Final

from cors_authz.fetch.origin import Origin
from cors_authz.policy import schema
from cors_authz.policy.compiled import (
    EVERY_CREDENTIAL,
    FORWARD_ALL,
    NO_CREDENTIAL,
    AllRoles,
    AnyOf,
    AnyRole,
    ApiVersion,
    Authenticated,
    ClaimIs,
    CompiledPolicy,
    Concern,
    Condition,
    Credential,
    Guard,
    HeaderIs,
    HostRoutes,
    Membership,
    Needs,
    OriginInClaim,
    OriginTable,
    PrincipalIn,
    Protocol,
    Provider,
    Reach,
    ResourceGroup,
    Route,
    RouteTable,
    Rule,
    SourceIn,
    Surroundings,
    TenantSource,
    TokenAge,
    TokenPlace,
    Trust,
    VersionFrom,
    VersionIn,
    VersionSource,
)
from cors_authz.policy.effective import EffectiveRule, tightened
from cors_authz.policy.estate import Named
from cors_authz.policy.overlap import Order
from cors_authz.policy.pattern import HostPattern, is_literal
from cors_authz.policy.sharing import shared
from cors_authz.policy.subject import PatternAt, RouteAt, Subject
from cors_authz.policy.trie import Trie

_EXACT_RANK: Final = -1
_ANY_RANK: Final = 1_000_000_000
_DEFAULT_LEEWAY_SECONDS: Final = 30


def compile_policy(subject: Subject, order: Order, revision: str) -> CompiledPolicy:
    """Compile a policy.

    Args:
        subject: the policy in its environment; no rule of lint finds an error in it.
        order: which of its patterns are narrower than which.
        revision: the name of this version of the policy.

    Returns: the policy as the decision point reads it.
    """
    return _Compiler(subject, order).policy(revision)


class _Compiler:
    """Compiles one subject; it holds what the parts of the result share."""

    def __init__(self, subject: Subject, order: Order) -> None:
        self._subject = subject
        self._estate = subject.estate
        self._order = order
        self._providers = {name: _provider(name, model) for name, model in self._estate.providers.items()}
        self._guards: dict[str, Guard] = {}
        self._rules = 0
        self._looks: dict[Hashable, int] = {}
        self._of_tenants = {route.group.name for route in subject.routes if route.host.tenant or route.path.tenant}

    def policy(self, revision: str) -> CompiledPolicy:
        bundle = self._estate.bundle.model
        defaults = self._estate.defaults
        groups = {
            named.name: self._group(index, named) for index, named in enumerate(self._estate.resource_groups.values())
        }
        return CompiledPolicy(
            name=bundle.metadata.name,
            revision=revision,
            environment=self._subject.environment.name,
            routes=self._routes(groups),
            origins=self._origins(),
            groups=tuple(groups.values()),
            providers=self._providers,
            tenants=_tenants(bundle.tenants) if bundle.tenants else None,
            public_scheme=defaults.public_scheme or "",
            shadow=defaults.mode == "shadow",
            surroundings=self._surroundings(groups.values()),
            trust={name: self._trust(name) for name in self._subject.patterns},
            exceptions_until=self._exceptions_until(),
        )

    def _trust(self, origin_group: str) -> Trust:
        model = self._estate.origin_groups[origin_group].model
        return Trust.NONE if model.any else Trust[model.trust.upper()]

    def _exceptions_until(self) -> Mapping[str, float]:
        exceptions = ((name, named.model) for name, named in self._estate.exceptions.items())
        environment = self._subject.environment
        return {name: model.until.timestamp() for name, model in exceptions if environment.has(model.environments)}

    def _surroundings(self, groups: Iterable[ResourceGroup]) -> Surroundings:
        """Settle what is read of a request beside its line and its headers."""
        conditions = {type(guard.condition) for group in groups for guard in _guards_in(group)}
        tenants = self._subject.estate.bundle.model.tenants
        return Surroundings(
            source=SourceIn in conditions,
            principal=PrincipalIn in conditions or bool(tenants and tenants.principal),
            metadata=any(provider.envoy_metadata for provider in self._providers.values())
            or bool(tenants and tenants.route_metadata),
        )

    def _group(self, index: int, named: Named[schema.ResourceGroup]) -> ResourceGroup:
        model = named.model
        sensitivity = self._subject.class_of(named)
        guards = self._guards_of((*sensitivity.guards, *model.guards))
        providers = self._providers_of_group(named, guards)
        rules = tuple(self._compiled_rules(named, providers))
        headers = model.response_headers
        unlisted, protocols = tightened(sensitivity.unlisted, model.unlisted), frozenset(map(Protocol, model.protocols))
        group = ResourceGroup(
            index=index,
            name=named.name,
            place=named.key_place,
            sensitivity=model.sensitivity,
            unlisted=unlisted,
            rules=rules,
            rules_of=_by_origin_group(rules),
            guards=guards,
            providers=providers,
            needs=self._needs(providers, EVERY_CREDENTIAL),
            needs_of_strangers=self._needs(providers, NO_CREDENTIAL),
            protocols=protocols,
            forwards_reads=unlisted.reads is Reach.FORWARD and Protocol.MCP not in protocols,
            browser_only=model.browser_only,
            shadow=(model.mode or self._estate.defaults.mode) == "shadow",
            opaque_slashes=model.encoded_slashes == "opaque",
            concerns=_concerns(bool(model.versions), rules, guards),
            versions=_versions(model.versions) if model.versions else None,
            version_from=_version_from(model.version_from) if model.version_from else None,
            corp=(headers.cross_origin_resource_policy or "") if headers else "",
            timing_origins=tuple(self._timing_origins(headers.timing_allow_origin)) if headers else (),
            owner=named.owner,
            contact=model.contact or self._contact(named.owner),
            description=model.description or "",
            docs=model.docs or "",
        )
        return self._with_caching(self._with_star(group))

    def _with_star(self, group: ResourceGroup) -> ResourceGroup:
        """Settle whether the origin is echoed, and whether answers depend on it at all."""
        rules = group.rules
        star = bool(rules) and all(self._is_any(name) for rule in rules for name in rule.origin_groups)
        judged = group.guards or group.unlisted != FORWARD_ALL
        return replace(group, star=star, origin_free=star and not judged and _is_one_open_read(rules))

    def _with_caching(self, group: ResourceGroup) -> ResourceGroup:
        """Settle what answers vary by, and whether a shared cache may keep them."""
        token_headers = self._token_headers(group)
        by_caller = any(isinstance(guard.condition, PrincipalIn | SourceIn) for guard in _guards_in(group))
        vary, private = shared(tuple(_vary(group, token_headers))), by_caller or bool(token_headers)
        open_read = group.open_read
        look = self._look(group.star, vary, private, group.corp, group.timing_origins, open_read and open_read.look)
        return replace(group, vary=vary, private=private, look=look)

    def _look(self, *traits: Hashable) -> int:
        return self._looks.setdefault(traits, len(self._looks))

    def _token_headers(self, group: ResourceGroup) -> tuple[str, ...]:
        names = (*group.providers, *(name for rule in group.rules for name in rule.providers))
        return tuple(dict.fromkeys(self._providers[name].header for name in names))

    def _compiled_rules(self, named: Named[schema.ResourceGroup], of_group: tuple[str, ...]) -> Iterator[Rule]:
        for rule in self._subject.rules[named.name]:
            names = tuple(group.name for group in self._subject.origin_groups_of(rule))
            # A rule whose origins do not exist in this environment is not there either.
            if names:
                compiled = self._rule(named, rule, names)
                yield replace(compiled, needs=self._needs((*of_group, *compiled.providers), compiled.credentials))

    def _needs(self, providers: Iterable[str], credentials: Collection[Credential]) -> Needs:
        asked_about = tuple(dict.fromkeys(providers))
        travelling = {None, *credentials}
        read = tuple(name for name in asked_about if self._providers[name].credential in travelling)
        return Needs(read, len(asked_about) > 1)

    def _rule(self, named: Named[schema.ResourceGroup], rule: EffectiveRule, names: tuple[str, ...]) -> Rule:
        model = rule.model
        guards = self._guards_of(model.guards)
        exposed, max_age_seconds = ("*",) if rule.any_exposed else rule.exposed, int(rule.max_age.total_seconds())
        self._rules += 1
        return Rule(
            index=self._rules - 1,
            name=rule.name,
            place=named.place("allow", rule.index),
            origin_groups=names,
            methods=rule.methods,
            any_method=rule.any_method,
            headers=rule.headers,
            any_header=rule.any_header,
            exposed=exposed,
            credentials=rule.credentials,
            max_age_seconds=max_age_seconds,
            versions=frozenset(model.versions) if model.versions else None,
            guards=guards,
            content_types=frozenset(model.content_types) if model.content_types else None,
            allow_private_network=model.allow_private_network,
            description=model.description or "",
            providers=tuple(_providers_read(guards)),
            look=self._look(exposed, rule.credentials, max_age_seconds),
        )

    def _providers_of_group(self, named: Named[schema.ResourceGroup], guards: tuple[Guard, ...]) -> tuple[str, ...]:
        read = tuple(_providers_read(guards))
        tenants = self._estate.bundle.model.tenants
        if read or tenants is None or not tenants.claim or not self._has_tenant(named):
            return read
        # The tenant's claim is read from the tokens of the guards; where no guard reads one, from any that comes.
        return tuple(self._providers)

    def _has_tenant(self, named: Named[schema.ResourceGroup]) -> bool:
        tenants = self._estate.bundle.model.tenants
        beyond = tenants is not None and bool(tenants.principal or tenants.route_metadata)
        return beyond or named.name in self._of_tenants

    def _is_any(self, origin_group: str) -> bool:
        return self._estate.origin_groups[origin_group].model.any

    def _contact(self, owner: str) -> str:
        team = self._estate.bundle.model.teams.get(owner)
        return team.contact if team else ""

    def _timing_origins(self, names: Iterable[str]) -> Iterator[str]:
        patterns = self._subject.patterns
        # `any` has no pattern, and yet it exists in its environments alone.
        for name in (name for name in names if name in patterns):
            if self._is_any(name):
                yield "*"
            yield from (at.pattern.text for at in patterns[name])

    def _guards_of(self, names: Iterable[str]) -> tuple[Guard, ...]:
        return tuple(self._guard(name) for name in dict.fromkeys(names))

    def _guard(self, name: str) -> Guard:
        if name not in self._guards:
            named = self._estate.guards[name]
            self._guards[name] = self._compiled_guard(named)
        return self._guards[name]

    def _compiled_guard(self, named: Named[schema.Guard]) -> Guard:
        model = named.model
        condition = AnyOf(self._guards_of(model.any_of)) if model.any_of else _condition(model)
        reads_token = isinstance(condition, _OF_TOKENS)
        return Guard(
            name=named.name,
            place=named.key_place,
            condition=condition,
            provider=(model.provider or next(iter(self._providers))) if reads_token else "",
            both_phases=model.phase == "both",
            status=(model.on_fail.status or 0) if model.on_fail else 0,
            message=(model.on_fail.message or "") if model.on_fail else "",
            description=model.description or "",
        )

    def _routes(self, groups: Mapping[str, ResourceGroup]) -> RouteTable:
        hosts: dict[str, tuple[HostPattern, HostRoutes]] = {}
        for at, rank in zip(self._subject.routes, self._order.routes, strict=True):
            host = hosts.setdefault(at.host.text, (at.host, HostRoutes(at.host.port, Trie())))[1]
            route = _route(at, groups[at.group.name], rank)
            if at.path.rest:
                host.paths.add(at.path.segments, route, below=True)
            host.paths.add(at.path.segments, route)
        return _route_table(hosts.values())

    def _origins(self) -> OriginTable:
        patterns: dict[str, Trie[tuple[str, Membership]]] = {}
        for at in self._patterns(exact=False):
            trie = patterns.setdefault(at.pattern.scheme, Trie())
            rank = self._order.origins[at.group.name, at.position]
            trie.add(at.pattern.labels[::-1], (at.pattern.port, _membership(at, rank)), below=at.pattern.wildcard)
        by_pattern = OriginTable({}, patterns, tuple(self._anyone()))
        exact: dict[str, tuple[Membership, ...]] = {}
        for at in self._patterns(exact=True):
            membership = _membership(at, _EXACT_RANK)
            known = exact.get(at.pattern.text)
            if known is None:
                origin = Origin(at.pattern.scheme, at.pattern.host, at.pattern.port)
                exact[at.pattern.text] = (membership, *by_pattern.find_by_pattern(origin))
            else:
                exact[at.pattern.text] = tuple(sorted((*known, membership), key=_rank))
        return replace(by_pattern, exact=exact)

    def _patterns(self, *, exact: bool) -> Iterator[PatternAt]:
        for patterns in self._subject.patterns.values():
            yield from (at for at in patterns if at.pattern.is_exact is exact)

    def _anyone(self) -> Iterator[Membership]:
        for name in self._subject.patterns:
            named = self._estate.origin_groups[name]
            if named.model.any:
                yield Membership(_ANY_RANK, name, "any", named.key_place)


_OF_TOKENS: Final = (Authenticated, AnyRole, AllRoles, ClaimIs, TokenAge, OriginInClaim)


def _membership(at: PatternAt, rank: int) -> Membership:
    return Membership(rank, at.group.name, at.pattern.text, at.place)


def _rank(membership: Membership) -> int:
    return membership.rank


def _is_one_open_read(rules: Iterable[Rule]) -> bool:
    reads = [rule for rule in rules if "GET" in rule.methods or rule.any_method]
    return any(rule.versions is None for rule in reads) and not any(rule.credentials or rule.guards for rule in reads)


def _concerns(has_versions: bool, rules: Iterable[Rule], guards: Iterable[Guard]) -> int:  # noqa: FBT001 - one of three facts alike
    versions = Concern.VERSIONS if has_versions else 0
    bodies = Concern.BODIES if any(rule.content_types is not None for rule in rules) else 0
    return int(versions | bodies | (Concern.CALLERS if guards or any(rule.guards for rule in rules) else 0))


def _by_origin_group(rules: Iterable[Rule]) -> Mapping[str, tuple[Rule, ...]]:
    by_group: dict[str, list[Rule]] = {}
    for rule in rules:
        for name in rule.origin_groups:
            by_group.setdefault(name, []).append(rule)
    return {name: tuple(of_group) for name, of_group in by_group.items()}


def _vary(group: ResourceGroup, token_headers: Iterable[str]) -> Iterator[str]:
    """Name the request headers that an answer can depend on.

    Method overrides are left out: what a cache answers reaches no upstream, so an override in it changes nothing.
    """
    if not group.origin_free:
        yield from ("Origin", "Sec-Fetch-Site")
    if group.unlisted != FORWARD_ALL:
        # `same-site` reads them as `deny` does: a cached image must not reach the page that was refused it.
        yield from ("Sec-Fetch-Mode", "Sec-Fetch-Dest")
    source = group.version_from
    if source is not None and source.source is not VersionSource.QUERY:
        yield "Accept" if source.source is VersionSource.MEDIA_TYPE else _title(source.name)
    headers = (g.condition.name for g in _guards_in(group) if isinstance(g.condition, HeaderIs))
    yield from dict.fromkeys(map(_title, (*headers, *token_headers)))


def _title(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))


def _guards_in(group: ResourceGroup) -> Iterator[Guard]:
    yield from _flat(group.guards)
    for rule in group.rules:
        yield from _flat(rule.guards)


def _flat(guards: Iterable[Guard]) -> Iterator[Guard]:
    """Give guards with the members of `anyOf` in place of it."""
    for guard in guards:
        if isinstance(guard.condition, AnyOf):
            yield from _flat(guard.condition.guards)
        else:
            yield guard


def _providers_read(guards: Iterable[Guard]) -> dict[str, None]:
    return {guard.provider: None for guard in _flat(guards) if guard.provider}


def _condition(model: schema.Guard) -> Condition:
    if model.authenticated:
        return Authenticated()
    if model.any_role:
        return AnyRole(frozenset(model.any_role))
    if model.all_roles:
        return AllRoles(frozenset(model.all_roles))
    if model.claim is not None:
        values = model.claim.any_of if model.claim.equals is None else (model.claim.equals,)
        return ClaimIs(model.claim.name, values)
    if model.token_age_at_most is not None:
        return TokenAge(model.token_age_at_most.total_seconds())
    return OriginInClaim(model.origin_in_claim) if model.origin_in_claim else _condition_of_request(model)


def _condition_of_request(model: schema.Guard) -> Condition:
    if model.principal_in:
        prefixes = tuple(text.removesuffix("*") for text in model.principal_in if text.endswith("*"))
        return PrincipalIn(frozenset(text for text in model.principal_in if not text.endswith("*")), prefixes)
    if model.source_in:
        return SourceIn(tuple(map(ip_network, model.source_in)))
    if model.header is not None:
        return HeaderIs(model.header.name.lower(), model.header.equals)
    return VersionIn(frozenset(model.version_in))


def _provider(name: str, model: schema.Jwt) -> Provider:
    place, token_name = _token_place(model.from_)
    return Provider(
        name=name,
        issuer=model.issuer,
        audiences=model.audiences,
        algorithms=model.algorithms,
        jwks_uri=model.keys.jwks_uri or "",
        jwks_file=model.keys.jwks_file or "",
        envoy_metadata=model.keys.envoy_metadata or "",
        roles=model.roles,
        token_place=place,
        token_name=token_name,
        leeway_seconds=_DEFAULT_LEEWAY_SECONDS if model.leeway is None else int(model.leeway.total_seconds()),
    )


def _token_place(model: schema.TokenFrom | None) -> tuple[TokenPlace, str]:
    if model is None or (model.header or "").lower() == "authorization":
        return TokenPlace.AUTHORIZATION, "authorization"
    return (TokenPlace.COOKIE, model.cookie) if model.cookie else (TokenPlace.HEADER, (model.header or "").lower())


def _tenants(model: schema.Tenants) -> TenantSource:
    prefix, _, suffix = (model.principal or "").partition("{tenant}")
    return TenantSource(model.claim or "", prefix, suffix, model.route_metadata or "")


def _versions(models: Mapping[str, schema.VersionData]) -> Mapping[str, ApiVersion]:
    return {
        name: ApiVersion(name, _seconds(model.deprecated), _seconds(model.sunset), model.successor or "")
        for name, model in models.items()
    }


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _version_from(model: schema.VersionFrom) -> VersionFrom:
    default = model.default or ""
    if model.media_type is not None:
        prefix, _, suffix = model.media_type.partition("{version}")
        return VersionFrom(VersionSource.MEDIA_TYPE, prefix=prefix, suffix=suffix, default=default)
    if model.header is not None:
        return VersionFrom(VersionSource.HEADER, model.header.lower(), default=default)
    return VersionFrom(VersionSource.QUERY, model.query or "", default=default)


def _route(at: RouteAt, group: ResourceGroup, rank: int) -> Route:
    return Route(
        group=group,
        rank=rank,
        host=at.host.text,
        path=at.path.text,
        place=at.place,
        methods=at.methods,
        tenant_in_host=at.host.tenant,
        tenant_in_path=at.path.tenant,
        version_in_host=at.host.version,
        version_in_path=at.path.version,
    )


def _route_table(hosts: Iterable[tuple[HostPattern, HostRoutes]]) -> RouteTable:
    patterns: Trie[HostRoutes] = Trie()
    exact: dict[str, list[HostRoutes]] = {}
    for host, routes in hosts:
        if not host.wildcard and all(map(is_literal, host.labels)):
            exact.setdefault(host.host, []).append(routes)
        else:
            patterns.add(host.labels[::-1], routes, below=host.wildcard)
    # No dot stands in an IPv6 address as it is written here, so it is one label.
    return RouteTable({name: (*own, *patterns.find(name.split(".")[::-1])) for name, own in exact.items()}, patterns)
