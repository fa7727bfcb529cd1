"""`doctor` asks a real Envoy: what the exported configuration became has no finding, and what was broken in it has."""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson
import pytest
from click.testing import CliRunner

from cors_authz.cli.main import cli
from cors_authz.demo.envoy_process import EnvoyProcess
from cors_authz.demo.identity import Issuer
from cors_authz.doctor.diagnose import diagnose
from cors_authz.doctor.parsing import setup_of_bootstrap, setup_of_dump
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import Setup
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Config, Options, bootstrap

LOOPBACK: Final = Address("127.0.0.1", 0)
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
SERVICE: Final = Address("127.0.0.1", 9191)
"""Nobody listens there: nothing of this needs an answer."""

_TYPES: Final = "type.googleapis.com/envoy.extensions.filters.http"


def exported(options: Options = Options()) -> Config:  # noqa: B008 - frozen
    return bootstrap(LOOPBACK, [SERVICE], Address("127.0.0.1", 8000), LOOPBACK, options)


def found(binary: Path, config: Config, reads: Reads | None = None) -> list[str]:
    with EnvoyProcess(binary, config) as envoy:
        dump = orjson.loads(envoy.admin("/config_dump?include_eds"))
    return [finding.rule.code for finding in diagnose(setup_of_dump("dump", dump), reads)]


OPTIONS: Final = {
    "as it is": Options(),
    "with an access log and tracing": Options(access_logs=SERVICE, tracing=SERVICE, encode_raw_headers=True),
}


@pytest.mark.parametrize("sentence", OPTIONS)
def test_an_envoy_of_the_exported_configuration_has_no_finding(sentence: str, envoy_binary: Path) -> None:
    assert found(envoy_binary, exported(OPTIONS[sentence])) == []


def test_the_verb_asks_the_admin_interface(envoy_binary: Path) -> None:
    config = exported()
    _manager(config)["http_filters"][0]["typed_config"]["failure_mode_allow"] = True
    with EnvoyProcess(envoy_binary, config) as envoy:
        options = orjson.loads(envoy.admin("/server_info"))["command_line_options"]
        admin = Path(options["admin_address_path"]).read_text()
        result = CliRunner().invoke(cli, ["doctor", "--envoy", f"http://{admin}"])
    assert (result.exit_code, result.stderr) == (
        6,
        "1 of 1 connection managers ask a service: 1 error, 0 warnings, 0 info\n",
    ), result.output
    assert "config_dump: listener ingress > filter envoy.filters.http.ext_authz: `failure_mode_allow" in result.stdout


def _edge_of_istio(config: Config) -> None:
    """Make it a gateway as Istio names one, with a second listener and a second filter chain that ask nobody."""
    (listener,) = config["static_resources"]["listeners"]
    listener["traffic_direction"] = "OUTBOUND"
    other = copy.deepcopy(listener)
    other["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"].pop(0)
    chain = copy.deepcopy(other["filter_chains"][0]) | {"name": "tls"}
    listener["filter_chains"].append(chain | {"filter_chain_match": {"server_names": ["shop.example"]}})
    listener["listener_filters"] = [
        {
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
            },
        }
    ]
    config["static_resources"]["listeners"].append(other | {"name": "other"})
    config["node"] = {
        "id": "router~127.0.0.1~edge.shop~shop.svc.cluster.local",
        "cluster": "edge.shop",
        "metadata": {"ISTIO_VERSION": "1.31.0"},
    }


def test_the_listeners_of_a_gateway_that_ask_nobody_are_named(envoy_binary: Path, tmp_path: Path) -> None:
    config = exported()
    _edge_of_istio(config)
    with EnvoyProcess(envoy_binary, config) as envoy:
        (tmp_path / "dump.json").write_text(envoy.admin("/config_dump?include_eds"))
    result = CliRunner().invoke(cli, ["doctor", "--config-dump", str(tmp_path / "dump.json"), "--format", "json"])
    named = [(each["code"], each["part"]) for each in json.loads(result.stdout)]
    assert (result.exit_code, named) == (
        6,
        [("DR001", "listener ingress > filter chain tls"), ("DR001", "listener other")],
    )


def _break_filter(config: Config) -> None:
    check = _manager(config)["http_filters"][0]["typed_config"]
    for name in ("status_on_error", "validate_mutations", "charge_cluster_response_stats"):
        del check[name]
    del check["metadata_context_namespaces"], check["route_metadata_context_namespaces"]
    check["grpc_service"] = {"envoy_grpc": {"cluster_name": "authz", "retry_policy": {"num_retries": 2}}}
    check |= {
        "allowed_headers": {"patterns": [{"prefix": "sec-"}]},
        "clear_route_cache": True,
        "failure_mode_allow": True,
        "filter_enabled": {"default_value": {"numerator": 50}},
        "with_request_body": {"max_request_bytes": 10},
    }


def _break_manager(config: Config) -> None:
    manager = _manager(config)
    names = ("normalize_path", "merge_slashes", "path_with_escaped_slashes_action", "common_http_protocol_options")
    for name in (*names, "use_remote_address", "access_log"):
        del manager[name]
    manager |= {"generate_request_id": False, "xff_num_trusted_hops": 1}
    manager["upgrade_configs"][0]["filters"] = manager["http_filters"][-1:]


def _break_cluster(config: Config) -> None:
    cluster = config["static_resources"]["clusters"][0]
    for name in ("health_checks", "outlier_detection", "circuit_breakers"):
        del cluster[name]
    cluster["typed_extension_protocol_options"] = {}


def _break_endpoints(config: Config) -> None:
    cluster = config["static_resources"]["clusters"][0]
    del cluster["common_lb_config"]
    cluster["type"] = "STRICT_DNS"
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] = {
        "address": "ip4.localhost",
        "port_value": 9191,
    }
    options = cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
    options["retry_policy"] = {"retry_on": "connect-failure"}


def _filter(kind: str, message: str, **fields: object) -> dict[str, Any]:
    return {"name": f"envoy.filters.http.{kind}", "typed_config": {"@type": f"{_TYPES}.{kind}.v3.{message}", **fields}}


def _break_order(config: Config) -> None:
    provider = {"issuer": "i", "local_jwks": {"inline_string": Issuer(lambda: 0.0).key_set().decode()}}
    rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}]
    strip = {"response_mutations": [{"remove": "access-control-allow-origin"}]}
    filters = _manager(config)["http_filters"]
    filters[:0] = [
        _filter("cors", "Cors"),
        _filter("jwt_authn", "JwtAuthentication", providers={"main": provider}, rules=rules),
        _filter("lua", "Lua", default_source_code={"inline_string": "function envoy_on_request(h) end"}),
    ]
    policy = {"@type": f"{_TYPES}.cors.v3.CorsPolicy", "allow_methods": "GET"}
    _manager(config)["route_config"]["typed_per_filter_config"] = {"envoy.filters.http.cors": policy}
    filters.insert(-1, _filter("header_mutation", "HeaderMutation", mutations=strip))


def _break_routes(config: Config) -> None:
    host = _manager(config)["route_config"]["virtual_hosts"][0]
    off = {"envoy.filters.http.ext_authz": {"@type": f"{_TYPES}.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}}
    host["response_headers_to_remove"].pop()
    host["response_headers_to_add"] = [{"header": {"key": "access-control-allow-origin", "value": "*"}}]
    host["routes"][:0] = [
        {"match": {"path": "/off"}, "route": {"cluster": "upstream"}, "typed_per_filter_config": off},
        {"match": {"path": "/away"}, "redirect": {"path_redirect": "/"}, "typed_per_filter_config": off},
    ]


FILTER_CODES: Final = [
    *("DR004", "DR010", "DR011", "DR012", "DR020", "DR021", "DR022", "DR023", "DR024"),
    *("DR030", "DR033", "DR034", "DR035", "DR055", "DR071"),
]
EVERYTHING: Final = Reads(jwt_payload=True, route_metadata=True, principal=True)
BROKEN: Final[dict[str, tuple[Callable[[Config], None], Reads, list[str]]]] = {
    "the filter": (
        _break_filter,
        EVERYTHING,
        FILTER_CODES,
    ),
    "the connection manager": (
        _break_manager,
        Reads(),
        ["DR005", "DR060", "DR061", "DR063", "DR064", "DR065", "DR066", "DR067", "DR070"],
    ),
    "the cluster": (_break_cluster, Reads(), ["DR036", "DR041", "DR042", "DR043", "DR044", "DR045", "DR045"]),
    "the endpoints": (_break_endpoints, Reads(), ["DR037", "DR038", "DR046", "DR047"]),
    "the order": (_break_order, Reads(), ["DR050", "DR052", "DR053", "DR054"]),
    "the routes": (_break_routes, Reads(), ["DR002", "DR006", "DR080", "DR081"]),
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_what_envoy_took_is_told_as_it_was_broken(sentence: str, envoy_binary: Path) -> None:
    break_it, reads, expected = BROKEN[sentence]
    config = exported()
    break_it(config)
    assert sorted(found(envoy_binary, config, reads)) == expected


_GATE: Final = "istio-ext-authz-shop"


def _authority(*, ignore_case: bool = True, **text: str) -> Config:
    return {"header": {"name": ":authority", "string_match": {**text, "ignore_case": ignore_case}}}


def _gate(config: Config, *permissions: Config) -> None:
    """Have the check made as istiod does for an AuthorizationPolicy, and routes take a host with any port."""
    manager = _manager(config)
    policies = {_GATE: {"permissions": permissions, "principals": [{"any": True}]}}
    rbac = _filter("rbac", "RBAC", shadow_rules={"policies": policies}, shadow_rules_stat_prefix="istio_ext_authz_")
    manager["http_filters"][0]["typed_config"]["filter_enabled_metadata"] = {
        "filter": "envoy.filters.http.rbac",
        "path": [{"key": "istio_ext_authz_shadow_effective_policy_id"}],
        "value": {"string_match": {"prefix": _GATE}},
    }
    manager["http_filters"][0]["typed_config"]["status_on_error"] = {"code": 500}
    manager["http_filters"].insert(0, rbac)
    manager["route_config"]["ignore_port_in_host_matching"] = True
    manager["route_config"]["virtual_hosts"][0]["domains"] = ["a.example"]


def _is_unasked(envoy: EnvoyProcess, host: str, headers: Mapping[str, str] = NO_HEADERS) -> bool:
    """Tell whether a request goes on to the upstream: 503, as it is not there. A check fails with 500."""
    connection = http.client.HTTPConnection(envoy.address.host, envoy.address.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": host, **headers})
        return connection.getresponse().status == HTTPStatus.SERVICE_UNAVAILABLE


_EXACT: Final = _authority(exact="a.example")
_PREFIX: Final = _authority(prefix="a.example:")
SPELLINGS: Final[dict[str, tuple[tuple[Config, ...], Config, list[str]]]] = {
    "a host alone": ((_EXACT,), {}, ["a.example:1", "a.example:"]),
    "a host alone, and ports are cut": ((_EXACT,), {"strip_any_host_port": True}, ["a.example:"]),
    "a host alone, and the listener's port is cut": (
        (_EXACT,),
        {"strip_matching_host_port": True},
        ["a.example:1", "a.example:"],
    ),
    "hosts by their end": ((_authority(suffix=".example"),), {}, ["a.example:1", "a.example:"]),
    "a host with any port": ((_EXACT, _PREFIX), {}, []),
    "a host in its own case": ((_authority(ignore_case=False, prefix="a.example"),), {}, ["A.EXAMPLE"]),
    "hosts by their beginning": ((_authority(prefix="a."),), {}, []),
    "all hosts but those of some end": (
        ({"not_rule": _authority(suffix=".internal")},),
        {},
        ["a.example:.internal"],
    ),
}
ASKED_FOR: Final = ("a.example", "a.example:1", "a.example:", "A.EXAMPLE", "a.example.", "a.example:.internal")


@pytest.mark.parametrize("sentence", SPELLINGS)
def test_a_host_that_the_doctor_names_is_one_that_passes_unasked(sentence: str, envoy_binary: Path) -> None:
    permissions, fields, expected = SPELLINGS[sentence]
    config = exported()
    _manager(config).update(fields)
    _gate(config, *permissions)
    with EnvoyProcess(envoy_binary, config) as envoy:
        dump = orjson.loads(envoy.admin("/config_dump?include_eds"))
        passed = [host for host in ASKED_FOR if _is_unasked(envoy, host)]
    told = " ".join(each.detail for each in diagnose(setup_of_dump("dump", dump)) if each.rule.code == "DR009")
    named = re.findall(r"`Host: ([^`]+)`", told)
    assert (named, set(named) - set(passed), bool(passed)) == (expected, set(), bool(expected))


# --- what passes although it looks as if it were asked about ----------------------------------------------------------

_OFF: Final = {"@type": f"{_TYPES}.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}
_WEBSOCKET: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
_ANYTHING: Final = {"any": True}


def _check(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = _manager(config)["http_filters"][0]["typed_config"]
    return found


def _route(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = _manager(config)["route_config"]["virtual_hosts"][0]["routes"][0]
    return found


def _switch_off_by_the_runtime(config: Config) -> None:
    _check(config)["filter_enabled"] = {"runtime_key": "authz.on", "default_value": {"numerator": 100}}
    config["layered_runtime"] = {"layers": [{"name": "s", "static_layer": {"authz": {"on": 0}}}]}


def _check_few_of_a_million(config: Config) -> None:
    _check(config)["filter_enabled"] = {"default_value": {"numerator": 100, "denominator": 2}}


def _switch_off_by_a_name_in_camel_case(config: Config) -> None:
    _manager(config)["http_filters"][0]["name"] = "extAuthz"
    _route(config)["typed_per_filter_config"] = {"extAuthz": _OFF}


def _upgraded(config: Config, *filters: Config, **fields: object) -> None:
    chain = [*filters, _manager(config)["http_filters"][-1]]
    _manager(config)["upgrade_configs"] = [{"upgrade_type": "websocket", "filters": chain, **fields}]


def _disable_for_upgrades(config: Config) -> None:
    _upgraded(config, copy.deepcopy(_manager(config)["http_filters"][0]) | {"disabled": True})


def _fail_open_for_upgrades(config: Config) -> None:
    check = copy.deepcopy(_manager(config)["http_filters"][0])
    check["typed_config"]["failure_mode_allow"] = True
    _upgraded(config, check)


def _upgrade_by_the_route(config: Config) -> None:
    _upgraded(config, enabled=False)
    _route(config)["route"]["upgrade_configs"] = [{"upgrade_type": "websocket"}]


def _turn_the_gate_round(config: Config) -> None:
    _gate(config, _ANYTHING)
    _manager(config)["http_filters"][1]["typed_config"]["filter_enabled_metadata"]["invert"] = True


def _put_the_gate_behind(config: Config) -> None:
    _gate(config, _ANYTHING)
    filters = _manager(config)["http_filters"]
    filters[0], filters[1] = filters[1], filters[0]


def _take_the_gate_off_the_route(config: Config) -> None:
    _gate(config, _ANYTHING)
    own = {"envoy.filters.http.rbac": {"@type": f"{_TYPES}.rbac.v3.RBACPerRoute"}}
    _route(config)["typed_per_filter_config"] = own


def _route_by_scopes(config: Config) -> None:
    _route(config)["typed_per_filter_config"] = {"envoy.filters.http.ext_authz": _OFF}
    table = _manager(config).pop("route_config")
    header = {"name": "host", "index": 0, "element_separator": ";"}
    scope = {"name": "a", "route_configuration": table, "key": {"fragments": [{"string_key": "a.example"}]}}
    _manager(config)["scoped_routes"] = {
        "name": "scopes",
        "scope_key_builder": {"fragments": [{"header_value_extractor": header}]},
        "scoped_route_configurations_list": {"scoped_route_configurations": [scope]},
    }


def _fail_open_by_a_text(config: Config) -> None:
    _check(config)["failure_mode_allow"] = "true"


def _cache(config: Config) -> None:
    store = {"@type": "type.googleapis.com/envoy.extensions.http.cache_v2.simple_http_cache.v3.SimpleHttpCacheV2Config"}
    _manager(config)["http_filters"].insert(0, _filter("cache_v2", "CacheV2Config", typed_config=store))


def _check_no_share(config: Config) -> None:
    _check(config)["filter_enabled"] = {"default_value": {"numerator": 0}}


def _watch_only(config: Config) -> None:
    _check(config)["shadow_mode"] = True


_SKIP: Final[Config] = {
    "action": {
        "name": "skip",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"},
    }
}


def _skip_always(config: Config) -> None:
    entry = _manager(config)["http_filters"][0]
    entry["typed_config"] = {
        "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "extension_config": {"name": "check", "typed_config": entry["typed_config"]},
        "xds_matcher": {"on_no_match": _SKIP},
    }


def _choose_routes_by_a_matcher(config: Config) -> None:
    host = _manager(config)["route_config"]["virtual_hosts"][0]
    route = {
        "@type": "type.googleapis.com/envoy.config.route.v3.Route",
        **host.pop("routes")[0],
        "typed_per_filter_config": {"envoy.filters.http.ext_authz": _OFF},
    }
    host["matcher"] = {"on_no_match": {"action": {"name": "route", "typed_config": route}}}


PASSING: Final[dict[str, tuple[Callable[[Config], None], list[str]]]] = {
    "nothing": (lambda _: None, []),
    "the runtime": (_switch_off_by_the_runtime, ["DR013", "DR014"]),
    "an enum by its number": (_check_few_of_a_million, ["DR004"]),
    "a boolean in a text": (_fail_open_by_a_text, ["DR010"]),
    "a name in camel case": (_switch_off_by_a_name_in_camel_case, ["DR002"]),
    "filters of upgrades, disabled": (_disable_for_upgrades, ["DR002"]),
    "filters of upgrades that fail open": (_fail_open_for_upgrades, ["DR010"]),
    "filters of upgrades that a route takes": (_upgrade_by_the_route, ["DR005"]),
    "Istio's gate": (lambda config: _gate(config, _ANYTHING), []),
    "Istio's gate, turned round": (_turn_the_gate_round, ["DR001"]),
    "Istio's gate behind the check": (_put_the_gate_behind, ["DR001"]),
    "Istio's gate, taken off a route": (_take_the_gate_off_the_route, ["DR002"]),
    "routes of a scope": (_route_by_scopes, ["DR002"]),
    "routes that a matcher chooses": (_choose_routes_by_a_matcher, ["DR002"]),
    "a cache that asks the upstream by itself": (_cache, ["DR056"]),
    "a share of nothing": (_check_no_share, ["DR001"]),
    "a check that only watches": (_watch_only, ["DR001"]),
    "a matcher that skips all": (_skip_always, ["DR001"]),
}


@pytest.mark.parametrize("sentence", PASSING)
def test_what_passes_unasked_is_what_the_doctor_names(sentence: str, envoy_binary: Path) -> None:
    break_it, expected = PASSING[sentence]
    config = exported()
    _check(config)["status_on_error"] = {"code": 500}
    break_it(config)
    with EnvoyProcess(envoy_binary, config) as envoy:
        dump = orjson.loads(envoy.admin("/config_dump?include_eds"))
        passes = any(_is_unasked(envoy, "a.example", headers) for headers in ({}, _WEBSOCKET))
    told = [[each.rule.code for each in diagnose(read)] for read in (setup_of_dump("dump", dump), _written(config))]
    assert (told, passes) == ([expected, expected], bool(expected))


def test_what_is_not_asked_about_is_refused_where_envoy_is_told_so(envoy_binary: Path) -> None:
    config = exported()
    _check(config)["status_on_error"] = {"code": 500}
    _check_no_share(config)
    _check(config)["deny_at_disable"] = {"runtime_key": "authz.deny", "default_value": True}
    with EnvoyProcess(envoy_binary, config) as envoy:
        dump = orjson.loads(envoy.admin("/config_dump?include_eds"))
        status, _ = _answer(envoy)
    told = [[each.rule.code for each in diagnose(read)] for read in (setup_of_dump("dump", dump), _written(config))]
    assert (told, status) == ([["DR014"], ["DR014"]], HTTPStatus.INTERNAL_SERVER_ERROR)


# --- what Envoy adds to refusals --------------------------------------------------------------------------------------

_ALLOWED: Final = {"header": {"key": "access-control-allow-origin", "value": "*"}}


def _granting(*, at: int) -> Callable[[Config], None]:
    mutations = {"response_mutations": [{"append": _ALLOWED}]}
    mutation = _filter("header_mutation", "HeaderMutation", mutations=mutations)
    return lambda config: _manager(config)["http_filters"].insert(at, mutation)


def _mapped(**mapper: object) -> Callable[[Config], None]:
    refused = {"response_flag_filter": {"flags": ["UAEX"]}}
    return lambda config: _manager(config).update(local_reply_config={"mappers": [{"filter": refused, **mapper}]})


def _chained(config: Config) -> None:
    mutation = _filter("header_mutation", "HeaderMutation", mutations={"response_mutations": [{"append": _ALLOWED}]})
    chain = _filter("filter_chain", "FilterChainConfig", default_filter_chain={"filters": [mutation]})
    _manager(config)["http_filters"].insert(0, chain)


_CUSTOM: Final = "type.googleapis.com/envoy.extensions.http.custom_response"


def _answering_otherwise(config: Config) -> None:
    policy = {
        "@type": f"{_CUSTOM}.local_response_policy.v3.LocalResponsePolicy",
        "status_code": 200,
        "response_headers_to_add": [_ALLOWED],
    }
    matcher = {"on_no_match": {"action": {"name": "local", "typed_config": policy}}}
    custom = _filter("custom_response", "CustomResponse", custom_response_matcher=matcher)
    _manager(config)["http_filters"].insert(1, custom)


GRANTING: Final[dict[str, tuple[Callable[[Config], None], list[str], tuple[int, str | None]]]] = {
    "nothing": (lambda _: None, [], (500, None)),
    "a filter in front": (_granting(at=0), ["DR081"], (500, "*")),
    "a filter behind": (_granting(at=1), ["DR081"], (500, "*")),
    "a filter in a chain of filters": (_chained, ["DR081"], (500, "*")),
    "a mapper of Envoy's own answers": (_mapped(headers_to_add=[_ALLOWED]), ["DR081"], (500, "*")),
    "a custom answer": (_answering_otherwise, ["DR068", "DR081"], (200, "*")),
    "a mapper of status": (_mapped(status_code=200), ["DR068"], (200, None)),
}


@pytest.mark.parametrize("sentence", GRANTING)
def test_what_envoy_adds_to_refusals_is_what_the_doctor_names(sentence: str, envoy_binary: Path) -> None:
    break_it, expected, answer = GRANTING[sentence]
    config = exported()
    _check(config)["status_on_error"] = {"code": 500}
    break_it(config)
    with EnvoyProcess(envoy_binary, config) as envoy:
        dump = orjson.loads(envoy.admin("/config_dump?include_eds"))
        answered = _answer(envoy)
    told = [[each.rule.code for each in diagnose(read)] for read in (setup_of_dump("dump", dump), _written(config))]
    assert (told, answered) == ([expected, expected], answer)


def _answer(envoy: EnvoyProcess) -> tuple[int, str | None]:
    """Give the status of an answer, and which origins may read it."""
    connection = http.client.HTTPConnection(envoy.address.host, envoy.address.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": "a.example", "Origin": "https://evil.example"})
        answer = connection.getresponse()
        return answer.status, answer.getheader("access-control-allow-origin")


def _written(config: Config) -> Setup:
    return setup_of_bootstrap("envoy.yaml", orjson.loads(orjson.dumps(config)))


def _manager(config: Config) -> dict[str, Any]:
    manager: dict[str, Any] = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0][
        "typed_config"
    ]
    return manager
