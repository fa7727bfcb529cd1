"""Configurations that look as if they asked, each one edit away from one that does; Envoy 1.40 lets requests pass."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from cors_authz.doctor.diagnose import diagnose
from cors_authz.doctor.lined import documents
from cors_authz.doctor.parsing import setup_of_bootstrap, setup_of_dump
from tests.unit.doctor.test_diagnose import EXT_AUTHZ, dump, exported, parts

Config = dict[str, Any]
Change = Callable[[Config], object]

_TYPES: Final = "type.googleapis.com/envoy.extensions.filters.http"
OFF: Final[Config] = {"@type": f"{_TYPES}.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}
RBAC: Final = "envoy.filters.http.rbac"
GATE: Final[Config] = {
    "filter": RBAC,
    "path": [{"key": "istio_ext_authz_shadow_effective_policy_id"}],
    "value": {"string_match": {"prefix": "istio-ext-authz"}},
}


def said(config: Config) -> list[str]:
    return [each.rule.code for each in diagnose(setup_of_bootstrap("envoy.yaml", config))]


def changed(change: Change) -> Config:
    config = exported()
    change(config)
    return config


def _filters(config: Config) -> list[Config]:
    found: list[Config] = parts(config)["manager"]["http_filters"]
    return found


# --- booleans, as a file writes them ----------------------------------------------------------------------------------

BOOLEANS: Final = {
    "y": ["DR010"],
    "Y": ["DR010"],
    "Yes": ["DR010"],
    "ON": ["DR010"],
    '"true"': ["DR010"],
    '!!bool "true"': ["DR010"],
    "!!str true": ["DR010"],
    "n": [],
    '"false"': [],
    "~": [],
    "1": ["DR111"],
    '"y"': ["DR111"],
    '"TRUE"': ["DR111"],
    "tRUE": ["DR111"],
    "perhaps": ["DR111"],
}


@pytest.mark.parametrize("written", BOOLEANS)
def test_a_boolean_is_read_as_envoy_reads_it(written: str) -> None:
    text = json.dumps(exported(), indent=1).replace('"failure_mode_allow": false', f'"failure_mode_allow": {written}')
    (read,) = documents("envoy.yaml", text.encode())
    found = diagnose(setup_of_bootstrap("envoy.yaml", read))
    line = next(at for at, each in enumerate(text.splitlines(), 1) if "failure_mode_allow" in each)
    assert [(each.rule.code, each.where.line) for each in found] == [(code, line) for code in BOOLEANS[written]]


# --- switches of the runtime, and enums by number ---------------------------------------------------------------------


def _switched(*layers: Config, field: str = "filter_enabled", **default: object) -> Change:
    def change(config: Config) -> None:
        parts(config)["check"][field] = {"runtime_key": "authz.on", "default_value": default or {"numerator": 100}}
        config["layered_runtime"] = {"layers": [{"name": "s", **each} for each in layers]}

    return change


def _switched_in_camel_case(config: Config) -> None:
    _switched(_static({"authzOn": 0}))(config)
    parts(config)["check"]["filter_enabled"]["runtime_key"] = "authzOn"


def _static(values: object) -> Config:
    return {"static_layer": values}


def _share(denominator: object) -> Change:
    enabled = {"default_value": {"numerator": 100, "denominator": denominator}}
    return lambda config: parts(config)["check"].update(filter_enabled=enabled)


def _denied(
    *layers: Config, share: int = 0, denies: object = True, key: str = "authz.deny", **fields: object
) -> Change:
    """Have Envoy refuse what it does not ask about."""

    def change(config: Config) -> None:
        parts(config)["check"] |= {
            "filter_enabled": {"default_value": {"numerator": share}},
            "deny_at_disable": {"runtime_key": key, "default_value": denies},
            **fields,
        }
        config["layered_runtime"] = {"layers": [{"name": "s", **each} for each in layers]}

    return change


# --- matchers around the check ----------------------------------------------------------------------------------------

_SKIP: Final[Config] = {
    "action": {
        "name": "skip",
        "typed_config": {"@type": "x/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"},
    }
}


def _wrapped_in(matcher: Config) -> Change:
    def change(config: Config) -> None:
        entry = parts(config)["entry"]
        entry["typed_config"] = {
            "@type": "x/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {"name": EXT_AUTHZ, "typed_config": entry["typed_config"]},
            "xds_matcher": matcher,
        }

    return change


# --- names that somebody chose ----------------------------------------------------------------------------------------


def _named(name: str) -> Change:
    def change(config: Config) -> None:
        check, route = parts(config)["entry"], parts(config)["route"]
        check["name"] = name
        route["typedPerFilterConfig"] = {name: OFF}

    return change


# --- upgrades ---------------------------------------------------------------------------------------------------------


def _upgraded(*, enabled: object = None, route: Config | None = None, **fields: object) -> Change:
    """Give WebSockets filters of their own: ext_authz with other fields, and the router."""

    def change(config: Config) -> None:
        *_, router = _filters(config)
        check = copy.deepcopy(parts(config)["entry"])
        check["typed_config"] |= fields.pop("config", {})
        filters = [check | fields, router] if fields.pop("asks", True) else [router]
        entry = {"upgrade_type": "websocket", "enabled": enabled, "filters": filters}
        parts(config)["manager"]["upgrade_configs"] = [entry]
        if route:
            parts(config)["route"]["route"]["upgrade_configs"] = [route]

    return change


# --- Istio's gate -----------------------------------------------------------------------------------------------------


def _gated(at: int = 0, per_route: Config | None = None, rbac: Config | None = None, **gate: object) -> Change:
    rules = {"policies": {"istio-ext-authz-x": {"permissions": [{"any": True}], "principals": [{"any": True}]}}}
    message = {"shadow_rules": rules, "shadow_rules_stat_prefix": "istio_ext_authz_"}

    def change(config: Config) -> None:
        parts(config)["check"]["filter_enabled_metadata"] = GATE | gate
        writer = {"name": RBAC, "typed_config": {"@type": f"{_TYPES}.rbac.v3.RBAC", **message}}
        _filters(config).insert(at, writer | (rbac or {}))
        if per_route is not None:
            parts(config)["route"]["typed_per_filter_config"] = {RBAC: per_route}

    return change


# --- several checks ---------------------------------------------------------------------------------------------------


def _two(**off: bool) -> Change:
    """Have another service asked, too; `off` names the checks that the route switches off."""

    def change(config: Config) -> None:
        other = copy.deepcopy(parts(config)["entry"]) | {"name": "other"}
        _filters(config).insert(1, other)
        names = {"ours": EXT_AUTHZ, "others": "other"}
        parts(config)["route"]["typed_per_filter_config"] = {names[each]: OFF for each in off}

    return change


def _opted_in(config: Config) -> None:
    """Do as Envoy Gateway: a check for each of its objects, off but where a route enables it."""
    _two()(config)
    for each in _filters(config)[:2]:
        each["disabled"] = True
    on = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}
    parts(config)["route"]["typed_per_filter_config"] = {"other": on}


# --- what the service is told -----------------------------------------------------------------------------------------


def _allowed(*patterns: Config) -> Change:
    return lambda config: parts(config)["check"].update(allowed_headers={"patterns": list(patterns)})


def _held_back(**pattern: object) -> Change:
    return lambda config: parts(config)["check"].update(disallowed_headers={"patterns": [pattern]})


def _mutated(*mutations: Config, at: int = 0) -> Change:
    typed = {
        "@type": f"{_TYPES}.header_mutation.v3.HeaderMutation",
        "mutations": {"request_mutations": list(mutations)},
    }
    return lambda config: _filters(config).insert(at, {"name": "mutation", "typed_config": typed})


def _mutated_by_route(config: Config) -> None:
    _mutated()(config)
    own = {"@type": "x/HeaderMutationPerRoute", "mutations": {"request_mutations": [{"remove": "Origin"}]}}
    parts(config)["host"]["typed_per_filter_config"] = {"mutation": own}


def _mutated_early(*mutations: Config) -> Change:
    typed = {
        "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        "mutations": list(mutations),
    }
    early = [{"name": "early", "typed_config": typed}]
    return lambda config: parts(config)["manager"].update(early_header_mutation_extensions=early)


def _taken_to_metadata(*, remove: bool) -> Change:
    rule = {"header": "Origin", "on_header_present": {"key": "origin"}, "remove": remove}
    typed = {"@type": f"{_TYPES}.header_to_metadata.v3.Config", "request_rules": [rule]}
    return lambda config: _filters(config).insert(0, {"name": "to_metadata", "typed_config": typed})


def _set(key: str) -> Config:
    return {"append": {"header": {"key": key, "value": "same-origin"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}


# --- routes and filters that stand elsewhere --------------------------------------------------------------------------


def _scoped(config: Config) -> None:
    table = parts(config)["manager"].pop("route_config")
    table["virtual_hosts"][0]["routes"][0]["typed_per_filter_config"] = {EXT_AUTHZ: OFF}
    scopes = [{"name": "a", "route_configuration": table}]
    parts_of = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    parts_of["scoped_routes"] = {"scoped_route_configurations_list": {"scoped_route_configurations": scopes}}


def _discovered(config: Config) -> None:
    check = parts(config)["entry"]
    default = check.pop("typed_config") | {"failure_mode_allow": True}
    check["config_discovery"] = {"type_urls": [default["@type"]], "default_config": default}


def _wrapped(config: Config) -> None:
    check = parts(config)["entry"]
    plain = check["typed_config"]
    value = {key: each for key, each in plain.items() if key not in {"@type", "failure_mode_allow"}}
    struct = "type.googleapis.com/xds.type.v3.TypedStruct"
    check["typed_config"] = {
        "@type": struct,
        "type_url": plain["@type"],
        "value": value | {"failureModeAllow": True},
    }


ON: Final[Config] = {"upgrade_type": "WebSocket"}
CASES: Final[dict[str, tuple[Change, list[str]]]] = {
    "the runtime sets the share that is checked to none": (
        _switched(_static({"authz": {"on": 0}})),
        ["DR013", "DR014"],
    ),
    "the runtime sets it by its whole name": (_switched(_static({"authz.on": 0})), ["DR013", "DR014"]),
    "the runtime sets a share": (_switched(_static({"authz.on": {"numerator": 99}})), ["DR013", "DR014"]),
    "the runtime sets it to no number": (_switched(_static({"authz.on": True})), ["DR013", "DR014"]),
    "the runtime sets the whole": (_switched(_static({"authz.on": 100}), {"admin_layer": {}}), ["DR014"]),
    "the runtime sets another key": (_switched(_static({"authz": {"off": 0}, "on": 0})), ["DR014"]),
    "the runtime may refuse what is not checked": (_switched(field="deny_at_disable"), ["DR014"]),
    "the runtime lets pass what is not checked": (
        _switched(_static({"authz.on": 0}), field="deny_at_disable"),
        ["DR014"],
    ),
    "the runtime sets a share in place of none": (_switched(_static({"authz.on": 100}), numerator=0), ["DR014"]),
    "no share is checked, and none is set": (_switched(numerator=0), ["DR001", "DR014"]),
    "what is not checked is refused": (_denied(), ["DR014"]),
    "what is not checked is refused, as a dump of another tool writes it": (_denied(denies={"value": True}), ["DR014"]),
    "a share is checked, and the rest refused": (_denied(share=50), ["DR014"]),
    "what a gate leaves out is refused": (_denied(share=100, filter_enabled_metadata={"filter": "x"}), ["DR014"]),
    "what is not checked is not refused": (_denied(denies=False), ["DR001", "DR014"]),
    "what is not checked is refused until the runtime says otherwise": (
        _denied(_static({"authz.deny": False})),
        ["DR001", "DR014"],
    ),
    "what is not checked is refused, and the runtime says so": (_denied(_static({"authz.deny": True})), ["DR014"]),
    "what is not checked is refused, and the runtime has none checked": (
        _denied(
            _static({"authz.on": 0}), filter_enabled={"runtime_key": "authz.on", "default_value": {"numerator": 100}}
        ),
        ["DR014", "DR014"],
    ),
    "what is not checked is refused, but what is refused is forwarded": (_denied(shadow_mode=True), ["DR001", "DR014"]),
    "a matcher that skips all": (_wrapped_in({"on_no_match": _SKIP}), ["DR001"]),
    "a matcher that skips all, case by case": (
        _wrapped_in({"matcher_list": {"matchers": [{"predicate": {}, "on_match": _SKIP}]}, "on_no_match": _SKIP}),
        ["DR001"],
    ),
    "a matcher that skips some": (
        _wrapped_in({"matcher_list": {"matchers": [{"predicate": {}, "on_match": _SKIP}]}}),
        ["DR004"],
    ),
    "the runtime sets a key in camel case": (_switched_in_camel_case, ["DR013", "DR014"]),
    "a share of a hundred, by number": (_share(0), []),
    "a share of a million, by number": (_share(2), ["DR004"]),
    "a share of a million, by a number in a text": (_share("2"), ["DR004"]),
    "a denominator that there is not": (_share(7), []),
    "a filter with a name in camel case is off for a route": (_named("extAuthz"), ["DR002"]),
    "a filter with dots and capitals in its name is off for a route": (_named("my.ExtAuthz"), ["DR002"]),
    "an upgrade asks, too": (_upgraded(), []),
    "an upgrade has the check disabled": (_upgraded(disabled=True), ["DR002"]),
    "an upgrade fails open": (_upgraded(config={"failure_mode_allow": True}), ["DR010"]),
    "an upgrade is off": (_upgraded(asks=False, enabled=False), []),
    "an upgrade that is off is on for a route": (_upgraded(asks=False, enabled=False, route=ON), ["DR005"]),
    "an upgrade that is off is off for a route, too": (
        _upgraded(asks=False, enabled=False, route=ON | {"enabled": False}),
        [],
    ),
    "Istio's gate": (_gated(), []),
    "Istio's gate, turned round": (_gated(invert=True), ["DR001"]),
    "Istio's gate waits for another key": (_gated(path=[{"key": "shadow_effective_policy_id"}]), ["DR001"]),
    "Istio's gate waits further down": (_gated(path=[*GATE["path"], {"key": "x"}]), ["DR001"]),
    "Istio's gate waits for another value": (_gated(value={"string_match": {"exact": "istio-ext-authz"}}), ["DR001"]),
    "Istio's gate waits for a policy that there is not": (
        _gated(value={"string_match": {"prefix": "istio-ext-authz-y"}}),
        ["DR001"],
    ),
    "Istio's gate stands behind the check": (_gated(at=1), ["DR001"]),
    "Istio's gate is off": (_gated(rbac={"disabled": True}), ["DR001"]),
    "Istio's gate is off for a route": (_gated(per_route={"@type": f"{_TYPES}.rbac.v3.RBACPerRoute"}), ["DR002"]),
    "two services are asked": (_two(), []),
    "of two services, one is not asked for a route": (_two(ours=True), ["DR002"]),
    "of two services, the other is not asked for a route": (_two(others=True), ["DR002"]),
    "of two checks that routes enable, one is enabled": (_opted_in, []),
    "a list of headers in capitals": (_allowed({"exact": "Origin"}, {"safe_regex": {"regex": "[^o].*"}}), ["DR020"]),
    "a list of headers in capitals, in any case": (
        _allowed({"exact": "Origin", "ignore_case": True}, {"safe_regex": {"regex": "[^o].*"}}),
        [],
    ),
    "a list of headers by an expression in capitals": (_allowed({"safe_regex": {"regex": "[A-Z-]+"}}), ["DR020"]),
    "a list of headers that nobody can read": (_allowed({"safe_regex": {"regex": "("}}), ["DR020"]),
    "headers in capitals are held back, which are none": (_held_back(exact="Origin"), []),
    "headers are held back that nobody can tell": (_held_back(custom={}), ["DR020"]),
    "the origin is taken off in front": (_mutated({"remove": "Origin"}), ["DR057"]),
    "headers are taken off in front by how they begin": (
        _mutated({"remove_on_match": {"key_matcher": {"prefix": "sec-"}}}),
        ["DR057"],
    ),
    "the site is named in front": (_mutated(_set("Sec-Fetch-Site")), ["DR057"]),
    "the token is replaced in front": (_mutated(_set("authorization")), ["DR057"]),
    "a method is named in front": (_mutated(_set("x-http-method-override")), ["DR057"]),
    "another method is taken off in front": (_mutated({"remove": "x-http-method-override"}), []),
    "a header that nothing reads is taken off in front": (_mutated({"remove": "x-internal"}, _set("x-other")), []),
    "the origin is taken off behind": (_mutated({"remove": "origin"}, at=1), []),
    "the origin is taken off in front, for a virtual host": (_mutated_by_route, ["DR057"]),
    "the origin is taken off before all filters": (_mutated_early({"remove": "origin"}), ["DR057"]),
    "a header that nothing reads is taken off before all filters": (_mutated_early({"remove": "x-internal"}), []),
    "the origin becomes metadata": (_taken_to_metadata(remove=True), ["DR057"]),
    "the origin becomes metadata, too": (_taken_to_metadata(remove=False), []),
    "the routes of a scope are off": (_scoped, ["DR002"]),
    "the default of a filter that is sent later fails open": (_discovered, ["DR010"]),
    "a struct that fails open, in camel case": (_wrapped, ["DR010"]),
}


@pytest.mark.parametrize("sentence", CASES)
def test_what_passes_unasked_is_told(sentence: str) -> None:
    change, expected = CASES[sentence]
    assert said(changed(change)) == expected


def test_an_upgrade_is_named_where_it_is_judged() -> None:
    (finding,) = diagnose(setup_of_bootstrap("envoy.yaml", changed(_upgraded(disabled=True))))
    assert finding.where.part == "listener ingress > upgrade websocket > virtual host all > route prefix /"


def test_a_struct_in_camel_case_is_read_in_a_dump_too() -> None:
    dumped = dump(exported())
    sent = dumped["configs"][4]["ecds_filters"][0]["ecds_filter"]
    plain = sent["typed_config"]
    value = {key: each for key, each in plain.items() if key not in {"@type", "failure_mode_allow"}}
    struct = {"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": plain["@type"]}
    sent["typed_config"] = {**struct, "value": value | {"failureModeAllow": True}}
    assert [each.rule.code for each in diagnose(setup_of_dump("dump", dumped))] == ["DR010"]


def test_listeners_that_a_file_does_not_hold_are_said_to_be_elsewhere() -> None:
    assert said(changed(lambda config: config.update(dynamic_resources={"lds_config": {"ads": {}}}))) == ["DR008"]


def test_a_default_is_not_judged_where_another_filter_was_sent() -> None:
    dumped = dump(exported())
    listener = dumped["configs"][2]["dynamic_listeners"][0]["active_state"]["listener"]
    check = listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]
    check["config_discovery"]["default_config"] = {"@type": f"{_TYPES}.ext_authz.v3.ExtAuthz"}
    assert diagnose(setup_of_dump("dump", dumped)) == ()


def test_what_nests_deeper_than_envoy_takes_is_left_alone() -> None:
    deep: Config = {}
    for _ in range(900):
        deep = {"x": deep}
    assert said(changed(lambda config: config.update(deep=deep))) == []
