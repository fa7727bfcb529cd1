"""Patches and policies of Kubernetes that take the check away, each one edit away from objects that are right."""

from __future__ import annotations

from typing import Final

import pytest

from tests.unit.doctor.test_manifest_findings import GATEWAY, ISTIO, found

_EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
_TYPE: Final = '"@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz'
_OFF: Final = f"{{{_TYPE}PerRoute, disabled: true}}"
_SUB: Final = "match: {listener: {filterChain: {filter: {subFilter: {name: NAME}}}}}"


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
    "shadow mode": (_filter("shadow_mode: true"), ["DR004"]),
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


JSON_PATCHES: Final = {
    "fail open": ('{op: add, jsonPath: "..typed_config", path: /failure_mode_allow, value: true}', ["DR010"]),
    "fail open, by a path alone": (
        "{op: replace, path: /http_filters/0/typed_config/failureModeAllow, value: true}",
        ["DR010"],
    ),
    "fail open, in a message": ("{op: add, path: /typed_config, value: {failure_mode_allow: true}}", ["DR010"]),
    "fail open, in a list": (
        "{op: add, path: /http_filters, value: [{typed_config: {failureModeAllow: true}}]}",
        ["DR010"],
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
    "another filter is disabled": ("{op: add, path: /typed_per_filter_config/lua/disabled, value: true}", []),
    "the check is removed": (f"{{op: remove, jsonPath: \"..http_filters[?(@.name=='{_EXT_AUTHZ}')]\"}}", ["DR103"]),
    "another filter is removed": ("{op: remove, path: /http_filters/7}", []),
    "no operation": ("7", []),
}


@pytest.mark.parametrize("sentence", JSON_PATCHES)
def test_patches_of_envoy_gateway(sentence: str) -> None:
    operation, expected = JSON_PATCHES[sentence]
    assert [each.rule.code for each in found(_json_patch(operation))] == expected


EARLY: Final = {
    "the origin is taken off": ("{remove: [Origin]}", ["DR057"]),
    "headers are taken off by how they begin": ("{removeOnMatch: [{type: Prefix, value: Sec-}]}", ["DR057"]),
    "the site is named": ("{set: [{name: Sec-Fetch-Site, value: same-origin}]}", ["DR057"]),
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
