"""The HTTP filters of a connection manager: what stands in front of ext_authz, and what undoes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cors_authz.doctor import catalogue, mutation
from cors_authz.doctor.finding import Finding, Rule
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import HttpFilter, Manager, Message, Setup, inner, maps
from cors_authz.envoy.bootstrap import CORS_RESPONSE_HEADERS

_REFUSING: Final = frozenset({"oauth2", "basic_auth", "api_key_auth", "csrf"})
_ANSWERING: Final = frozenset(
    {
        *("lua", "wasm", "ext_proc", "golang", "dynamic_modules", "fault", "buffer", "admission_control"),
        *("ratelimit", "local_ratelimit", "rate_limit_quota", "adaptive_concurrency"),
    }
)
_CORS: Final = "envoy.extensions.filters.http.cors.v3.CorsPolicy"
_MISSING: Final = frozenset({"allow_missing_or_failed", "allow_missing"})


def findings(setup: Setup, manager: Manager, reads: Reads) -> Iterator[Finding]:
    """Say what is wrong with the order of filters for a policy that reads so much; nothing without an ext_authz."""
    at = _first_check(manager)
    if at is None:
        return
    before, after = manager.filters[:at], manager.filters[at + 1 :]
    yield from mutation.findings(setup, manager, before, reads)
    for each in before:
        for rule, detail in _in_front(each, manager):
            yield _found(setup, manager, each, rule, detail)
    for each in after:
        for rule, detail in _behind(each):
            yield _found(setup, manager, each, rule, detail)
    for each in (*before, *after):
        if _takes_grants(each):
            yield _found(setup, manager, each, catalogue.HEADER_MUTATION, "it removes `access-control-*`")


def _first_check(manager: Manager) -> int | None:
    checks = manager.checks
    return next((at for at, each in enumerate(manager.filters) if each in checks), None)


def _found(setup: Setup, manager: Manager, each: HttpFilter, rule: Rule, detail: str) -> Finding:
    return Finding(rule, setup.at(manager, f"filter {each.name}", line=each.line), detail)


def _in_front(each: HttpFilter, manager: Manager) -> Iterator[tuple[Rule, str]]:
    if each.kind == "jwt_authn":
        yield from _jwt(each.config)
    elif each.kind in _REFUSING:
        yield catalogue.REFUSES_FIRST, f"`{each.kind}` stands in front of ext_authz"
    elif each.kind == "rbac" and ("rules" in each.config or "matcher" in each.config):
        yield catalogue.REFUSES_FIRST, "`rbac` with rules that it enforces stands in front of ext_authz"
    elif each.kind == "cors" and _has_cors_policy(manager):
        yield catalogue.NATIVE_CORS, "`cors` stands in front of ext_authz, and routes have a CorsPolicy"
    elif each.kind == "cache":
        yield catalogue.CACHE, "`cache` stands in front of ext_authz"
    elif each.kind in _ANSWERING:
        yield catalogue.MAY_ANSWER, f"`{each.kind}` stands in front of ext_authz"


def _jwt(config: Message) -> Iterator[tuple[Rule, str]]:
    needed = [requirement for rule in _jwt_rules(config) if (requirement := _requirement(rule, config))]
    if any(not _lets_pass(each, _MISSING) for each in needed):
        if config.get("bypass_cors_preflight") is not True:
            yield catalogue.REFUSES_FIRST, "`jwt_authn` demands a token in front of ext_authz"
        else:
            yield catalogue.UNREADABLE, "`jwt_authn` demands a token; preflights alone pass (`bypass_cors_preflight`)"
    elif any(not _lets_pass(each, {"allow_missing_or_failed"}) for each in needed):
        yield catalogue.UNREADABLE, "`jwt_authn` refuses bad tokens by itself (`allow_missing`)"


def _jwt_rules(config: Message) -> list[Message]:
    by_state = inner(config, "filter_state_rules", "requires")
    return [*maps(config.get("rules")), *({"requires": each} for each in by_state.values())]


def _requirement(rule: Message, config: Message) -> Message:
    name = rule.get("requirement_name")
    return inner(config, "requirement_map", str(name)) if name else inner(rule, "requires")


def _lets_pass(requirement: Message, words: frozenset[str] | set[str]) -> bool:
    if words & requirement.keys():
        return True
    if "requires_all" in requirement:
        return all(_lets_pass(each, words) for each in maps(inner(requirement, "requires_all").get("requirements")))
    return any(_lets_pass(each, words) for each in maps(inner(requirement, "requires_any").get("requirements")))


def _has_cors_policy(manager: Manager) -> bool:
    return any(_mentions_cors(table) for table in manager.tables)


def _mentions_cors(table: Message) -> bool:
    hosts = maps(table.get("virtual_hosts"))
    routes = [route for host in hosts for route in maps(host.get("routes"))]
    configs = [each for level in (table, *hosts, *routes) for each in inner(level, "typed_per_filter_config").values()]
    old = any("cors" in host for host in hosts) or any("cors" in inner(route, "route") for route in routes)
    return old or any(str(inner(each).get("@type", "")).endswith(_CORS) for each in configs)


def _behind(each: HttpFilter) -> Iterator[tuple[Rule, str]]:
    providers = inner(each.config, "providers").values() if each.kind == "jwt_authn" else ()
    if any(inner(provider).get("clear_route_cache") is True for provider in providers):
        yield catalogue.ROUTE_CACHE, "a provider of `jwt_authn` has `clear_route_cache: true`"
    if each.kind == "ext_proc" and each.config.get("route_cache_action") == "CLEAR":
        yield catalogue.ROUTE_CACHE, "`ext_proc` has `route_cache_action: CLEAR`"


def _takes_grants(each: HttpFilter) -> bool:
    return each.kind == "header_mutation" and any(True for _ in removed_by(each.config))


def removed_by(config: Message) -> Iterator[str]:
    """Give the CORS headers that a header_mutation takes off answers."""
    for change in maps(inner(config, "mutations").get("response_mutations")):
        prefix = inner(change, "remove_on_match", "key_matcher").get("prefix")
        for name in CORS_RESPONSE_HEADERS:
            if _is_removed(change, prefix, name):
                yield name


def _is_removed(mutation: Mapping[str, Any], prefix: object, name: str) -> bool:
    if isinstance(prefix, str):
        return name.startswith(prefix.lower())
    return str(mutation.get("remove", "")).lower() == name
