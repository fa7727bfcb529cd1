"""Patches and policies of Kubernetes that take the check away, each one edit away from objects that are right."""

from __future__ import annotations

from typing import Final

import pytest

from tests.unit.doctor.test_manifest_findings import GATEWAY, ISTIO, found

_EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
_TYPE_URL: Final = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
_TYPE: Final = f'"@type": {_TYPE_URL}'
_OFF: Final = f"{{{_TYPE}PerRoute, disabled: true}}"
_SUB: Final = "match: {listener: {filterChain: {filter: {subFilter: {name: NAME}}}}}"
_CHECK: Final = _SUB.replace("NAME", _EXT_AUTHZ)
_MANAGER: Final = "match: {listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}"
_STRUCT: Final = "type.googleapis.com/xds.type.v3.TypedStruct"
_RBAC: Final = "envoy.filters.http.rbac"
_GRANT: Final = '{header: {key: Access-Control-Allow-Origin, value: "*"}}'


def _patch(to: str, operation: str, value: str = "{}", more: str = "match: {context: GATEWAY}") -> str:
    said = f"{{applyTo: {to}, {more}, patch: {{operation: {operation}, value: {value}}}}}"
    return f"{ISTIO}---\nkind: EnvoyFilter\nmetadata: {{name: p}}\nspec:\n  configPatches:\n  - {said}\n"


def _filter(fields: str) -> str:
    return _patch("HTTP_FILTER", "MERGE", f"{{name: {_EXT_AUTHZ}, typed_config: {{{_TYPE}, {fields}}}}}")


FILTERS: Final = {
    "fail open": (_filter("failure_mode_allow: true"), ["DR010"]),
    "fail open, in camel case": (_filter("failureModeAllow: true"), ["DR010"]),
    "fail open, in another word": (_filter("failureModeAllow: 'true'"), ["DR010"]),
    "fail open, in a word that is none": (_filter("failureModeAllow: perhaps"), ["DR111"]),
    "fail closed": (_filter("failure_mode_allow: false"), []),
    "fail open in a whole connection manager": (
        _patch(
            "NETWORK_FILTER", "MERGE", f"{{typed_config: {{http_filters: [{{failure_mode_allow: true, {_TYPE}}}]}}}}"
        ),
        ["DR010"],
    ),
    "a share is checked": (_filter("filterEnabled: {defaultValue: {numerator: 1}}"), ["DR004"]),
    "a share of another filter": (
        _patch("HTTP_FILTER", "MERGE", "{name: fault, typed_config: {filter_enabled: {}, shadow_mode: true}}"),
        [],
    ),
    "shadow mode": (_filter("shadow_mode: true"), ["DR001"]),
    "nothing is checked": (_filter("filterEnabled: {defaultValue: {numerator: 0}}"), ["DR001"]),
    "everything is checked": (_filter("filterEnabled: {defaultValue: {numerator: 1000000, denominator: MILLION}}"), []),
    "nothing is checked, by the name of the filter that is matched": (
        _patch("HTTP_FILTER", "MERGE", "{typed_config: {filter_enabled: {default_value: {}, runtime_key: a}}}", _CHECK),
        ["DR001"],
    ),
    "a key of the runtime decides": (
        _patch("HTTP_FILTER", "MERGE", "{typed_config: {filter_enabled: {runtime_key: a}}}", _CHECK),
        ["DR004"],
    ),
    "shadow mode, by the name of the filter that is matched": (
        _patch("HTTP_FILTER", "MERGE", "{typed_config: {shadow_mode: true}}", _CHECK),
        ["DR001"],
    ),
    "shadow mode of any filter": (
        _patch("HTTP_FILTER", "MERGE", "{typed_config: {shadow_mode: true}}"),
        ["DR001"],
    ),
    "shadow mode of another filter that is matched": (
        _patch("HTTP_FILTER", "MERGE", "{typed_config: {shadow_mode: true}}", _SUB.replace("NAME", "fault")),
        [],
    ),
    "a share of a filter by another type": (
        _patch("HTTP_FILTER", "MERGE", '{typed_config: {"@type": x/y.CsrfPolicy, filter_enabled: {runtime_key: a}}}'),
        [],
    ),
    "shadow mode in a TypedStruct": (
        _patch(
            "HTTP_FILTER",
            "MERGE",
            f'{{typed_config: {{"@type": {_STRUCT}, type_url: {_TYPE_URL}, value: {{shadowMode: true}}}}}}',
        ),
        ["DR001"],
    ),
    "a filter that asks by metadata": (_filter("filter_enabled_metadata: {filter: a}"), ["DR004"]),
    "the check is disabled": (_patch("HTTP_FILTER", "MERGE", f"{{name: {_EXT_AUTHZ}, disabled: true}}"), ["DR002"]),
    "another filter is disabled": (_patch("HTTP_FILTER", "MERGE", "{name: lua, disabled: true}"), []),
    "the check is off for a virtual host": (
        _patch("VIRTUAL_HOST", "MERGE", f"{{typed_per_filter_config: {{{_EXT_AUTHZ}: {_OFF}}}}}"),
        ["DR002"],
    ),
    "the check is off for a virtual host, in camel case": (
        _patch("VIRTUAL_HOST", "MERGE", f"{{typedPerFilterConfig: {{{_EXT_AUTHZ}: {{disabled: true}}}}}}"),
        ["DR002"],
    ),
    "the check is off for a route by a FilterConfig": (
        _patch("HTTP_ROUTE", "MERGE", f"{{typed_per_filter_config: {{{_EXT_AUTHZ}: {{config: {{disabled: true}}}}}}}}"),
        ["DR002"],
    ),
    "the check is off for a route by the name of one of several": (
        _patch("HTTP_ROUTE", "MERGE", f"{{typed_per_filter_config: {{{_EXT_AUTHZ}.shop: {{disabled: true}}}}}}"),
        ["DR002"],
    ),
    "the check is off for a route, whatever it is called": (
        _patch("HTTP_ROUTE", "MERGE", f"{{typed_per_filter_config: {{gate: {_OFF}}}}}"),
        ["DR002"],
    ),
    "another filter is off for a route": (
        _patch("HTTP_ROUTE", "MERGE", "{typed_per_filter_config: {envoy.filters.http.lua: {disabled: true}}}"),
        [],
    ),
    "the gate is taken off a route": (
        _patch("HTTP_ROUTE", "MERGE", f"{{typed_per_filter_config: {{{_RBAC}: {{}}}}}}"),
        ["DR002"],
    ),
    "the gate is disabled": (_patch("HTTP_FILTER", "MERGE", f"{{name: {_RBAC}, disabled: true}}"), ["DR002"]),
    "the check is replaced": (_patch("HTTP_FILTER", "REPLACE", "{name: lua}", _CHECK), ["DR103"]),
    "the check is replaced by one": (
        _patch("HTTP_FILTER", "REPLACE", f"{{name: a, typed_config: {{{_TYPE}, validate_mutations: true}}}}", _CHECK),
        [],
    ),
    "the check is replaced by one that fails open": (
        _patch("HTTP_FILTER", "REPLACE", f"{{name: a, typed_config: {{{_TYPE}, failure_mode_allow: true}}}}", _CHECK),
        ["DR010"],
    ),
    "the check is replaced by another that takes its name": (
        _patch("HTTP_FILTER", "REPLACE", f'{{name: {_EXT_AUTHZ}, typed_config: {{"@type": x/y.Lua}}}}', _CHECK),
        ["DR103"],
    ),
    "any filter is replaced": (_patch("HTTP_FILTER", "REPLACE", "{name: lua}"), ["DR103"]),
    "another filter is replaced": (
        _patch("HTTP_FILTER", "REPLACE", "{name: lua}", _SUB.replace("NAME", "fault")),
        [],
    ),
    "the gate is replaced": (
        _patch("HTTP_FILTER", "REPLACE", f"{{name: {_RBAC}}}", _SUB.replace("NAME", _RBAC)),
        ["DR103"],
    ),
    "the connection manager is replaced": (
        _patch("NETWORK_FILTER", "REPLACE", "{name: a, typed_config: {http_filters: [{name: lua}]}}", _MANAGER),
        ["DR103"],
    ),
    "the connection manager is replaced by one with the check": (
        _patch("NETWORK_FILTER", "REPLACE", f"{{typed_config: {{http_filters: [{{name: {_EXT_AUTHZ}}}]}}}}", _MANAGER),
        [],
    ),
    "another network filter is replaced": (
        _patch("NETWORK_FILTER", "REPLACE", "{}", _MANAGER.replace("http_connection_manager", "tcp_proxy")),
        [],
    ),
    "another filter in front of the check": (
        _patch("HTTP_FILTER", "INSERT_BEFORE", "{typed_config: {shadow_mode: true}}", _CHECK),
        [],
    ),
    "another filter of the network": (_patch("NETWORK_FILTER", "MERGE", "{typed_config: {shadow_mode: true}}"), []),
    "an upgrade without filters of its own": (
        _patch("NETWORK_FILTER", "MERGE", "{typed_config: {upgrade_configs: [{upgrade_type: websocket}]}}"),
        [],
    ),
    "an upgrade that is not checked": (
        _patch("NETWORK_FILTER", "MERGE", "{typed_config: {upgrade_configs: [{filters: [{name: lua}]}]}}"),
        ["DR005"],
    ),
    "an upgrade that is checked": (
        _patch(
            "NETWORK_FILTER", "MERGE", f"{{typed_config: {{upgrade_configs: [{{filters: [{{name: {_EXT_AUTHZ}}}]}}]}}}}"
        ),
        [],
    ),
    "a grant of a virtual host": (
        _patch("VIRTUAL_HOST", "MERGE", f"{{response_headers_to_add: [{_GRANT}]}}"),
        ["DR081"],
    ),
    "another header of a virtual host": (
        _patch("VIRTUAL_HOST", "MERGE", "{response_headers_to_add: [{header: {key: x-a, value: b}}]}"),
        [],
    ),
    "a grant of a header_mutation": (
        _patch(
            "HTTP_FILTER",
            "INSERT_FIRST",
            f"{{typed_config: {{mutations: {{response_mutations: [{{append: {_GRANT}}}]}}}}}}",
        ),
        ["DR081"],
    ),
    "a grant of local replies": (
        _patch(
            "NETWORK_FILTER",
            "MERGE",
            f"{{typed_config: {{local_reply_config: {{mappers: [{{headersToAdd: [{_GRANT}]}}]}}}}}}",
        ),
        ["DR081"],
    ),
    "refusals are made a success": (
        _patch("NETWORK_FILTER", "MERGE", "{typed_config: {local_reply_config: {mappers: [{statusCode: 200}]}}}"),
        ["DR068"],
    ),
    "the service's headers are taken off": (
        _patch(
            "HTTP_FILTER", "ADD", "{typed_config: {mutations: {responseMutations: [{remove: vary}, {remove: NAME}]}}}"
        ).replace("NAME", "access-control-allow-origin"),
        ["DR054"],
    ),
    "a grant in a TypedStruct": (
        _patch("VIRTUAL_HOST", "MERGE", f'{{a: {{"@type": {_STRUCT}, value: {{responseHeadersToAdd: [{_GRANT}]}}}}}}'),
        ["DR081"],
    ),
    "the check is removed": (_patch("HTTP_FILTER", "REMOVE", more=_SUB.replace("NAME", _EXT_AUTHZ)), ["DR103"]),
    "the check is removed by the name in a value": (
        _patch("HTTP_FILTER", "REMOVE", f"{{name: {_EXT_AUTHZ}}}"),
        ["DR103"],
    ),
    "the gate is removed": (
        _patch("HTTP_FILTER", "REMOVE", more=_SUB.replace("NAME", "envoy.filters.http.rbac")),
        ["DR103"],
    ),
    "all filters are removed": (_patch("HTTP_FILTER", "REMOVE"), ["DR103"]),
    "another filter is removed": (_patch("HTTP_FILTER", "REMOVE", more=_SUB.replace("NAME", "lua")), []),
    "a listener is removed": (_patch("LISTENER", "REMOVE"), []),
}


@pytest.mark.parametrize("sentence", FILTERS)
def test_patches_of_istio(sentence: str) -> None:
    text, expected = FILTERS[sentence]
    assert [each.rule.code for each in found(text)] == expected


def _json_patch(operation: str) -> str:
    head = f"{GATEWAY}---\nkind: EnvoyPatchPolicy\nmetadata: {{name: p}}\n"
    return f"{head}spec:\n  jsonPatches:\n  - operation: {operation}\n"


_TYPED: Final = f"..http_filters[?(@.typed_config['@type']=='{_TYPE_URL}')]"
_POLICY: Final = "securitypolicy/shop/cors"
_CHOSEN: Final = f"..http_filters[?(@.name=='{_EXT_AUTHZ}/{_POLICY}')]"
_POINTED: Final = f"{_EXT_AUTHZ}~1{_POLICY.replace('/', '~1')}"
_ON: Final = f"{{{_EXT_AUTHZ}/{_POLICY}: {{config: {{}}}}}}"
_ROUTE: Final = "/virtual_hosts/0/routes/0"
JSON_PATCHES: Final = {
    "fail open": ('{op: add, jsonPath: "..typed_config", path: /failure_mode_allow, value: true}', ["DR010"]),
    "fail open, by a path alone": (
        "{op: replace, path: /http_filters/0/typed_config/failureModeAllow, value: true}",
        ["DR010"],
    ),
    "fail open, in a message": ("{op: add, path: /typed_config, value: {failure_mode_allow: true}}", ["DR010"]),
    "fail open, in a list": (
        f"{{op: add, path: /http_filters, value: [{{typed_config: {{{_TYPE}, failureModeAllow: true}}}}]}}",
        ["DR010"],
    ),
    "fail closed again": ("{op: remove, path: /http_filters/0/typed_config/failure_mode_allow}", []),
    "shadow mode, by a number": (
        "{op: add, path: /filters/0/typed_config/http_filters/0/typed_config/shadow_mode, value: true}",
        ["DR001"],
    ),
    "shadow mode, of any message": (
        '{op: add, jsonPath: "..typed_config", path: /shadow_mode, value: true}',
        ["DR001"],
    ),
    "shadow mode, by the name of Envoy Gateway": (
        f'{{op: add, jsonPath: "{_CHOSEN}.typed_config", path: /shadowMode, value: true}}',
        ["DR001"],
    ),
    "shadow mode, by its type": (
        f'{{op: add, jsonPath: "{_TYPED}.shadow_mode", value: true}}',
        ["DR001"],
    ),
    "shadow mode of another filter": (
        "{op: add, jsonPath: \"..http_filters[?(@.name=='lua')].typed_config\", path: /shadow_mode, value: true}",
        [],
    ),
    "nothing is checked": (
        "{op: add, path: /http_filters/0/typed_config/filter_enabled, value: {default_value: {numerator: 0}}}",
        ["DR001"],
    ),
    "nothing is checked any more": (
        "{op: replace, path: /http_filters/0/typed_config/filter_enabled/default_value/numerator, value: 0}",
        ["DR001"],
    ),
    "fail closed": ("{op: add, path: /failure_mode_allow, value: false}", []),
    "the check is disabled": (
        f"{{op: add, path: /typed_per_filter_config/{_EXT_AUTHZ}/disabled, value: true}}",
        ["DR002"],
    ),
    "the check is disabled in a message": (
        f"{{op: add, path: /x, value: {{typed_per_filter_config: {{{_EXT_AUTHZ}: {_OFF}}}}}}}",
        ["DR002"],
    ),
    "the check is disabled by a number": ("{op: add, path: /http_filters/0/disabled, value: true}", ["DR002"]),
    "the check is disabled for a route": (
        f"{{op: add, path: {_ROUTE}/typed_per_filter_config/{_POINTED}, value: {{disabled: true}}}}",
        ["DR002"],
    ),
    "the check is disabled for a route by its FilterConfig": (
        f"{{op: add, path: {_ROUTE}/typed_per_filter_config/{_POINTED}/disabled, value: true}}",
        ["DR002"],
    ),
    "the check is enabled for a route": (
        f"{{op: add, path: {_ROUTE}/typed_per_filter_config/{_POINTED}, value: {{config: {{}}}}}}",
        [],
    ),
    "the check is not disabled any more": (
        f"{{op: remove, path: {_ROUTE}/typed_per_filter_config/{_POINTED}/disabled}}",
        [],
    ),
    "what enables the check is removed": (
        f"{{op: remove, path: {_ROUTE}/typed_per_filter_config/{_POINTED}}}",
        ["DR103"],
    ),
    "what enables the check is removed with all else": (
        f"{{op: remove, path: {_ROUTE}/typed_per_filter_config}}",
        ["DR103"],
    ),
    "what enables the check is replaced by what does not": (
        f"{{op: replace, path: {_ROUTE}/typed_per_filter_config, value: {{lua: {{}}}}}}",
        ["DR103"],
    ),
    "what enables the check is replaced by what does": (
        f"{{op: replace, path: {_ROUTE}/typed_per_filter_config, value: {_ON}}}",
        [],
    ),
    "what enables the check is replaced by what disables it": (
        f"{{op: replace, path: {_ROUTE}/typed_per_filter_config, value: {{{_EXT_AUTHZ}/a: {{disabled: true}}}}}}",
        ["DR002"],
    ),
    "what enables the check is overwritten by what is moved": (
        f"{{op: move, from: /a, path: {_ROUTE}/typed_per_filter_config/{_POINTED}}}",
        ["DR103"],
    ),
    "what enables the check is overwritten": (
        f"{{op: copy, from: /a, path: {_ROUTE}/typed_per_filter_config/{_POINTED}}}",
        ["DR103"],
    ),
    "a route for which the check is not on": (
        "{op: add, path: /virtual_hosts/0/routes/0, value: {match: {prefix: /}, route: {cluster: a}}}",
        ["DR002"],
    ),
    "a route for which the check is on": (
        f"{{op: add, path: {_ROUTE}, value: {{match: {{}}, route: {{}}, typedPerFilterConfig: {_ON}}}}}",
        [],
    ),
    "a route that redirects": (
        "{op: add, path: /virtual_hosts/0/routes/0, value: {match: {prefix: /}, redirect: {}}}",
        [],
    ),
    "a field of a route": (f"{{op: add, path: {_ROUTE}/route/timeout, value: 5s}}", []),
    "another filter is disabled by its name": (
        "{op: add, jsonPath: \"..http_filters[?(@.name=='lua')]\", path: /disabled, value: true}",
        [],
    ),
    "another filter is disabled": ("{op: add, path: /typed_per_filter_config/lua/disabled, value: true}", []),
    "the check is removed": (f"{{op: remove, jsonPath: \"..http_filters[?(@.name=='{_EXT_AUTHZ}')]\"}}", ["DR103"]),
    "the check is removed wherever it stands": (
        f"{{op: remove, jsonPath: \"..[?(@.name=='{_EXT_AUTHZ}')]\"}}",
        ["DR103"],
    ),
    "the check may be removed: only Envoy knows what the number means": (
        "{op: remove, path: /http_filters/7}",
        ["DR103"],
    ),
    "the check may be removed by an expression": (
        "{op: remove, jsonPath: \"..http_filters[?(@.name!='envoy.filters.http.router')]\"}",
        ["DR103"],
    ),
    "the check may be removed, or another": (
        "{op: remove, jsonPath: \"..http_filters[?(@.name=='lua' || @.disabled)]\"}",
        ["DR103"],
    ),
    "all filters are removed": ("{op: remove, jsonPath: $.x, path: /httpFilters}", ["DR103"]),
    "all filters are removed one by one": ("{op: remove, jsonPath: '..http_filters[*]'}", ["DR103"]),
    "all filters are replaced": ("{op: replace, path: /a/http_filters, value: [{name: lua}]}", ["DR103"]),
    "all filters are replaced, the check with one": (
        f"{{op: replace, path: /a/http_filters, value: [{{name: {_EXT_AUTHZ}}}]}}",
        [],
    ),
    "all filters are replaced by what stands elsewhere": (
        "{op: copy, from: /b, path: /a/http_filters}",
        ["DR103"],
    ),
    "the whole manager is replaced": (
        "{op: replace, path: /filters/0/typed_config, value: {http_filters: [{name: lua}]}}",
        ["DR103"],
    ),
    "the whole manager is replaced by one with the check": (
        f"{{op: replace, path: /filters/0/typed_config, value: {{http_filters: [{{name: {_EXT_AUTHZ}}}]}}}}",
        [],
    ),
    "the check is replaced": (f'{{op: replace, jsonPath: "{_CHOSEN}", value: {{name: lua}}}}', ["DR103"]),
    "the check is replaced by one": (
        f"{{op: replace, path: /http_filters/0, value: {{name: a, typed_config: {{{_TYPE}}}}}}}",
        [],
    ),
    "the check is moved": ("{op: move, from: /http_filters/0, path: /metadata}", ["DR103"]),
    "something is moved over all filters": ("{op: move, from: /metadata, path: /http_filters}", ["DR103"]),
    "something else is moved": ("{op: move, from: /metadata, path: /name}", []),
    "another filter is removed": ("{op: remove, jsonPath: \"..http_filters[?(@.name=='lua')]\"}", []),
    "another filter is removed from a route": ("{op: remove, path: /typed_per_filter_config/lua}", []),
    "another filter is replaced": (
        "{op: replace, jsonPath: \"..http_filters[?(@.name=='lua')]\", value: {name: fault}}",
        [],
    ),
    "another filter is added": ("{op: add, path: /http_filters/0, value: {name: fault}}", []),
    "an upgrade that is not checked": (
        "{op: add, path: /typed_config/upgrade_configs/0/filters, value: [{name: lua}]}",
        ["DR005"],
    ),
    "a grant of a virtual host": (
        f"{{op: add, path: /virtual_hosts/0/response_headers_to_add, value: [{_GRANT}]}}",
        ["DR081"],
    ),
    "one more grant of a virtual host": (
        f"{{op: add, path: /virtual_hosts/0/response_headers_to_add/-, value: {_GRANT}}}",
        ["DR081"],
    ),
    "a test": ("{op: test, path: /http_filters/0/disabled, value: true}", []),
    "no operation": ("7", []),
}


@pytest.mark.parametrize("sentence", JSON_PATCHES)
def test_patches_of_envoy_gateway(sentence: str) -> None:
    operation, expected = JSON_PATCHES[sentence]
    assert [each.rule.code for each in found(_json_patch(operation))] == expected


DETAILS: Final = {
    "a patch removes `envoy.filters.http.ext_authz`": _patch("HTTP_FILTER", "REMOVE", more=_CHECK),
    "a patch replaces all HTTP filters": _patch("HTTP_FILTER", "REPLACE", "{name: lua}"),
    "a patch removes all network filters": _patch("NETWORK_FILTER", "REMOVE"),
    "a patch turns `envoy.filters.http.rbac` off": _patch("HTTP_FILTER", "MERGE", f"{{name: {_RBAC}, disabled: true}}"),
    "a patch sets `shadow_mode`": _filter("shadow_mode: true"),
    "a patch sets `filter_enabled`": _filter("filter_enabled: {default_value: {}}"),
    "a patch sets `failure_mode_allow: perhaps`": _filter("failure_mode_allow: perhaps"),
    "a patch adds `access-control-allow-origin` to answers": _patch(
        "VIRTUAL_HOST", "MERGE", f"{{response_headers_to_add: [{_GRANT}]}}"
    ),
    "a patch removes `0` of `http_filters`": _json_patch("{op: remove, path: /http_filters/0}"),
    "a patch moves `http_filters`": _json_patch("{op: move, from: /http_filters, path: /a}"),
    "a patch puts something else in place of `http_filters`": _json_patch("{op: add, path: /http_filters, value: []}"),
    "a patch: `local_reply_config` makes refusals 200": _json_patch(
        "{op: add, path: /typed_config/local_reply_config, value: {mappers: [{status_code: 200}]}}"
    ),
}


@pytest.mark.parametrize("said", DETAILS)
def test_a_finding_says_what_the_patch_does(said: str) -> None:
    assert [each.detail for each in found(DETAILS[said])] == [said]


EARLY: Final = {
    "the origin is taken off": ("{remove: [Origin]}", ["DR057"]),
    "headers are taken off by how they begin": ("{removeOnMatch: [{type: Prefix, value: Sec-}]}", ["DR057"]),
    "the site is named": ("{set: [{name: Sec-Fetch-Site, value: same-origin}]}", ["DR057"]),
    "an origin is added": ("{add: [{name: Origin, value: x}]}", ["DR057"]),
    "a token is added": ("{addIfAbsent: [{name: Authorization, value: x}]}", ["DR057"]),
    "a header that nothing reads is set": ("{set: [{name: x-edge, value: a}], remove: [x-internal]}", []),
}


@pytest.mark.parametrize("sentence", EARLY)
def test_headers_that_envoy_gateway_changes_early(sentence: str) -> None:
    early, expected = EARLY[sentence]
    text = GATEWAY.replace("  path: {e", f"  headers: {{earlyRequestHeaders: {early}}}\n  path: {{e")
    assert [each.rule.code for each in found(text)] == expected


WIDE: Final = GATEWAY.replace("{kind: HTTPRoute, name: shop}", "{kind: Gateway, name: edge}")


def _beside(spec: str, namespace: str = "shop") -> str:
    return f"{WIDE}---\nkind: SecurityPolicy\nmetadata: {{name: other, namespace: {namespace}}}\nspec: {{{spec}}}\n"


_PARENT: Final = "  hostnames: [api.shop.example]\n"
OVERRIDES: Final = {
    "one for a route": (_beside("targetRefs: [{kind: HTTPRoute, name: shop}]"), ["DR102"]),
    "one for a route that is not given": (_beside("targetRef: {kind: GRPCRoute, name: any}", "other"), ["DR102"]),
    "one for routes by labels": (_beside("targetSelectors: [{kind: HTTPRoute, matchLabels: {a: b}}]"), ["DR102"]),
    "one for a listener": (_beside("targetRefs: [{kind: Gateway, name: edge, sectionName: http}]"), ["DR102"]),
    "one for the same Gateway": (_beside("targetRefs: [{kind: Gateway, name: edge}]"), []),
    "one for a listener of another Gateway": (
        _beside("targetRefs: [{kind: Gateway, name: other, sectionName: http}]"),
        [],
    ),
    "one that is merged": (_beside("targetRefs: [{kind: HTTPRoute, name: shop}], mergeType: StrategicMerge"), []),
    "one for a route of this Gateway": (
        _beside("targetRefs: [{kind: HTTPRoute, name: shop}]").replace(
            _PARENT, f"{_PARENT}  parentRefs: [{{name: edge}}]\n"
        ),
        ["DR102"],
    ),
    "one for a route of another Gateway": (
        _beside("targetRefs: [{kind: HTTPRoute, name: shop}]").replace(
            _PARENT, f"{_PARENT}  parentRefs: [{{name: other}}]\n"
        ),
        [],
    ),
    "one for nothing": (_beside(""), []),
}


@pytest.mark.parametrize("sentence", OVERRIDES)
def test_a_policy_without_the_check_that_takes_the_place_of_one_with_it(sentence: str) -> None:
    text, expected = OVERRIDES[sentence]
    assert [each.rule.code for each in found(text)] == expected


def test_policies_for_two_listeners_of_a_gateway_are_no_rivals() -> None:
    text = _beside("targetRefs: [{kind: Gateway, name: edge, sectionName: https}]")
    assert found(text.replace("{kind: Gateway, name: edge}]", "{kind: Gateway, name: edge, sectionName: http}]")) == []


def test_a_policy_that_overrides_another_names_both() -> None:
    (finding,) = found(_beside("targetRefs: [{kind: HTTPRoute, name: shop}]"))
    said = "for HTTPRoute `shop` it takes the place of `cors`"
    assert (finding.where.part, finding.detail) == ("SecurityPolicy other", said)


WRONG_SHAPES: Final = {
    "a filter whose name is a list": _patch("HTTP_FILTER", "REMOVE", "{name: [a]}"),
    "a value that is a list": _patch("HTTP_FILTER", "MERGE", "[{name: [a], typed_config: 7}]"),
    "a patch that is a text": _patch("HTTP_FILTER", "MERGE").replace("patch: {", "patch: x, other: {"),
    "an operation that is a list": _patch("HTTP_FILTER", "MERGE").replace("operation: MERGE", "operation: [REMOVE]"),
    "an operation of JSON that is a list": _json_patch("{op: {}, from: [a], path: /http_filters/0, value: {}}"),
    "a JSONPath that is none": _json_patch("{op: remove, jsonPath: '..http_filters[?(@[[', path: '~'}"),
    "a filter that is a list": _json_patch("{op: add, path: /http_filters/0, value: [[7]]}"),
    "filters that are texts": _json_patch("{op: add, path: /http_filters, value: [a, 7, {typed_config: []}]}"),
    "listeners of a Gateway that are none": WIDE.replace("name: edge}", "name: edge, sectionName: [a]}")
    + "---\nkind: Gateway\nmetadata: {name: edge, namespace: shop}\nspec: {listeners: [7, {protocol: [], name: {}}]}\n",
    "an operation whose paths are lists": _json_patch("{op: [add], path: [a], jsonPath: {b: c}, value: [[7]]}"),
    "targets whose names are lists": _beside("targetRefs: [{kind: HTTPRoute, name: [shop]}]").replace(
        _PARENT, f"{_PARENT}  parentRefs: [{{name: [edge]}}, 7]\n"
    ),
    "targets that are a text": _beside("targetRefs: shop, targetRef: shop, targetSelectors: 7"),
    "early headers that are a list": GATEWAY.replace("  path: {e", "  headers: {earlyRequestHeaders: [a]}\n  path: {e"),
    "early headers that have no names": GATEWAY.replace(
        "  path: {e",
        "  headers: {earlyRequestHeaders: {set: [{name: []}, 7], removeOnMatch: [{type: []}]}}\n  path: {e",
    ),
}


@pytest.mark.parametrize("text", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_a_wrong_shape_of_a_patch_breaks_nothing(text: str) -> None:
    assert isinstance(found(text), list)
