"""Hold a request against a policy: which route, whose version and tenant, what kind, which rule. Nothing is judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from cors_authz.fetch.fields import asked_headers
from cors_authz.fetch.origin import DEFAULT_PORTS
from cors_authz.fetch.request import Kind, Request, is_preflight, is_websocket, is_write, kind_of, overriding_method
from cors_authz.fetch.target import (
    MAX_AUTHORITY_CHARACTERS,
    Authority,
    Target,
    query_values,
    read_authority,
    read_target,
)
from cors_authz.pdp.facts import OF_STRANGERS, Facts, Standing, credentials_of
from cors_authz.policy.compiled import (
    CompiledPolicy,
    Credential,
    HostRoutes,
    Membership,
    Needs,
    Protocol,
    ResourceGroup,
    Route,
    RouteTable,
    Rule,
    TenantSource,
    VersionFrom,
    VersionSource,
)
from cors_authz.policy.pattern import SlotAt

ROUTE_METADATA: Final = "cors_authz"
"""The namespace of Envoy's route metadata in which a tenant may stand."""


class _Version(NamedTuple):
    name: str
    known: bool


# Bound here since, on Python 3.11, a member costs more to look up than a header.
_PREFLIGHT: Final = Kind.PREFLIGHT
_HTTP: Final = Protocol.HTTP

_BY_ORIGIN: Final = frozenset({Kind.CROSS_ORIGIN, Kind.PREFLIGHT})
_NO_NEEDS: Final = Needs()
_NO_VERSION: Final = _Version("", known=True)
_UNKNOWN_VERSION: Final = _Version("", known=False)


def match(request: Request, policy: CompiledPolicy) -> Facts:
    """Hold a request against a policy.

    Returns: the facts, whatever the request is; `Facts.needs` says which tokens the decision may read. Never raises.
    """
    scheme = policy.public_scheme or request.scheme
    is_short = len(request.host) + len(scheme) <= MAX_AUTHORITY_CHARACTERS
    place = _place_of(request.host, scheme) if is_short else _NOWHERE
    target = read_target(request.target)
    preflight = request.method == "OPTIONS" and is_preflight(request)
    sent = request.headers["access-control-request-method"] if preflight else request.method
    override = overriding_method(request, target.query if target else "")
    method = _effective_method(sent, override)
    kind = _PREFLIGHT if preflight else kind_of(request, method or "", place.origin)
    hosts = _hosts_of(policy.routes, place)
    if target is not None and target.kept and _parameters_lead(hosts, target, (sent, method or "")):
        target = None
    route = _route_of(hosts, target, method or "")
    if override and _leads_elsewhere(route, [_route_of(hosts, target, other) for other in (sent, override)]):
        method = None
    version = _version_of(request, route, place.authority, target, preflight=preflight)
    origin = request.headers.get("origin", "")
    memberships = policy.origins.find(origin) if origin and kind in _BY_ORIGIN else ()
    # With an override, an upstream may run the one or the other.
    methods = () if method is None else (sent,) if method == sent else (method, sent)
    listed, standing = _standings(route, memberships, methods, version) if memberships else (None, None)
    asked = _asked(request) if preflight else ()
    if preflight and not version.known and route is not None and standing is not None and asked is not None:
        standing = _standing_of_some_version(route.group, memberships or (), methods, asked) or standing
    group, rule = route.group if route else None, standing.rule if standing else None
    tenants = _tenants_in_slots(route, place.authority, target)
    if policy.tenants is not None and route is not None and not tenants:
        tenants = _tenant_beyond_the_route(policy.tenants, request, credentials_of(kind, standing))
    # By their order: on Python 3.11, twenty names would cost as much as the search for a rule.
    return Facts(
        policy,
        request,
        target,
        place.authority,
        bool(hosts),
        route,
        group,
        method,
        kind,
        origin,
        memberships is None,
        protocol_of(request, target),
        version.name,
        version.known,
        tenants,
        listed,
        standing,
        rule,
        asked,
        _needs(group, rule, kind),
    )


class _Place(NamedTuple):
    """Where a request goes: its authority, the origin of that, and its port, defaults filled in."""

    authority: Authority | None
    origin: str
    port: str


_NOWHERE: Final = _Place(None, "", "")


@lru_cache(maxsize=16_384)
def _place_of(host: str, scheme: str) -> _Place:
    authority = read_authority(host, scheme)
    if authority is None:
        return _NOWHERE
    return _Place(authority, f"{scheme}://{authority.text}", authority.port or DEFAULT_PORTS.get(scheme, ""))


def _needs(group: ResourceGroup | None, rule: Rule | None, kind: Kind) -> Needs:
    """Say whose tokens the decision may read; a preflight carries none."""
    if group is None or kind is _PREFLIGHT:
        return _NO_NEEDS
    if rule is not None:
        return rule.needs
    return group.needs_of_strangers if kind in OF_STRANGERS else group.needs


def _effective_method(sent: str, override: str | None) -> str | None:
    if not override:
        # None stands for an override that no one may ask for.
        return sent if override == "" else None
    # A safe method in place of a write is not believed: an upstream that knows no overrides runs what was sent.
    return override if is_write(override) else sent


def _asked(request: Request) -> tuple[str, ...] | None:
    return asked_headers(request.headers.get("access-control-request-headers", ""))


def _leads_elsewhere(route: Route | None, others: Iterable[Route | None]) -> bool:
    """Tell whether an override leads to another group: which guards hold must not hang on what the upstream knows."""
    return any((other.group if other else None) is not (route.group if route else None) for other in others)


def _parameters_lead(hosts: Sequence[HostRoutes], target: Target, methods: Iterable[str]) -> bool:
    """Tell whether the `;parameters`, to an upstream that keeps them, choose the group by how their segment ends.

    In `/v1/7;.pdf` they are what a template `/v1/{id}.pdf` asks for.
    """
    silent = tuple(segment.partition(";")[0] + ";" * (";" in segment) for segment in target.kept)
    kept, cut = target._replace(segments=target.kept), target._replace(segments=silent)
    return any(_leads_elsewhere(_route_of(hosts, kept, each), [_route_of(hosts, cut, each)]) for each in methods)


def _route_of(hosts: Iterable[HostRoutes], target: Target | None, method: str) -> Route | None:
    narrowest: Route | None = None
    if target is None:
        return None
    for host in hosts:
        for route in host.paths.find(target.segments):
            if (route.methods is None or method in route.methods) and (
                narrowest is None or route.rank < narrowest.rank
            ):
                narrowest = route
    return narrowest


def _hosts_of(table: RouteTable, place: _Place) -> Sequence[HostRoutes]:
    if place.authority is None:
        return ()
    hosts: Sequence[HostRoutes] | None = table.exact.get(place.authority.host)
    if hosts is None:
        hosts = table.patterns.find(place.authority.labels[::-1])
    if len(hosts) == 1 and not hosts[0].port:
        return hosts
    return [host for host in hosts if not host.port or host.port == place.port]


def _standings(
    route: Route | None, memberships: Iterable[Membership], methods: Sequence[str], version: _Version
) -> tuple[Standing | None, Standing | None]:
    """Find the narrowest rule that has the origin at all, and the one that decides."""
    if route is None:
        return None, None
    rules_of, named = route.group.rules_of, version.name if version.known else None
    listed: Standing | None = None
    for membership in memberships:
        for rule in rules_of.get(membership.group, ()):
            standing = Standing(rule, membership)
            listed = listed or standing
            if methods and rule.admits(methods[0], named) and (len(methods) == 1 or rule.admits(methods[1], named)):
                return listed, standing
    return listed, None


def _standing_of_some_version(
    group: ResourceGroup, memberships: Iterable[Membership], methods: Sequence[str], asked: tuple[str, ...]
) -> Standing | None:
    """Find the rule by which a preflight that does not show its version passes, if it does for any.

    One without a guard that preflights are asked goes first. Of those alike, one with credentials of the browser: a
    page that sends none is not kept from the answer by their grant, and one that sends them would be by its absence.
    """
    deciding = _deciding_for_some_version(group, memberships, methods)
    granting = (standing for standing in deciding if standing.rule.grants(asked))
    return max(granting, key=lambda standing: _openness(standing.rule), default=None)


def _openness(rule: Rule) -> tuple[bool, bool]:
    return not any(guard.both_phases for guard in rule.guards), rule.sends_browser_credentials


def _deciding_for_some_version(
    group: ResourceGroup, memberships: Iterable[Membership], methods: Sequence[str]
) -> Iterator[Standing]:
    undecided = frozenset(group.versions or ())
    for membership in memberships:
        for rule in group.rules_of.get(membership.group, ()):
            decided = undecided if rule.versions is None else undecided & rule.versions
            if decided and all(rule.admits(method, None) for method in methods):
                undecided -= decided
                yield Standing(rule, membership)


def protocol_of(request: Request, target: Target | None) -> Protocol:
    """Recognise the protocol of a request by `Upgrade`, by its content type or by Connect's own marks.

    Envoy's grpc_web filter rewrites the content type to plain gRPC and leaves `x-grpc-web`. A Connect GET has no
    content type and names its protocol in the query.
    """
    if is_websocket(request):
        return Protocol.WEBSOCKET
    headers = request.headers
    content_type = headers["content-type"].lower() if "content-type" in headers else ""
    if content_type.startswith("application/grpc"):
        translated = content_type.startswith("application/grpc-web") or "x-grpc-web" in headers
        return Protocol.GRPC_WEB if translated else Protocol.GRPC
    if "connect-protocol-version" in headers or content_type.startswith("application/connect+"):
        return Protocol.CONNECT
    query = target.query if target else ""
    return Protocol.CONNECT if query and "v1" in query_values(query, "connect") else _HTTP


def _version_of(
    request: Request, route: Route | None, authority: Authority | None, target: Target | None, *, preflight: bool
) -> _Version:
    if route is None or authority is None or target is None:
        return _NO_VERSION
    slots = _slot_values(route.version_in_host, route.version_in_path, authority, target)
    if slots:
        # Two slots that disagree name no version.
        return _Version(slots[0] if len(set(slots)) == 1 else "", known=True)
    source = route.group.version_from
    if source is None:
        return _NO_VERSION
    if preflight and source.source is not VersionSource.QUERY:
        return _UNKNOWN_VERSION
    values = _named_versions(source, request.headers, target.query)
    if not values:
        return _Version(source.default, known=True)
    return _Version(values[0] if len(values) == 1 else "", known=True)


def _named_versions(source: VersionFrom, headers: Mapping[str, str], query: str) -> tuple[str, ...]:
    if source.source is VersionSource.QUERY:
        return query_values(query, source.name)
    if source.source is VersionSource.HEADER:
        value = headers.get(source.name, "")
        return (value,) if value else ()
    return _media_type_versions(source, headers.get("accept", "")) or _media_type_versions(
        source, headers.get("content-type", "")
    )


def _media_type_versions(source: VersionFrom, value: str) -> tuple[str, ...]:
    prefix, suffix = source.prefix.lower(), source.suffix.lower()
    if prefix not in value.lower():
        return ()
    types = (part.partition(";")[0].strip() for part in value.split(","))
    named = (
        kind[len(prefix) : len(kind) - len(suffix)]
        for kind in types
        if kind.lower().startswith(prefix) and kind.lower().endswith(suffix) and len(kind) > len(prefix) + len(suffix)
    )
    return tuple(dict.fromkeys(named))


def _tenants_in_slots(route: Route | None, authority: Authority | None, target: Target | None) -> tuple[str, ...]:
    if route is None or authority is None or target is None:
        return ()
    return _slot_values(route.tenant_in_host, route.tenant_in_path, authority, target)


def _tenant_beyond_the_route(
    source: TenantSource, request: Request, credentials: frozenset[Credential]
) -> tuple[str, ...]:
    if source.route_metadata:
        value = request.route_metadata.get(ROUTE_METADATA, {}).get(source.route_metadata)
        return (value,) if isinstance(value, str) and value else ()
    principal = request.principal if Credential.MTLS in credentials else ""
    if not source.principal_prefix or not principal.startswith(source.principal_prefix):
        return ()
    tenant, slash, rest = principal.removeprefix(source.principal_prefix).partition("/")
    return (tenant,) if tenant and _ends_as(slash + rest, source.principal_suffix) else ()


def _ends_as(rest: str, suffix: str) -> bool:
    return rest.startswith(suffix[:-1]) if suffix.endswith("*") else rest == suffix


def _slot_values(
    in_host: SlotAt | None, in_path: SlotAt | None, authority: Authority, target: Target
) -> tuple[str, ...]:
    if in_host is None and in_path is None:
        return ()
    values = []
    if in_host is not None:
        values.append(_cut(authority.labels[-1 - in_host.element], in_host))
    if in_path is not None:
        values.append(_cut(target.segments[in_path.element], in_path))
    return tuple(values)


def _cut(text: str, slot: SlotAt) -> str:
    return text[slot.prefix : len(text) - slot.suffix]
