"""The HTTP filters of a connection manager: what stands in front of ext_authz, and what undoes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from cors_authz.doctor import answers, catalogue, mutation
from cors_authz.doctor.finding import Finding, Rule
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import HttpFilter, Manager, Message, Setup, configs_of, filter_of, inner, maps

_RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("oauth2", "basic_auth", "api_key_auth", "csrf"), catalogue.REFUSES_FIRST),
    **dict.fromkeys(("cache", "cache_v2"), catalogue.CACHE),
    "file_server": catalogue.SERVES_FIRST,
}
"""What filters in front of the check do, by their kinds; of those that stand in neither list, nobody knows."""

_HARMLESS: Final = frozenset(
    {
        # What they write is read by other filters and by logs, or is a header of their own.
        *("header_to_metadata", "json_to_metadata", "thrift_to_metadata", "sse_to_metadata", "set_metadata"),
        *("set_filter_state", "ip_tagging", "geoip", "grpc_stats", "tap"),
        # They choose connections, or hold a request back until its route or its turn has come.
        *("alternate_protocols_cache", "original_src", "stateful_session", "on_demand", "bandwidth_limit"),
        # Answers alone; a content type of gRPC-Web needs a preflight, and so does that of gRPC.
        *("compressor", "grpc_web"),
        # Probes get a status and no content; what is mutated is told by each header.
        *("health_check", "header_mutation"),
    }
)
"""Kinds that neither answer requests nor change what policies read of them, by the documents of Envoy 1.40."""

_OF_ISTIO: Final = frozenset(
    {
        *("io.istio.http.peer_metadata.Config", "stats.PluginConfig"),
        "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
    }
)
"""Those of Istio's own filters that are as harmless."""

_CHAIN: Final = "filter_chain"
_CORS: Final = "envoy.extensions.filters.http.cors.v3.CorsPolicy"
_MISSING: Final = frozenset({"allow_missing_or_failed", "allow_missing"})


def findings(setup: Setup, manager: Manager, reads: Reads) -> Iterator[Finding]:
    """Say what is wrong with the order of filters for a policy that reads so much; nothing without an ext_authz."""
    at = _first_check(manager)
    if at is None:
        return
    before, after = list(_acting(manager, manager.filters[:at])), list(_acting(manager, manager.filters[at + 1 :]))
    yield from mutation.findings(setup, manager, before, reads)
    for each in before:
        for rule, detail in _in_front(each, manager):
            yield _found(setup, manager, each, rule, detail)
    for each in after:
        for rule, detail in _behind(each):
            yield _found(setup, manager, each, rule, detail)
    for each in (*before, *after):
        for rule, detail in answers.of_filter(each, manager):
            yield _found(setup, manager, each, rule, detail)


def _first_check(manager: Manager) -> int | None:
    checks = manager.checks
    return next((at for at, each in enumerate(manager.filters) if each in checks), None)


def _acting(manager: Manager, filters: Iterable[HttpFilter]) -> Iterator[HttpFilter]:
    """Give filters but those that are off and that no route enables, and the filters of a filter_chain in its place."""
    off = {each.name for each in filters if each.disabled} if manager.tables else set()
    if off:
        off.difference_update(*(inner(level, "typed_per_filter_config") for level in manager.levels))
    for each in filters:
        if each.disabled and each.name in off:
            continue
        if each.kind == _CHAIN:
            inside = (one for config in configs_of(each, manager) for one in _chained(config))
            yield from _acting(manager, [filter_of(one, one.get("typed_config")) for one in inside])
        else:
            yield each


def _chained(config: Message) -> list[Message]:
    """Give the filters of all chains in a message of filter_chain, by whatever name: releases differ in it."""
    chains = [inner(each) for each in config.values()]
    named = [inner(each) for chain in chains for each in chain.values()]
    return [one for chain in (*chains, *named) for one in maps(chain.get("filters"))]


def _found(setup: Setup, manager: Manager, each: HttpFilter, rule: Rule, detail: str) -> Finding:
    return Finding(rule, setup.at(manager, f"filter {each.name}", line=each.line), detail)


def _in_front(each: HttpFilter, manager: Manager) -> Iterator[tuple[Rule, str]]:
    if each.kind == "jwt_authn":
        yield from _jwt(each.config)
    elif each.kind == "rbac":
        if "rules" in each.config or "matcher" in each.config:
            yield catalogue.REFUSES_FIRST, "`rbac` with rules that it enforces stands in front of ext_authz"
    elif each.kind == "cors":
        if _has_cors_policy(manager):
            yield catalogue.NATIVE_CORS, "`cors` stands in front of ext_authz, and routes have a CorsPolicy"
    elif each.kind not in _HARMLESS and each.type not in _OF_ISTIO:
        said = f"`{each.kind or each.name}` stands in front of ext_authz"
        yield _RULES.get(each.kind, catalogue.MAY_ANSWER), said


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
    return any(_mentions_cors(level) for level in manager.levels)


def _mentions_cors(level: Message) -> bool:
    configs = inner(level, "typed_per_filter_config").values()
    return (
        "cors" in level
        or "cors" in inner(level, "route")
        or any(str(inner(each).get("@type", "")).endswith(_CORS) for each in configs)
    )


def _behind(each: HttpFilter) -> Iterator[tuple[Rule, str]]:
    providers = inner(each.config, "providers").values() if each.kind == "jwt_authn" else ()
    if any(inner(provider).get("clear_route_cache") is True for provider in providers):
        yield catalogue.ROUTE_CACHE, "a provider of `jwt_authn` has `clear_route_cache: true`"
    if each.kind == "ext_proc" and each.config.get("route_cache_action") == "CLEAR":
        yield catalogue.ROUTE_CACHE, "`ext_proc` has `route_cache_action: CLEAR`"
