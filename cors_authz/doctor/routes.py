"""The routes of a connection manager: whether each is checked, and what it does to CORS headers by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from cors_authz.doctor import catalogue, gate, istio, scope
from cors_authz.doctor.answers import granted, removed_by
from cors_authz.doctor.finding import Finding, Where
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.setup import FILTER_CONFIG, Manager, Message, Setup, inner, maps, routes_of, texts, type_of
from cors_authz.doctor.spelling import Routing, object_to
from cors_authz.envoy.bootstrap import CORS_RESPONSE_HEADERS

_OWN_MATCHER: Final = "envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute"
_REMOVED: Final = "response_headers_to_remove"
_SAFE: Final = {":method", "origin", "sec-fetch-site"}
_OWN_SITE: Final = frozenset({"same-origin", "none", "same-origin|none", "none|same-origin"})


class _Route(NamedTuple):
    """A route with the levels around it, the outermost first, and where it stands."""

    levels: tuple[Message, ...]
    where: Where

    @property
    def config(self) -> Message:
        return self.levels[-1]

    @property
    def variants(self) -> Iterator[tuple[Message, ...]]:
        """Give the levels, to each of its clusters where it spreads requests over several."""
        several = maps(inner(self.config, "route", "weighted_clusters").get("clusters"))
        yield from ((*self.levels, each) for each in several or [{}])

    @property
    def host(self) -> Message:
        return self.levels[1]

    @property
    def where_of_host(self) -> Where:
        line = line_of(self.host) or self.where.line
        return self.where._replace(line=line, part=self.where.part.rpartition(" > ")[0])

    @property
    def forwards(self) -> bool:
        return "route" in self.config

    @property
    def answers(self) -> bool:
        return "redirect" in self.config or "direct_response" in self.config


def findings(setup: Setup, manager: Manager) -> Iterator[Finding]:
    """Say what is wrong with the routes of a connection manager, whether it has ext_authz or not."""
    routes = list(_routes(setup, manager))
    if not manager.checks:
        yield from _unasked(setup, manager, routes)
        return
    yield from _elsewhere(setup, manager)
    yield from coverage(setup, manager)
    yield from _strips(manager, routes)
    yield from _grants(routes)


def coverage(setup: Setup, manager: Manager) -> Iterator[Finding]:
    """Say which routes go unchecked, of a connection manager that has ext_authz."""
    routing = Routing(manager.tables, manager.config)
    for route in _routes(setup, manager):
        yield from _coverage(manager, route)
        yield from _matchers(manager, route, routing)


def _routes(setup: Setup, manager: Manager) -> Iterator[_Route]:
    for table in manager.tables:
        for host in maps(table.get("virtual_hosts")):
            for index, route in enumerate(routes_of(host)):
                parts = (f"virtual host {host.get('name', '')}", f"route {route.get('name') or _matched(route, index)}")
                where = setup.at(manager, *parts, line=line_of(route))
                yield _Route((table, host, route), where)


def _elsewhere(setup: Setup, manager: Manager) -> Iterator[Finding]:
    """Say which routes stand where they cannot be read."""
    if not manager.tables or manager.awaited:
        named = f"`{manager.awaited[0]}`" if manager.awaited else "the routes"
        yield Finding(catalogue.UNRESOLVED, setup.at(manager), f"{named} are sent by a control plane (RDS)")
    for table in manager.tables:
        if "vhds" in table:
            where = setup.at(manager, line=line_of(table, "vhds"))
            yield Finding(catalogue.CHOSEN_LATER, where, "`vhds`: virtual hosts are sent when a request asks for them")
        for host in maps(table.get("virtual_hosts")):
            if "matcher" in host and not routes_of(host):
                where = setup.at(manager, f"virtual host {host.get('name', '')}", line=line_of(host, "matcher"))
                yield Finding(catalogue.CHOSEN_LATER, where, "`matcher` has no route that could be read")


def _matched(route: Message, index: int) -> str:
    match = inner(route, "match")
    for how in ("prefix", "path", "path_separated_prefix"):
        if how in match:
            return f"{how} {match[how]}"
    return f"number {index}"


def _unasked(setup: Setup, manager: Manager, routes: list[_Route]) -> Iterator[Finding]:
    """Judge a manager without ext_authz."""
    later = [each.name for each in manager.filters if each.awaited]
    if later:
        yield Finding(catalogue.UNRESOLVED, setup.at(manager), f"`{later[0]}` is sent by a control plane (ECDS)")
        return
    if scope.forwards(setup, manager):
        # Where Istio refuses instead, that is what to tell.
        if not any(True for _ in istio.findings(setup, manager)):
            yield Finding(catalogue.NOT_ASKED, setup.at(manager), "`http_filters` has no ext_authz")
        return
    for route in routes:
        if route.answers:
            yield Finding(catalogue.OWN_ANSWER, route.where, "no ext_authz on this listener")


# --- whether they are checked -----------------------------------------------------------------------------------------


def _coverage(manager: Manager, route: _Route) -> Iterator[Finding]:
    name = next((name for levels in route.variants if (name := _unasked_check(manager, levels))), "")
    if not name:
        return
    if route.answers:
        yield Finding(catalogue.OWN_ANSWER, route.where, f"`{name}` is off here")
    elif _is_safe_skip(inner(route.config, "match")):
        yield Finding(catalogue.SAFE_SKIP, route.where, f"`{name}` is off for GET and HEAD of the same origin")
    elif route.forwards:
        yield Finding(catalogue.DISABLED, route.where, f"`{name}` is off here")


def _matchers(manager: Manager, route: _Route, routing: Routing) -> Iterator[Finding]:
    """Judge matchers that a route puts around the check in place of that of the filter."""
    for check in manager.checks:
        entries = [inner(level, "typed_per_filter_config").get(check.name) for level in route.levels]
        name, config = type_of(next((each for each in reversed(entries) if each is not None), None))
        if route.forwards and name == _OWN_MATCHER:
            said = f"a matcher stands around `{check.name}` here"
            rule, detail = object_to(gate.of_matcher(inner(config, "xds_matcher")), routing, said)
            yield Finding(catalogue.DISABLED if rule is catalogue.NOT_ASKED else rule, route.where, detail)


def _unasked_check(manager: Manager, levels: tuple[Message, ...]) -> str:
    """Name a check that is off; "" where all are made that are to be made.

    Of those that act everywhere, each has to: which of several services is ours, no configuration tells. Of those that
    act only where a route enables them, one is enough, as Envoy Gateway has one for each SecurityPolicy.
    """
    checks = [(check, _is_on(levels, check.name, default=not check.disabled)) for check in manager.checks]
    is_any_on = any(is_on for _, is_on in checks)
    return next((check.name for check, is_on in checks if not is_on and not (is_any_on and check.disabled)), "")


def _is_on(levels: Iterable[Message], name: str, *, default: bool) -> bool:
    """Tell whether a filter acts: the innermost level that says something of it decides."""
    is_on = default
    for level in levels:
        entry = inner(level, "typed_per_filter_config").get(name)
        if entry is not None:
            is_on = not _is_off(inner(entry))
    return is_on


def _is_off(entry: Message) -> bool:
    name, config = type_of(entry)
    if config.get("disabled") is True:
        return True
    return name == FILTER_CONFIG and type_of(config.get("config"))[1].get("disabled") is True


def _is_safe_skip(match: Message) -> bool:
    """Tell whether a route takes reads alone whose browser says that they come from the same origin."""
    headers = {str(each.get("name", "")).lower(): each for each in maps(match.get("headers"))}
    if not headers.keys() >= _SAFE:
        return False
    method, site = (_wanted(headers[name]) for name in (":method", "sec-fetch-site"))
    absent = headers["origin"].get("invert_match") is True and headers["origin"].get("present_match") is True
    return absent and method in {"GET", "HEAD", "GET|HEAD", "HEAD|GET"} and site in _OWN_SITE


def _wanted(header: Message) -> str:
    if header.get("invert_match") is True:
        return ""
    text = inner(header, "string_match")
    return str(text.get("exact") or inner(text, "safe_regex").get("regex", ""))


# --- what they do to CORS headers -------------------------------------------------------------------------------------


def _strips(manager: Manager, routes: list[_Route]) -> Iterator[Finding]:
    """Say it once for all routes of a virtual host that lack the same."""
    behind = _stripped_upstream(manager)
    alike: dict[tuple[int, str], list[_Route]] = {}
    for route in routes:
        removed = behind.union(frozenset.intersection(*map(_removed, route.variants)))
        lacking = ", ".join(f"`{name}`" for name in CORS_RESPONSE_HEADERS if name not in removed)
        if route.forwards and lacking:
            alike.setdefault((id(route.host), lacking), []).append(route)
    for (_, lacking), found in alike.items():
        where = found[0].where if len(found) == 1 else found[0].where_of_host
        yield Finding(catalogue.NO_STRIP, where, f"`{_REMOVED}` lacks {lacking}")


def _removed(levels: tuple[Message, ...]) -> frozenset[str]:
    return frozenset(name.lower() for each in levels for name in texts(each.get(_REMOVED)))


def _stripped_upstream(manager: Manager) -> frozenset[str]:
    """Name what a header_mutation among the router's own filters takes off: the upstream's headers alone, too."""
    routers = [each.config for each in manager.filters if each.kind == "router"]
    filters = [each for router in routers for each in maps(router.get("upstream_http_filters"))]
    return frozenset(name for each in filters for name in removed_by(type_of(each.get("typed_config"))[1]))


def _grants(routes: list[_Route]) -> Iterator[Finding]:
    told: set[int] = set()
    for route in routes:
        for level in (level for levels in route.variants for level in levels):
            for name in granted(maps(level.get("response_headers_to_add"))):
                if id(level) not in told:
                    yield Finding(catalogue.STATIC_GRANT, route.where, f"`response_headers_to_add` has `{name}`")
            told.add(id(level))
