"""Where requests are forwarded and nobody is asked, it is an error, on each listener that clients reach."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest

from cors_authz.doctor.diagnose import diagnose
from cors_authz.doctor.parsing import setup_of_bootstrap, setup_of_dump
from cors_authz.doctor.scope import judged
from cors_authz.doctor.setup import Setup
from tests.unit.doctor.test_diagnose import EXT_AUTHZ, dump, exported

Config = dict[str, Any]
EXT_AUTHZ_TYPE: Final = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"


def unasked() -> Config:
    """Give an Envoy that forwards all requests and asks nobody."""
    config = exported()
    listener = config["static_resources"]["listeners"][0]
    manager_of(listener)["http_filters"].pop(0)
    return config


def listener_of(config: Config) -> Config:
    found: Config = config["static_resources"]["listeners"][0]
    return found


def manager_of(listener: Config) -> Config:
    found: Config = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def host_of(config: Config) -> Config:
    found: Config = manager_of(listener_of(config))["route_config"]["virtual_hosts"][0]
    return found


def beside(config: Config, **fields: object) -> Config:
    """Put a copy of the listener, with other fields, beside it."""
    other = copy.deepcopy(listener_of(config)) | fields
    config["static_resources"]["listeners"].append(other)
    return other


def setup(config: Config) -> Setup:
    return setup_of_bootstrap("envoy.yaml", config)


def said(read: Setup) -> list[tuple[str, str]]:
    return [(each.rule.code, each.where.part) for each in diagnose(read)]


def _cluster(config: Config, name: str, address: Config) -> None:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    config["static_resources"]["clusters"].append({"name": name, "load_assignment": {"endpoints": endpoints}})
    host_of(config)["routes"][0]["route"]["cluster"] = name


def _socket(address: str) -> Config:
    return {"socket_address": {"address": address, "port_value": 15000}}


def _named(config: Config, node: str) -> None:
    config["node"] = {"id": node}


def _outbound(config: Config) -> None:
    listener_of(config)["traffic_direction"] = "OUTBOUND"


def _gateway_of_istio(config: Config) -> None:
    _outbound(config)
    _named(config, "router~10.0.0.1~edge.shop~shop.svc.cluster.local")


def _waypoint(config: Config) -> None:
    listener_of(config)["traffic_direction"] = "INBOUND"
    _named(config, "waypoint~10.0.0.1~edge.shop~shop.svc.cluster.local")


def _no_routes_yet(config: Config) -> None:
    del manager_of(listener_of(config))["route_config"]


def _hosts_on_demand(config: Config) -> None:
    manager_of(listener_of(config))["route_config"] = {"vhds": {"config_source": {"ads": {}}}}


def _a_matcher(config: Config) -> None:
    host_of(config)["matcher"] = {"matcher_tree": {}}
    del host_of(config)["routes"]


def _some_routes_of_its_own(config: Config) -> None:
    first = copy.deepcopy(host_of(config)["routes"][0])
    _cluster(config, "agent", _socket("127.0.0.1"))
    host_of(config)["routes"].append(first)


def _without_an_address(config: Config) -> None:
    del config["admin"]
    _cluster(config, "agent", {})


def _awaits(type_url: str) -> Callable[[Config], None]:
    def change(config: Config) -> None:
        discovery = {"config_discovery": {"type_urls": [f"type.googleapis.com/{type_url}"]}, "name": "sent"}
        manager_of(listener_of(config))["http_filters"].insert(0, discovery)

    return change


def _nothing(_: Config) -> None:
    """Leave it as it is."""


def _neither_filters_nor_routes(config: Config) -> None:
    manager_of(listener_of(config))["http_filters"] = []
    host_of(config)["routes"] = []


ERRORS: Final[dict[str, Callable[[Config], None]]] = {
    "a listener": _nothing,
    "a listener of Istio's gateway, which Istio calls outbound": _gateway_of_istio,
    "a listener that is outbound, and none is inbound": _outbound,
    "a waypoint of Istio": _waypoint,
    "a listener whose routes have not come": _no_routes_yet,
    "a listener whose hosts come on demand": _hosts_on_demand,
    "a listener that says neither by which filters nor by which routes": _neither_filters_nor_routes,
    "a host whose routes a matcher chooses": _a_matcher,
    "a cluster elsewhere that is called as the proxy's own": lambda config: _cluster(
        config, "agent", _socket("10.0.0.1")
    ),
    "a cluster on the same machine that is called as the proxy's own, in a file of the user's": lambda config: _cluster(
        config, "agent", _socket("127.0.0.1")
    ),
    "a cluster with an endpoint that is nowhere, and no admin interface": _without_an_address,
    "a cluster without addresses that is called as the proxy's own": lambda config: host_of(config)["routes"][0][
        "route"
    ].update({"cluster": "prometheus_stats"}),
    "a listener for the proxy's own health that forwards, too": _some_routes_of_its_own,
    "a cluster of an internal listener that is not there": lambda config: _cluster(
        config, "inside", {"envoy_internal_address": {"server_listener_name": "gone"}}
    ),
    "another filter that a control plane has yet to send": _awaits("envoy.extensions.filters.http.lua.v3.Lua"),
    "a listener that answers health checks, and forwards": lambda config: manager_of(listener_of(config))[
        "http_filters"
    ].insert(0, health_check()),
}


@pytest.mark.parametrize("sentence", ERRORS)
def test_whoever_forwards_without_asking_is_named(sentence: str) -> None:
    config = unasked()
    ERRORS[sentence](config)
    assert said(setup(config)) == [("DR001", "listener ingress")]


def test_ext_authz_that_a_control_plane_has_yet_to_send_is_told_as_such() -> None:
    config = unasked()
    _awaits(EXT_AUTHZ_TYPE)(config)
    assert said(setup(config)) == [("DR008", "listener ingress")]


def test_a_filter_that_a_control_plane_has_sent_is_judged_as_what_it_is() -> None:
    dumped = dump(exported())
    dumped["configs"][4]["ecds_filters"][0]["ecds_filter"]["typed_config"]["@type"] = "type/of.Another"
    listener = dumped["configs"][2]["dynamic_listeners"][0]["active_state"]["listener"]
    manager_of(listener)["http_filters"][0]["config_discovery"]["type_urls"] = [EXT_AUTHZ_TYPE]
    assert said(setup_of_dump("dump", dumped)) == [("DR001", "listener ingress")]


def _of_istio(config: Config) -> None:
    config["node"] = {"id": "router~10.0.0.1~edge.shop~x", "metadata": {"ISTIO_VERSION": "1.31.0"}}


def _metrics(config: Config) -> None:
    _of_istio(config)
    _cluster(config, "prometheus_stats", _socket("127.0.0.1"))


def _metrics_of_envoy_gateway(config: Config) -> None:
    listener_of(config)["metadata"] = {"filter_metadata": {"envoy-gateway": {"resources": []}}}
    _cluster(config, "prometheus_stats", _socket("127.0.0.1"))


def _health(config: Config) -> None:
    _of_istio(config)
    _cluster(config, "agent", {"pipe": {"path": "/run/agent.sock"}})


def _inbound_beside(config: Config) -> None:
    _outbound(config)
    config["static_resources"]["listeners"].append({"name": "in", "traffic_direction": "INBOUND"})


def _sidecar_of_istio(config: Config) -> None:
    _outbound(config)
    _named(config, "sidecar~10.0.0.1~app.shop~shop.svc.cluster.local")


def _metrics_at_the_admin(config: Config) -> None:
    config["admin"] = {"address": _socket("10.0.0.2")}
    _cluster(config, "prometheus_stats", _socket("10.0.0.2"))


def _ready(config: Config) -> None:
    """As Envoy Gateway tells the kubelet that it is ready."""
    host_of(config)["routes"] = [{"match": {"prefix": "/"}, "direct_response": {"status": 500}}]
    manager_of(listener_of(config))["http_filters"].insert(0, health_check())


def health_check() -> Config:
    message = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck"
    return {"name": "envoy.filters.http.health_check", "typed_config": {"@type": message}}


NOT_JUDGED: Final[dict[str, Callable[[Config], None]]] = {
    "a listener for the proxy's own metrics": _metrics,
    "a listener for metrics, of Envoy Gateway": _metrics_of_envoy_gateway,
    "a listener for metrics at the admin interface": _metrics_at_the_admin,
    "a listener for the proxy's own health": _health,
    "a listener that tells whether the proxy is ready": _ready,
    "what a sidecar sends out": _inbound_beside,
    "what a sidecar of Istio sends out": _sidecar_of_istio,
}


@pytest.mark.parametrize("sentence", NOT_JUDGED)
def test_who_is_no_clients_listener_is_not_judged(sentence: str) -> None:
    config = unasked()
    NOT_JUDGED[sentence](config)
    assert (judged(setup(config)), diagnose(setup(config))) == ((), ())


def test_a_listener_that_leads_to_another_one_of_the_same_envoy_is_judged_there() -> None:
    config = unasked()
    beside(config, name="main_internal")
    _cluster(config, "main_internal", {"envoy_internal_address": {"server_listener_name": "main_internal"}})
    assert said(setup(config)) == [("DR001", "listener main_internal")]


def test_of_several_listeners_those_that_ask_nobody_are_named() -> None:
    config = unasked()
    for name in ("second", "third"):
        beside(config, name=name)
    manager_of(config["static_resources"]["listeners"][1])["http_filters"] = manager_of(listener_of(exported()))[
        "http_filters"
    ]
    assert said(setup(config)) == [("DR001", "listener ingress"), ("DR001", "listener third")]


def test_of_several_filter_chains_those_that_ask_nobody_are_named() -> None:
    config = unasked()
    listener = listener_of(config)
    (chain,) = listener["filter_chains"]
    matches: list[Config] = [
        {"name": "plain"},
        {"filter_chain_match": {"server_names": ["a.example", "b.example"]}},
        {},
    ]
    listener["filter_chains"] = [copy.deepcopy(chain) | each for each in matches]
    listener["default_filter_chain"] = exported()["static_resources"]["listeners"][0]["filter_chains"][0]
    names = ("plain", "a.example, b.example", "number 2")
    assert said(setup(config)) == [("DR001", f"listener ingress > filter chain {name}") for name in names]


def _camel(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_camel(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {_hump(key): _camel(each) for key, each in value.items()}


def _hump(key: str) -> str:
    first, *others = key.split("_")
    return key if "." in key or key.startswith("@") else first + "".join(each.capitalize() for each in others)


def test_a_dump_in_camel_case_is_read_as_any_other() -> None:
    asked, open_ = dump(exported()), dump(exported())
    open_["configs"][2]["dynamic_listeners"][0]["active_state"]["listener"]["filter_chains"][0]["filters"][0][
        "typed_config"
    ]["http_filters"].pop(0)
    found = [said(setup_of_dump("dump", _camel(each))) for each in (asked, open_)]
    assert found == [[], [("DR001", "listener ingress")]]


# --- what istiod writes -----------------------------------------------------------------------------------------------


_ANY: Final[Config] = {"and_rules": {"rules": [{"any": True}]}}
_ANYONE: Final[Config] = {"and_ids": {"ids": [{"any": True}]}}


def authority(**text: str) -> Config:
    return {"header": {"name": ":authority", "string_match": {**text, "ignore_case": True}}}


def _hosts(*matchers: Config) -> Config:
    return {"and_rules": {"rules": [{"or_rules": {"rules": list(matchers)}}]}}


_HOST_ALONE: Final[Config] = _hosts(authority(exact="a.example"))
_HOST: Final[Config] = _hosts(authority(exact="a.example"), authority(prefix="a.example:"))
_PATH: Final[Config] = {"and_rules": {"rules": [{"or_rules": {"rules": [{"url_path": {"path": {"exact": "/a"}}}]}}]}}
_HOST_AND_PATH: Final[Config] = {"and_rules": {"rules": [*_HOST["and_rules"]["rules"], *_PATH["and_rules"]["rules"]]}}
_CALLER: Final[Config] = {"and_ids": {"ids": [{"or_ids": {"ids": [{"authenticated": {}}]}}]}}


def rbac(key: str, policies: Config) -> Config:
    message = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        key: {"policies": policies},
        "shadow_rules_stat_prefix": "istio_ext_authz_",
    }
    return {"name": "envoy.filters.http.rbac", "typed_config": message}


def gated(*filters: Config) -> Config:
    config = exported()
    manager = manager_of(listener_of(config))
    manager["route_config"]["ignore_port_in_host_matching"] = True
    host_of(config)["domains"] = ["a.example"]
    check = next(each for each in manager["http_filters"] if each["name"] == EXT_AUTHZ)
    check["typed_config"]["filter_enabled_metadata"] = {
        "filter": "envoy.filters.http.rbac",
        "path": [{"key": "istio_ext_authz_shadow_effective_policy_id"}],
        "value": {"string_match": {"prefix": "istio-ext-authz-cors"}},
    }
    manager["http_filters"][:0] = filters
    return config


def policy(permission: Config, principal: Config, name: str = "istio-ext-authz-cors-ns[a]-policy[b]-rule[0]") -> Config:
    return rbac("shadow_rules", {name: {"permissions": [permission], "principals": [principal]}})


GATES: Final[dict[str, tuple[list[Config], list[str]]]] = {
    "takes all": ([policy(_ANY, _ANYONE)], []),
    "takes all of some hosts": ([policy(_HOST, _ANYONE)], []),
    "takes a host without a port": ([policy(_HOST_ALONE, _ANYONE)], ["DR009"]),
    "takes a host without a port, beside another that takes all": (
        [policy(_HOST_ALONE, _ANYONE), policy(_ANY, _ANYONE)],
        [],
    ),
    "takes a host with one port": ([policy(_hosts(authority(exact="a.example:443")), _ANYONE)], ["DR009"]),
    "takes a suffix": ([policy(_hosts(authority(suffix=".example")), _ANYONE)], ["DR009"]),
    "takes a prefix": ([policy(_hosts(authority(prefix="a.")), _ANYONE)], []),
    "takes some paths of a host without a port": (
        [policy({"and_rules": {"rules": [_HOST_ALONE, _PATH]}}, _ANYONE)],
        ["DR009"],
    ),
    "takes some paths": ([policy(_PATH, _ANYONE)], ["DR004"]),
    "takes some paths of some hosts": ([policy(_HOST_AND_PATH, _ANYONE)], ["DR004"]),
    "takes some callers": ([policy(_ANY, _CALLER)], ["DR004"]),
    "takes all, beside another that takes some": ([policy(_PATH, _ANYONE), policy(_ANY, _ANYONE)], []),
    "is that of another provider": ([policy(_ANY, _ANYONE, "istio-ext-authz-opa-ns[a]-policy[b]-rule[0]")], ["DR001"]),
    "is not there": ([], ["DR001"]),
}


@pytest.mark.parametrize("sentence", GATES)
def test_istios_gate(sentence: str) -> None:
    filters, expected = GATES[sentence]
    assert [code for code, _ in said(setup(gated(*filters)))] == expected


SOME_REQUESTS: Final = "`rules` of the AuthorizationPolicy take some requests only"


def test_a_way_around_istios_gate_is_named() -> None:
    (finding,) = diagnose(setup(gated(policy(_HOST_ALONE, _ANYONE))))
    assert (finding.where.part, finding.detail) == (
        "listener ingress > filter envoy.filters.http.ext_authz",
        f"`filter_enabled_metadata`: {SOME_REQUESTS}; unasked: `Host: a.example:1`, `Host: a.example:`",
    )


def test_a_policy_that_istiod_could_make_no_check_of_is_told_in_place_of_a_missing_check() -> None:
    config = unasked()
    name = "istio-ext-authz-cors.edge-ns[shop]-policy[edge]-rule[0]-deny-due-to-bad-CUSTOM-action"
    refusal = rbac("rules", {name: {"permissions": [_ANY], "principals": [_ANYONE]}, "another": {}})
    manager_of(listener_of(config))["http_filters"].insert(0, refusal)
    (finding,) = diagnose(setup(config))
    assert (finding.rule.code, finding.where.part, finding.detail) == (
        "DR100",
        "listener ingress > filter envoy.filters.http.rbac",
        "provider `cors.edge` of AuthorizationPolicy `shop/edge`",
    )
