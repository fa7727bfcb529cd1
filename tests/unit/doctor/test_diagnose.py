"""One thing broken in the exported configuration is one finding, and the configuration itself has none."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cors_authz.doctor.diagnose import diagnose
from cors_authz.doctor.finding import Finding
from cors_authz.doctor.lined import documents
from cors_authz.doctor.parsing import NotEnvoyError, setup_of_bootstrap, setup_of_dump
from cors_authz.doctor.reads import ALWAYS, Reads
from cors_authz.doctor.setup import Setup
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import bootstrap

LOOPBACK: Final = Address("127.0.0.1", 0)
YES, NO = True, False
DROP: Final = object()
"""Stands for a field that is taken out."""

EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
_TYPES: Final = "type.googleapis.com/envoy.extensions.filters.http"
_PROTOCOL: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_OPTIONS: Final = ("typed_extension_protocol_options", _PROTOCOL)
_OFF: Final = {EXT_AUTHZ: {"@type": f"{_TYPES}.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}}
_CORS_POLICY: Final = {
    "envoy.filters.http.cors": {
        "@type": f"{_TYPES}.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"exact": "https://shop.example"}],
    }
}
READS_A_HEADER: Final = Reads(frozenset({*ALWAYS, "x-tenant"}))


def exported() -> dict[str, Any]:
    built: dict[str, Any] = json.loads(
        json.dumps(bootstrap(LOOPBACK, [LOOPBACK], Address("127.0.0.1", 8000), LOOPBACK))
    )
    return built


def parts(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the parts of a configuration that cases name."""
    listener = config["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    clusters = {each["name"]: each for each in config["static_resources"]["clusters"]}
    check = next(each for each in manager["http_filters"] if each["name"] == EXT_AUTHZ)
    host = manager["route_config"]["virtual_hosts"][0]
    return {
        "listener": listener,
        "chain": listener["filter_chains"][0],
        "manager": manager,
        "entry": check,
        "check": check["typed_config"],
        "cluster": clusters["authz"],
        "host": host,
        "route": host["routes"][0],
    }


class Broken(NamedTuple):
    """A part, the path to one of its fields, what stands there instead, the finding, and what the policy reads."""

    part: str
    path: tuple[str | int, ...]
    value: Any
    code: str
    reads: Reads = Reads()


def _filter(kind: str, message: str, **fields: object) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{kind}", "typed_config": {"@type": f"{_TYPES}.{kind}.v3.{message}", **fields}}


def _before(kind: str, message: str, **fields: object) -> Any:  # noqa: ANN401 - a value of a case
    return lambda filters: [_filter(kind, message, **fields), *filters]


def _after(kind: str, message: str, **fields: object) -> Any:  # noqa: ANN401 - a value of a case
    return lambda filters: [*filters[:-1], _filter(kind, message, **fields), filters[-1]]


def _jwt(requires: object, **fields: object) -> Any:  # noqa: ANN401 - a value of a case
    return _before("jwt_authn", "JwtAuthentication", rules=[{"match": {"prefix": "/"}, "requires": requires}], **fields)


_STRIPS_ALL: Final = [{"remove_on_match": {"key_matcher": {"prefix": "access-control-"}}}]
_SAFE_MATCH: Final[dict[str, Any]] = {
    "prefix": "/",
    "headers": [
        {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}},
        {"name": "origin", "present_match": YES, "invert_match": True},
        {"name": "sec-fetch-site", "string_match": {"safe_regex": {"regex": "same-origin|none"}}},
    ],
}
_UPSTREAM: Final = {"cluster": "upstream"}


def _first(**route: object) -> Any:  # noqa: ANN401 - a value of a case
    return lambda routes: [route, *routes]


_WRITTEN: Final = {"metadata_namespace": "gate", "key": "asked", "value": "shop.example"}
_SKIP: Final = {"@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"}
_SKIPS_BY_HEADER: Final = {
    "matcher_tree": {
        "input": {"typed_config": {"@type": "x/y.HttpRequestHeaderMatchInput", "header_name": "x-skip"}},
        "exact_match_map": {"map": {"1": {"action": {"name": "skip", "typed_config": _SKIP}}}},
    }
}


def _gated(*, invert: bool = False, **rule: object) -> Any:  # noqa: ANN401 - a value of a case
    """Put a header_to_metadata in front, and have ext_authz wait for what it writes."""
    value = {"string_match": {"exact": "shop.example"}}
    gate = {"filter": "gate", "path": [{"key": "asked"}], "value": value, "invert": invert}
    rules = [
        {key: value for key, value in ({"header": "x-check", "on_header_present": _WRITTEN} | rule).items() if value}
    ]

    def change(filters: Any) -> Any:  # noqa: ANN401 - a value of a case
        check, *others = filters
        writer = _filter("header_to_metadata", "Config", request_rules=rules)
        return [writer, {**check, "typed_config": {**check["typed_config"], "filter_enabled_metadata": gate}}, *others]

    return change


_METADATA: Final = ("grpc_service", "initial_metadata")
_LOG: Final = ("access_log", 0, "typed_config", "log_format", "json_format", "decision")
_THRESHOLD: Final = ("circuit_breakers", "thresholds", 0)

BROKEN: Final = {
    "no ext_authz": Broken("manager", ("http_filters",), lambda filters: filters[1:], "DR001"),
    "an empty list of filters but the router": Broken("entry", ("typed_config", "@type"), "type/of.Another", "DR001"),
    "ext_authz off for a route": Broken("route", ("typed_per_filter_config",), _OFF, "DR002"),
    "ext_authz off for a virtual host": Broken("host", ("typed_per_filter_config",), _OFF, "DR002"),
    "ext_authz off for all routes": Broken("manager", ("route_config", "typed_per_filter_config"), _OFF, "DR002"),
    "ext_authz off by a FilterConfig": Broken(
        "route",
        ("typed_per_filter_config",),
        {EXT_AUTHZ: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}},
        "DR002",
    ),
    "ext_authz off by the message in a FilterConfig": Broken(
        "route",
        ("typed_per_filter_config",),
        {EXT_AUTHZ: {"@type": "x/envoy.config.route.v3.FilterConfig", "config": _OFF[EXT_AUTHZ]}},
        "DR002",
    ),
    "ext_authz off until a route enables it, and none does": Broken("entry", ("disabled",), YES, "DR002"),
    "ext_authz off for same-origin reads": Broken(
        "host", ("routes",), _first(match=_SAFE_MATCH, route=_UPSTREAM, typed_per_filter_config=_OFF), "DR003"
    ),
    "ext_authz off for all reads without an origin": Broken(
        "host",
        ("routes",),
        _first(
            match={"prefix": "/", "headers": _SAFE_MATCH["headers"][:2]},
            route=_UPSTREAM,
            typed_per_filter_config=_OFF,
        ),
        "DR002",
    ),
    "ext_authz off for same-origin requests of any method": Broken(
        "host",
        ("routes",),
        _first(
            match={"headers": [{"name": ":method", "present_match": True}, *_SAFE_MATCH["headers"][1:]]},
            route=_UPSTREAM,
            typed_per_filter_config=_OFF,
        ),
        "DR002",
    ),
    "a share of requests is checked": Broken(
        "check", ("filter_enabled",), {"default_value": {"numerator": 1, "denominator": "HUNDRED"}}, "DR004"
    ),
    "a share of a million is checked": Broken(
        "check", ("filter_enabled",), {"default_value": {"numerator": 100, "denominator": "MILLION"}}, "DR004"
    ),
    "requests with some metadata are checked": Broken(
        "check", ("filter_enabled_metadata",), {"filter": "header_to_metadata"}, "DR004"
    ),
    "shadow mode": Broken("check", ("shadow_mode",), YES, "DR001"),
    "no share of requests is checked": Broken(
        "check", ("filter_enabled",), {"default_value": {"numerator": 0}}, "DR001"
    ),
    "a matcher around ext_authz": Broken(
        "entry",
        ("typed_config",),
        lambda config: {
            "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {"name": EXT_AUTHZ, "typed_config": config},
            "xds_matcher": {},
        },
        "DR004",
    ),
    "requests with a header of the client's are checked": Broken("manager", ("http_filters",), _gated(), "DR009"),
    "requests that lack a header are checked": Broken(
        "manager", ("http_filters",), _gated(on_header_present=None, on_header_missing=_WRITTEN), "DR009"
    ),
    "requests for a host as it is written are checked": Broken(
        "manager",
        ("http_filters",),
        _gated(header=":authority", on_header_present={"metadata_namespace": "gate", "key": "asked"}),
        "DR009",
    ),
    "requests for any host are checked": Broken("manager", ("http_filters",), _gated(header="host"), "DR004"),
    "requests for all hosts but one are checked": Broken(
        "manager",
        ("http_filters",),
        _gated(invert=True, header="host", on_header_present={"metadata_namespace": "gate", "key": "asked"}),
        "DR004",
    ),
    "requests with a part of a cookie are checked": Broken(
        "manager", ("http_filters",), _gated(header=None, cookie="session"), "DR009"
    ),
    "requests with some metadata of another key are checked": Broken(
        "manager",
        ("http_filters",),
        _gated(on_header_present={**_WRITTEN, "key": "other"}),
        "DR004",
    ),
    "a matcher around ext_authz that reads what clients choose": Broken(
        "entry",
        ("typed_config",),
        lambda config: {
            "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
            "extension_config": {"name": EXT_AUTHZ, "typed_config": config},
            "xds_matcher": _SKIPS_BY_HEADER,
        },
        "DR009",
    ),
    "WebSockets with filters of their own": Broken(
        "manager", ("upgrade_configs", 0, "filters"), [_filter("router", "Router")], "DR005"
    ),
    "a redirect without the check": Broken(
        "host", ("routes",), _first(match={"path": "/a"}, redirect={}, typed_per_filter_config=_OFF), "DR006"
    ),
    "a direct response without the check": Broken(
        "host",
        ("routes",),
        _first(match={"path": "/a"}, direct_response={"status": 200}, typed_per_filter_config=_OFF),
        "DR006",
    ),
    "a check by HTTP": Broken(
        "entry",
        ("typed_config",),
        lambda config: {
            **{name: value for name, value in config.items() if name != "grpc_service"},
            "http_service": {"server_uri": {"uri": "http://authz"}},
        },
        "DR007",
    ),
    "routes of a control plane": Broken("manager", ("route_config",), DROP, "DR008"),
    "fail open": Broken("check", ("failure_mode_allow",), YES, "DR010"),
    "no status for errors": Broken("check", ("status_on_error",), DROP, "DR011"),
    "the default status for errors, written": Broken("check", ("status_on_error", "code"), 403, "DR011"),
    "errors pass for answers": Broken("check", ("status_on_error", "code"), "OK", "DR011"),
    "answers are charged to the upstream, in words": Broken("check", ("charge_cluster_response_stats",), YES, "DR071"),
    "a token is demanded first, by a name": Broken(
        "manager",
        ("http_filters",),
        _before(
            "jwt_authn",
            "JwtAuthentication",
            rules=[{"match": {"prefix": "/"}, "requirement_name": "login"}],
            requirement_map={"login": {"provider_name": "main"}},
        ),
        "DR050",
    ),
    "mutations are not validated": Broken("check", ("validate_mutations",), NO, "DR012"),
    "a list of headers without Origin": Broken(
        "check", ("allowed_headers",), {"patterns": [{"safe_regex": {"regex": "[^o].*"}}]}, "DR020"
    ),
    "a list of headers without what a guard reads": Broken(
        "check", ("allowed_headers",), {"patterns": [{"exact": name} for name in ALWAYS]}, "DR020", READS_A_HEADER
    ),
    "Origin among the headers that are held back": Broken(
        "check", ("disallowed_headers",), {"patterns": [{"exact": "origin"}]}, "DR020"
    ),
    "bodies for the check": Broken("check", ("with_request_body",), {"max_request_bytes": 1024}, "DR021"),
    "no payload of tokens": Broken("check", ("metadata_context_namespaces",), [], "DR022", Reads(jwt_payload=True)),
    "no metadata of routes": Broken(
        "check", ("route_metadata_context_namespaces",), DROP, "DR023", Reads(route_metadata=True)
    ),
    "principals, and no client is verified": Broken("listener", ("name",), "ingress", "DR024", Reads(principal=True)),
    "google_grpc": Broken(
        "check",
        ("grpc_service",),
        lambda service: {**service, "envoy_grpc": None, "google_grpc": {"target_uri": "authz:9191"}},
        "DR025",
    ),
    "no timeout": Broken("check", ("grpc_service", "timeout"), DROP, "DR030"),
    "a timeout of nothing": Broken("check", ("grpc_service", "timeout"), "0s", "DR031"),
    "a timeout shorter than its tries": Broken("check", ("grpc_service", "timeout"), "0.150s", "DR032"),
    "more tries than the timeout holds": Broken("cluster", (*_OPTIONS, "retry_policy", "num_retries"), 5, "DR032"),
    "no timeout for a try": Broken("check", _METADATA, lambda entries: entries[1:], "DR033"),
    "no request id": Broken("check", _METADATA, lambda entries: entries[:1], "DR034"),
    "a retry policy that is ignored": Broken("check", ("grpc_service", "retry_policy"), {"num_retries": 3}, "DR035"),
    "another retry policy that is ignored": Broken(
        "check", ("grpc_service", "envoy_grpc", "retry_policy"), {"num_retries": 3}, "DR035"
    ),
    "no retry policy": Broken("cluster", (*_OPTIONS, "retry_policy"), DROP, "DR036"),
    "no retry of UNAVAILABLE": Broken(
        "cluster", (*_OPTIONS, "retry_policy", "retry_on"), lambda words: words.replace("unavailable,", ""), "DR037"
    ),
    "a retry of the same instance": Broken(
        "cluster", (*_OPTIONS, "retry_policy", "retry_host_predicate"), DROP, "DR038"
    ),
    "a cluster that is not there": Broken("check", ("grpc_service", "envoy_grpc", "cluster_name"), "other", "DR040"),
    "HTTP/1.1 to the service": Broken(
        "cluster", (*_OPTIONS, "explicit_http_config"), {"http_protocol_options": {}}, "DR041"
    ),
    "no health check": Broken("cluster", ("health_checks",), DROP, "DR042"),
    "no outlier detection": Broken("cluster", ("outlier_detection",), DROP, "DR043"),
    "three retries at once": Broken("cluster", (*_THRESHOLD, "max_retries"), DROP, "DR044"),
    "a thousand checks at once": Broken("cluster", (*_THRESHOLD, "max_requests"), DROP, "DR045"),
    "a thousand checks may wait": Broken("cluster", (*_THRESHOLD, "max_pending_requests"), 1024, "DR045"),
    "one address of many": Broken("cluster", ("type",), "LOGICAL_DNS", "DR046"),
    "one virtual address": Broken(
        "cluster",
        ("load_assignment", "endpoints", 0, "lb_endpoints", 0, "endpoint", "address", "socket_address", "address"),
        "10.96.0.7",
        "DR046",
    ),
    "panic": Broken("cluster", ("common_lb_config",), DROP, "DR047"),
    "no panic, as a dump has it": Broken("cluster", ("common_lb_config", "healthy_panic_threshold"), {}, "DR048"),
    "a token is demanded first": Broken("manager", ("http_filters",), _jwt({"provider_name": "main"}), "DR050"),
    "one of several providers is demanded first": Broken(
        "manager", ("http_filters",), _jwt({"requires_any": {"requirements": [{"provider_name": "a"}]}}), "DR050"
    ),
    "a login first": Broken("manager", ("http_filters",), _before("oauth2", "OAuth2"), "DR050"),
    "csrf first": Broken("manager", ("http_filters",), _before("csrf", "CsrfPolicy"), "DR050"),
    "a password first": Broken("manager", ("http_filters",), _before("basic_auth", "BasicAuth"), "DR050"),
    "rbac first": Broken("manager", ("http_filters",), _before("rbac", "RBAC", rules={"policies": {}}), "DR050"),
    "a token is demanded first, but of preflights": Broken(
        "manager", ("http_filters",), _jwt({"provider_name": "main"}, bypass_cors_preflight=True), "DR051"
    ),
    "a bad token is refused first": Broken(
        "manager",
        ("http_filters",),
        _jwt({"requires_any": {"requirements": [{"provider_name": "main"}, {"allow_missing": {}}]}}),
        "DR051",
    ),
    "lua first": Broken("manager", ("http_filters",), _before("lua", "Lua"), "DR053"),
    "a rate limit first": Broken("manager", ("http_filters",), _before("local_ratelimit", "LocalRateLimit"), "DR053"),
    "a cache first": Broken("manager", ("http_filters",), _before("cache", "CacheConfig"), "DR056"),
    "files first": Broken("manager", ("http_filters",), _before("file_server", "FileServerConfig"), "DR058"),
    "refusals that are turned into success": Broken(
        "manager", ("local_reply_config",), {"mappers": [{"status_code": 204}]}, "DR068"
    ),
    "virtual hosts on demand": Broken("manager", ("route_config", "vhds"), {"config_source": {"ads": {}}}, "DR015"),
    "ext_authz off for one of several clusters": Broken(
        "route",
        ("route",),
        {"weighted_clusters": {"clusters": [{"name": "a"}, {"name": "b", "typed_per_filter_config": _OFF}]}},
        "DR002",
    ),
    "a filter without a type": Broken("entry", ("typed_config",), {"@type": ""}, "DR001"),
    "headers are taken off behind the check": Broken(
        "manager",
        ("http_filters",),
        _after("header_mutation", "HeaderMutation", mutations={"response_mutations": _STRIPS_ALL}),
        "DR054",
    ),
    "headers are taken off in front of the check": Broken(
        "manager",
        ("http_filters",),
        _before(
            "header_mutation",
            "HeaderMutation",
            mutations={"response_mutations": [{"remove": "Access-Control-Allow-Origin"}]},
        ),
        "DR054",
    ),
    "another route after the check": Broken("check", ("clear_route_cache",), YES, "DR055"),
    "another route after the token": Broken(
        "manager",
        ("http_filters",),
        _after("jwt_authn", "JwtAuthentication", providers={"main": {"clear_route_cache": True}}),
        "DR055",
    ),
    "another route after a processor": Broken(
        "manager", ("http_filters",), _after("ext_proc", "ExternalProcessor", route_cache_action="CLEAR"), "DR055"
    ),
    "paths as they come": Broken("manager", ("normalize_path",), NO, "DR060"),
    "slashes as they come": Broken("manager", ("merge_slashes",), DROP, "DR061"),
    "slashes decoded": Broken("manager", ("path_with_escaped_slashes_action",), "UNESCAPE_AND_FORWARD", "DR062"),
    "slashes as Envoy likes": Broken("manager", ("path_with_escaped_slashes_action",), DROP, "DR063"),
    "underscores": Broken("manager", ("common_http_protocol_options",), DROP, "DR064"),
    "addresses from clients": Broken("manager", ("use_remote_address",), DROP, "DR065"),
    "ids from clients": Broken("manager", ("preserve_external_request_id",), YES, "DR066"),
    "no ids": Broken("manager", ("generate_request_id",), NO, "DR066"),
    "hops that are trusted": Broken("manager", ("xff_num_trusted_hops",), 1, "DR067"),
    "no access log": Broken("manager", ("access_log",), [], "DR070"),
    "an access log without the decision": Broken("manager", _LOG, DROP, "DR070"),
    "answers charged to the upstream": Broken("check", ("charge_cluster_response_stats",), DROP, "DR071"),
    "no strip": Broken("host", ("response_headers_to_remove",), DROP, "DR080"),
    "a strip of all but one": Broken("host", ("response_headers_to_remove",), lambda names: names[1:], "DR080"),
    "a route that grants": Broken(
        "route",
        ("response_headers_to_add",),
        [{"header": {"key": "Access-Control-Allow-Origin", "value": "*"}}],
        "DR081",
    ),
}


def changed(case: Broken) -> dict[str, Any]:
    config = exported()
    at: Any = parts(config)[case.part]
    *way, last = case.path
    for step in way:
        at = at[step]
    if case.value is DROP:
        del at[last]
    else:
        at[last] = case.value(at.get(last)) if callable(case.value) else copy.deepcopy(case.value)
    return config


def setup(config: dict[str, Any]) -> Setup:
    return setup_of_bootstrap("envoy.yaml", config)


def codes(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.rule.code for finding in findings]


def test_the_exported_configuration_has_no_finding() -> None:
    assert diagnose(setup(exported())) == ()


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_one_thing_broken_is_that_finding(case: Broken) -> None:
    assert codes(diagnose(setup(changed(case)), case.reads)) == [case.code]


IN_FRONT: Final = {
    **dict.fromkeys(("oauth2", "basic_auth", "api_key_auth", "csrf"), "DR050"),
    **dict.fromkeys(("lua", "wasm", "ext_proc", "golang", "dynamic_modules", "fault", "buffer"), "DR053"),
    **dict.fromkeys(("ratelimit", "local_ratelimit", "rate_limit_quota"), "DR053"),
    **dict.fromkeys(("admission_control", "adaptive_concurrency"), "DR053"),
    **dict.fromkeys(("grpc_web", "grpc_stats", "set_metadata", "tap"), None),
}


@pytest.mark.parametrize("kind", IN_FRONT)
def test_filters_are_told_by_their_kind(kind: str) -> None:
    config = exported()
    parts(config)["manager"]["http_filters"].insert(0, _filter(kind, "Config"))
    assert codes(diagnose(setup(config))) == [code for code in [IN_FRONT[kind]] if code]


NATIVE_CORS: Final = Broken("manager", ("http_filters",), _before("cors", "Cors"), "DR052")


@pytest.mark.parametrize("part", ["host", "route"])
def test_envoys_own_cors_filter_in_front_is_a_finding_where_routes_have_a_policy(part: str) -> None:
    config = changed(NATIVE_CORS)
    before = diagnose(setup(config))
    parts(config)[part]["typed_per_filter_config"] = _CORS_POLICY
    assert (codes(before), codes(diagnose(setup(config)))) == ([], ["DR052"])


QUIET: Final = {
    "a token that jwt_authn reads and never refuses by": Broken(
        "manager",
        ("http_filters",),
        _jwt({"requires_any": {"requirements": [{"provider_name": "main"}, {"allow_missing_or_failed": {}}]}}),
        "",
    ),
    "jwt_authn behind the check": Broken(
        "manager",
        ("http_filters",),
        _after("jwt_authn", "JwtAuthentication", rules=[{"requires": {"provider_name": "a"}}]),
        "",
    ),
    "rbac in front that only counts": Broken(
        "manager", ("http_filters",), _before("rbac", "RBAC", shadow_rules={}), ""
    ),
    "a filter in front that changes the request": Broken(
        "manager", ("http_filters",), _before("header_to_metadata", "Config"), ""
    ),
    "all requests are checked, in words": Broken(
        "check", ("filter_enabled",), {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}, ""
    ),
    "an empty list of headers, which is all of them": Broken("check", ("allowed_headers",), {}, ""),
    "a list of headers that has them all": Broken(
        "check", ("allowed_headers",), {"patterns": [{"safe_regex": {"regex": "[a-z-]+"}}]}, ""
    ),
    "a header held back that nothing reads": Broken(
        "check", ("disallowed_headers",), {"patterns": [{"prefix": "x-internal-"}]}, ""
    ),
    "status 503 as a dump names it": Broken("check", ("status_on_error", "code"), "ServiceUnavailable", ""),
    "no health checks where the control plane knows": Broken("cluster", ("type",), "EDS", ""),
    "names that lead to each instance": Broken("cluster", ("type",), "STRICT_DNS", ""),
    "a strip for the route alone": Broken("route", ("response_headers_to_remove",), ["x-other"], ""),
    "an upgrade with filters of its own that is off": Broken(
        "manager", ("upgrade_configs", 0), {"upgrade_type": "websocket", "enabled": False, "filters": [{}]}, ""
    ),
    "an access log by gRPC, which has the metadata": Broken(
        "manager", ("access_log",), [{"typed_config": {"@type": "x/y.HttpGrpcAccessLogConfig"}}], ""
    ),
    "an Envoy behind another one of the mesh": Broken("listener", ("traffic_direction",), "INBOUND", ""),
    "several clusters, all behind the check": Broken(
        "route", ("route",), {"weighted_clusters": {"clusters": [{"name": "a"}, {"name": "b"}]}}, ""
    ),
    "a client that is verified over QUIC": Broken(
        "chain",
        ("transport_socket",),
        {"typed_config": {"downstream_tls_context": {"common_tls_context": {"combined_validation_context": {}}}}},
        "",
        Reads(principal=True),
    ),
    "a client that is verified": Broken(
        "chain",
        ("transport_socket",),
        {"typed_config": {"@type": "x/Tls", "common_tls_context": {"validation_context": {}}}},
        "",
        Reads(principal=True),
    ),
}


@pytest.mark.parametrize("case", QUIET.values(), ids=QUIET)
def test_what_is_right_is_no_finding(case: Broken) -> None:
    assert codes(diagnose(setup(changed(case)), case.reads)) == []


def test_one_name_in_a_file_may_lead_to_many_instances() -> None:
    config = exported()
    named = bootstrap(LOOPBACK, [Address("authz.svc", 9191)], LOOPBACK, LOOPBACK)
    config["static_resources"]["clusters"][0] = named["static_resources"]["clusters"][0]
    assert (parts(config)["cluster"]["type"], diagnose(setup(config))) == ("STRICT_DNS", ())


def test_a_strip_among_the_routers_own_filters_is_one() -> None:
    config = exported()
    mutation = _filter("header_mutation", "HeaderMutation", mutations={"response_mutations": _STRIPS_ALL})
    parts(config)["manager"]["http_filters"][-1]["typed_config"]["upstream_http_filters"] = [mutation]
    del parts(config)["host"]["response_headers_to_remove"]
    assert diagnose(setup(config)) == ()


def test_a_filter_that_is_off_by_default_covers_the_routes_that_enable_it() -> None:
    config = exported()
    parts(config)["entry"]["disabled"] = True
    on = {EXT_AUTHZ: {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}}
    parts(config)["host"]["routes"].insert(0, {"name": "on", "match": {}, "route": {}, "typed_per_filter_config": on})
    (finding,) = diagnose(setup(config))
    assert (finding.rule.code, finding.where.part) == ("DR002", "listener ingress > virtual host all > route prefix /")


def test_a_route_may_put_the_check_on_again() -> None:
    config = exported()
    parts(config)["host"]["typed_per_filter_config"] = _OFF
    parts(config)["route"]["typed_per_filter_config"] = {EXT_AUTHZ: {"@type": "x/y.ExtAuthzPerRoute"}}
    assert diagnose(setup(config)) == ()


def test_a_matcher_that_a_route_puts_around_the_check_is_judged_there() -> None:
    config = changed(BROKEN["a matcher around ext_authz"])
    own = {
        "@type": "x/envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute",
        "xds_matcher": _SKIPS_BY_HEADER,
    }
    parts_ = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    parts_["route_config"]["virtual_hosts"][0]["typed_per_filter_config"] = {EXT_AUTHZ: own}
    found = [(each.rule.code, each.where.part, each.detail) for each in diagnose(setup(config))]
    assert found[0] == (
        "DR009",
        "listener ingress > virtual host all > route prefix /",
        f"a matcher stands around `{EXT_AUTHZ}` here; unasked: requests with any `x-skip` or none",
    )
    assert [code for code, *_ in found[1:]] == ["DR004"]


def test_a_matcher_by_which_a_route_is_never_checked_is_told_of_the_route() -> None:
    config = exported()
    own = {
        "@type": "x/envoy.extensions.common.matching.v3.ExtensionWithMatcherPerRoute",
        "xds_matcher": {"on_no_match": {"action": {"name": "skip", "typed_config": _SKIP}}},
    }
    parts(config)["route"]["typed_per_filter_config"] = {EXT_AUTHZ: own}
    found = [(each.rule.code, each.where.part, each.detail) for each in diagnose(setup(config))]
    said = f"a matcher stands around `{EXT_AUTHZ}` here that never holds"
    assert found == [("DR002", "listener ingress > virtual host all > route prefix /", said)]


def test_a_listener_that_only_redirects_is_worth_a_note() -> None:
    config = changed(BROKEN["no ext_authz"])
    parts_ = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    parts_["route_config"]["virtual_hosts"][0]["routes"] = [{"match": {"prefix": "/"}, "redirect": {}}]
    assert codes(diagnose(setup(config))) == ["DR006"]


def test_routes_of_a_host_that_lack_the_same_are_one_finding_at_the_host() -> None:
    config = changed(BROKEN["no strip"])
    routes = parts(config)["host"]["routes"]
    routes.append({**routes[0], "response_headers_to_remove": ["access-control-max-age"]})
    routes.append(dict(routes[0]))
    found = [(each.rule.code, each.where.part, each.detail.count("access-control")) for each in diagnose(setup(config))]
    host = "listener ingress > virtual host all"
    assert found == [("DR080", host, 7), ("DR080", f"{host} > route prefix /", 6)]


def test_a_grant_of_a_host_with_several_routes_is_one_finding() -> None:
    config = exported()
    host = parts(config)["host"]
    host["response_headers_to_add"] = [{"header": {"key": "access-control-max-age", "value": "9"}}]
    host["routes"].append({**host["routes"][0], "name": "second"})
    assert codes(diagnose(setup(config))) == ["DR081"]


def test_errors_come_first_and_what_is_said_twice_is_said_once() -> None:
    config = exported()
    parts(config)["check"].update({"failure_mode_allow": YES, "validate_mutations": False})
    parts(config)["manager"]["http_filters"].insert(0, parts(config)["entry"])
    assert codes(diagnose(setup(config))) == ["DR010", "DR012"]


def test_a_finding_names_the_line_and_the_part() -> None:
    text = json.dumps(changed(BROKEN["fail open"]), indent=1)
    (read,) = documents("envoy.json", text.encode())
    (finding,) = diagnose(setup_of_bootstrap("envoy.json", read))
    line = next(at for at, each in enumerate(text.splitlines(), 1) if "failure_mode_allow" in each)
    assert finding.where == ("envoy.json", line, "listener ingress > filter envoy.filters.http.ext_authz")


FIELDS: Final = {
    sentence: case
    for sentence, case in BROKEN.items()
    if case.part in {"check", "manager"} and len(case.path) == 1 and case.value is not DROP
    if case.path not in {("http_filters",), ("filter_enabled",), ("grpc_service",), ("access_log",)}
}


@pytest.mark.parametrize("case", FIELDS.values(), ids=FIELDS)
def test_a_finding_about_a_field_names_it_and_its_line(case: Broken) -> None:
    text = json.dumps(changed(case), indent=1)
    (read,) = documents("envoy.json", text.encode())
    (finding,) = diagnose(setup_of_bootstrap("envoy.json", read), case.reads)
    (field,) = case.path
    line = next(at for at, each in enumerate(text.splitlines(), 1) if f'"{field}":' in each)
    assert (finding.where.line, str(field) in finding.detail) == (line, True)


def _camel(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {re.sub("_([a-z])", lambda found: found[1].upper(), key): _camel(each) for key, each in value.items()}


@pytest.mark.parametrize("sentence", ["fail open", "HTTP/1.1 to the service", "no strip", "lua first", "panic"])
def test_fields_in_camel_case_are_read(sentence: str) -> None:
    case = BROKEN[sentence]
    assert codes(diagnose(setup(_camel(exported())))) == []
    assert codes(diagnose(setup(_camel(changed(case))))) == [case.code]


# --- dumps ------------------------------------------------------------------------------------------------------------

_ADMIN: Final = "type.googleapis.com/envoy.admin.v3."


def dump(config: dict[str, Any]) -> dict[str, Any]:
    """Give what an Envoy says that got all of it from a control plane, filters and routes by a name of their own."""
    named = parts(config)
    check = {"name": EXT_AUTHZ, "typed_config": named["entry"].pop("typed_config")}
    named["entry"]["config_discovery"] = {"type_urls": ["ext_authz"]}
    table = named["manager"].pop("route_config")
    named["manager"]["rds"] = {"route_config_name": table["name"]}
    clusters = config["static_resources"]["clusters"]
    listeners = config["static_resources"]["listeners"]
    endpoints = {"cluster_name": "authz", "endpoints": [{"lb_endpoints": [{}, {}]}]}
    return {
        "configs": [
            {"@type": _ADMIN + "BootstrapConfigDump", "bootstrap": {}},
            {
                "@type": _ADMIN + "ClustersConfigDump",
                "dynamic_active_clusters": [{"cluster": each} for each in clusters],
            },
            {
                "@type": _ADMIN + "ListenersConfigDump",
                "dynamic_listeners": [{"name": "l", "active_state": {"listener": each}} for each in listeners],
            },
            {"@type": _ADMIN + "RoutesConfigDump", "dynamic_route_configs": [{"route_config": table}]},
            {"@type": _ADMIN + "EcdsConfigDump", "ecds_filters": [{"ecds_filter": check}]},
            {"@type": _ADMIN + "EndpointsConfigDump", "dynamic_endpoint_configs": [{"endpoint_config": endpoints}]},
        ]
    }


def test_a_dump_of_a_control_plane_is_read_whole() -> None:
    assert diagnose(setup_of_dump("dump", dump(exported()))) == ()


@pytest.mark.parametrize("sentence", ["fail open", "no strip", "no health check", "lua first"])
def test_a_dump_of_a_control_plane_has_the_same_findings(sentence: str) -> None:
    case = BROKEN[sentence]
    assert codes(diagnose(setup_of_dump("dump", dump(changed(case))))) == [case.code]


def test_an_address_of_a_name_that_leads_to_one_instance_is_told_by_the_dump() -> None:
    dumped = dump(exported())
    cluster = dumped["configs"][1]["dynamic_active_clusters"][0]["cluster"]
    cluster["type"] = "STRICT_DNS"
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"][
        "address"
    ] = "authz.svc"
    several = codes(diagnose(setup_of_dump("dump", dumped)))
    dumped["configs"][5]["dynamic_endpoint_configs"][0]["endpoint_config"]["endpoints"][0]["lb_endpoints"].pop()
    assert (several, codes(diagnose(setup_of_dump("dump", dumped)))) == ([], ["DR046"])


REFUSED: Final = {
    "name": "ingress",
    "error_state": {"failed_configuration": {"name": "ingress"}, "details": "missing ): (\x1b[2J"},
}


def test_what_envoy_refused_is_told_beside_what_runs() -> None:
    dumped = dump(changed(BROKEN["fail open"]))
    entries = dumped["configs"][2]["dynamic_listeners"]
    # As Envoy has it: at the listener, and once more without its name.
    entries[0] |= REFUSED
    entries.append({"error_state": REFUSED["error_state"]})
    found = [(each.rule.code, each.where, each.detail) for each in diagnose(setup_of_dump("dump", dumped))]
    assert [code for code, *_ in found] == ["DR010", "DR110"]
    assert found[1][1:] == (("dump", 0, "listener ingress"), "missing ): (\\x1b[2J")


def test_an_envoy_that_refused_all_is_one_where_nothing_runs() -> None:
    dumped = {"configs": [{"@type": _ADMIN + "ListenersConfigDump", "dynamic_listeners": [REFUSED]}]}
    assert codes(diagnose(setup_of_dump("dump", dumped))) == ["DR110"]


@pytest.mark.parametrize("details", [None, 7, ""])
def test_a_refusal_without_a_reason_is_one(details: object) -> None:
    dumped = dump(exported())
    dumped["configs"][1]["dynamic_active_clusters"][0]["error_state"] = {"details": details, "version_info": "2"}
    (finding,) = diagnose(setup_of_dump("dump", dumped))
    said = "7" if details else "Envoy did not say why"
    assert (finding.rule.code, finding.where.part, finding.detail) == ("DR110", "cluster authz", said)


# --- bad input --------------------------------------------------------------------------------------------------------

NO_ENVOY: Final[dict[str, tuple[Callable[[str, object], Setup], object]]] = {
    "nothing": (setup_of_bootstrap, None),
    "a list": (setup_of_bootstrap, []),
    "no listeners": (setup_of_bootstrap, {"static_resources": {"clusters": []}}),
    "a TCP proxy": (setup_of_bootstrap, {"static_resources": {"listeners": [{"filter_chains": [{"filters": [{}]}]}]}}),
    "no configs": (setup_of_dump, {"configs": 7}),
    "another dump": (setup_of_dump, {"configs": [{"@type": _ADMIN + "SecretsConfigDump"}]}),
    "an Envoy without HTTP": (setup_of_dump, {"configs": [{"@type": _ADMIN + "ListenersConfigDump"}]}),
}


@pytest.mark.parametrize("sentence", NO_ENVOY)
def test_what_is_no_envoy_is_said_to_be_none(sentence: str) -> None:
    read, value = NO_ENVOY[sentence]
    with pytest.raises(NotEnvoyError, match="`x`"):
        read("x", value)


_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


def _places(value: object, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, each in entries for place in ((*way, key), *_places(each, (*way, key)))]


PLACES: Final = _places(exported())


PLACES_OF_DUMP: Final = _places(dump(exported()))


@given(st.lists(st.tuples(st.sampled_from(PLACES_OF_DUMP), _JSON), min_size=1, max_size=4))
def test_any_value_in_any_place_of_a_dump_is_judged_or_said_to_be_no_envoy(
    edits: list[tuple[tuple[str | int, ...], Any]],
) -> None:
    dumped: Any = dump(exported())
    for way, value in edits:
        _put(dumped, way, value)
    try:
        diagnose(setup_of_dump("x", dumped))
    except NotEnvoyError:
        return


@given(st.lists(st.tuples(st.sampled_from(PLACES), _JSON), min_size=1, max_size=4))
def test_any_value_in_any_place_is_judged_or_said_to_be_no_envoy(
    edits: list[tuple[tuple[str | int, ...], Any]],
) -> None:
    config: Any = exported()
    for way, value in edits:
        _put(config, way, value)
    try:
        diagnose(setup_of_bootstrap("x", config))
    except NotEnvoyError:
        return


def _put(config: Any, way: tuple[str | int, ...], value: object) -> None:  # noqa: ANN401 - JSON
    try:
        for step in way[:-1]:
            config = config[step]
        config[way[-1]] = value
    except (KeyError, IndexError, TypeError):
        return  # an edit before this one took the place away
