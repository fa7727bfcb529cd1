"""Routes that stand elsewhere than in a list: behind a matcher, in scopes, on demand, or beyond TCP."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import pytest

from cors_authz.doctor.diagnose import diagnose
from cors_authz.doctor.parsing import setup_of_bootstrap, setup_of_dump
from tests.unit.doctor.test_diagnose import EXT_AUTHZ, dump, exported, parts

Config = dict[str, Any]
Change = Callable[[Config], object]

OFF: Final[Config] = {"@type": "x/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", "disabled": True}
ROUTE: Final = "type.googleapis.com/envoy.config.route.v3.Route"
ROUTES: Final = "type.googleapis.com/envoy.config.route.v3.RouteList"
_ADMIN: Final = "type.googleapis.com/envoy.admin.v3."
_LISTENER: Final = "listener ingress"


def found(config: Config) -> list[tuple[str, str]]:
    return [(each.rule.code, each.where.part) for each in diagnose(setup_of_bootstrap("envoy.yaml", config))]


def changed(change: Change) -> Config:
    config = exported()
    change(config)
    return config


# --- matchers ---------------------------------------------------------------------------------------------------------


def route(name: str, **fields: object) -> Config:
    return {"@type": ROUTE, "name": name, "match": {"prefix": "/"}, "route": {"cluster": "upstream"}, **fields}


def plain(typed: Config) -> Config:
    return {key: value for key, value in typed.items() if key != "@type"}


def action(typed: Config) -> Config:
    return {"action": {"name": "route", "typed_config": typed}}


def tree(*, below: Config, otherwise: Config) -> Config:
    """Choose by the path, and what is below one by another matcher."""
    inner = {"matcher": {"matcher_list": {"matchers": [{"predicate": {}, "on_match": action(below)}]}}}
    return {"matcher_tree": {"input": {}, "prefix_match_map": {"map": {"/a": inner}}}, "on_no_match": action(otherwise)}


def _matched(matcher: Config) -> Change:
    def change(config: Config) -> None:
        host = parts(config)["host"]
        del host["routes"]
        host["matcher"] = matcher

    return change


_PER_ROUTE: Final[Config] = {"typed_per_filter_config": {EXT_AUTHZ: OFF}}
_GRANT: Final[Config] = {"response_headers_to_add": [{"header": {"key": "access-control-allow-origin", "value": "*"}}]}
_HOST: Final = f"{_LISTENER} > virtual host all"
MATCHERS: Final[dict[str, tuple[Config, list[tuple[str, str]]]]] = {
    "routes that are checked": (tree(below=route("a"), otherwise=route("b")), []),
    "a route that is off": (
        tree(below=route("a"), otherwise=route("b", **_PER_ROUTE)),
        [("DR002", f"{_HOST} > route b")],
    ),
    "a route that is off, further down": (
        tree(below=route("a", **_PER_ROUTE), otherwise=route("b")),
        [("DR002", f"{_HOST} > route a")],
    ),
    "a list of routes": (
        tree(
            below={"@type": ROUTES, "routes": [plain(route("a")), plain(route("c", **_PER_ROUTE))]},
            otherwise=route("b"),
        ),
        [("DR002", f"{_HOST} > route c")],
    ),
    "a route that grants": (
        tree(below=route("a"), otherwise=route("b", **_GRANT)),
        [("DR081", f"{_HOST} > route b")],
    ),
    "an action that nobody knows": (tree(below={"@type": "x/y"}, otherwise={"@type": "x/z"}), [("DR015", _HOST)]),
    "nothing": ({}, [("DR015", _HOST)]),
}


@pytest.mark.parametrize("sentence", MATCHERS)
def test_routes_that_a_matcher_chooses_are_judged_as_any_other(sentence: str) -> None:
    matcher, expected = MATCHERS[sentence]
    assert found(changed(_matched(matcher))) == expected


def test_a_route_that_a_matcher_chooses_may_take_an_upgrade() -> None:
    config = exported()
    manager = parts(config)["manager"]
    upgraded = route("b", route={"upgrade_configs": [{"upgrade_type": "websocket"}]})
    _matched({"on_no_match": action(upgraded)})(config)
    filters = manager["http_filters"][-1:]
    manager["upgrade_configs"] = [{"upgrade_type": "websocket", "enabled": False, "filters": filters}]
    assert [code for code, _ in found(config)] == ["DR005"]


def test_a_matcher_that_nests_deeper_than_envoy_takes_is_walked_all_the_same() -> None:
    deep = action(route("b", **_PER_ROUTE))
    for _ in range(900):
        deep = {"matcher": {"on_no_match": deep}}
    assert [code for code, _ in found(changed(_matched(deep)))] == ["DR002"]


# --- on demand, and in scopes -----------------------------------------------------------------------------------------


def test_virtual_hosts_that_are_sent_on_demand_are_said_to_be_unjudged() -> None:
    table = {"name": "r", "vhds": {"config_source": {"ads": {}}}}
    config = changed(lambda config: parts(config)["manager"].update(route_config=table))
    assert found(config) == [("DR015", _LISTENER)]


def scoped(*, name: str = "scopes", off: bool = False, sent: bool = True, inline: bool = False) -> Config:
    """Give the dump of an Envoy whose routes a control plane sent by scopes."""
    config = exported()
    dumped = dump(config)
    manager = dumped["configs"][2]["dynamic_listeners"][0]["active_state"]["listener"]["filter_chains"][0]["filters"][
        0
    ]["typed_config"]
    table = dumped["configs"][3]["dynamic_route_configs"][0]["route_config"]
    if off:
        table["virtual_hosts"][0]["typed_per_filter_config"] = {EXT_AUTHZ: OFF}
    scope = (
        {"name": "a", "route_configuration": table}
        if inline
        else {"route_configuration_name": manager["rds"]["route_config_name"]}
    )
    del manager["rds"]
    manager["scoped_routes"] = {"name": "scopes", "scoped_rds": {}}
    if not sent or inline:
        del dumped["configs"][3]
    entries = [{"name": name, "version_info": "1", "scoped_route_configs": [scope]}]
    section = {"@type": _ADMIN + "ScopedRoutesConfigDump", "dynamic_scoped_route_configs": entries}
    return {"configs": [*dumped["configs"], section]}


SCOPES: Final = {
    "routes that are checked": (scoped(), []),
    "routes that are off": (scoped(off=True), ["DR002"]),
    "routes that are off, in the scope itself": (scoped(off=True, inline=True), ["DR002"]),
    "routes of another one": (scoped(name="other", off=True), ["DR008"]),
    "routes that have not come": (scoped(sent=False), ["DR008"]),
}


@pytest.mark.parametrize("sentence", SCOPES)
def test_the_scopes_that_a_control_plane_sent_are_read_in_a_dump(sentence: str) -> None:
    dumped, expected = SCOPES[sentence]
    assert [each.rule.code for each in diagnose(setup_of_dump("dump", dumped))] == expected


def _half_known(config: Config) -> None:
    manager = parts(config)["manager"]
    table = manager.pop("route_config")
    scopes = [{"name": "a", "route_configuration": table}, {"name": "b", "route_configuration_name": "later"}]
    manager["scoped_routes"] = {"scoped_route_configurations_list": {"scoped_route_configurations": scopes}}


def test_of_several_scopes_the_one_that_is_not_known_is_named() -> None:
    (finding,) = diagnose(setup_of_bootstrap("envoy.yaml", changed(_half_known)))
    assert (finding.rule.code, finding.detail) == ("DR008", "`later` are sent by a control plane (RDS)")


# --- chains that read no HTTP -----------------------------------------------------------------------------------------

_NETWORK: Final = "type.googleapis.com/envoy.extensions.filters.network"


def network(kind: str, message: str, **fields: object) -> Config:
    return {"name": kind, "typed_config": {"@type": f"{_NETWORK}.{kind}.v3.{message}", **fields}}


_PROXY: Final = network("tcp_proxy", "TcpProxy", cluster="upstream")
_INSIDE: Final[Config] = {"envoy_internal_address": {"server_listener_name": "ingress"}}


def passing(*filters: Config, node: str = "", **listener: object) -> Change:
    def change(config: Config) -> None:
        chains = [{"filters": list(filters or [_PROXY])}]
        config["static_resources"]["listeners"].append({"name": "tcp", "filter_chains": chains, **listener})
        if node:
            config["node"] = {"id": node, "metadata": {"ISTIO_VERSION": "1.31.0"}}

    return change


def _leads_inside(config: Config) -> None:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _INSIDE}}]}]
    config["static_resources"]["clusters"].append({"name": "in", "load_assignment": {"endpoints": endpoints}})
    passing(network("tcp_proxy", "TcpProxy", cluster="in"))(config)


def _outbound_beside(config: Config) -> None:
    parts(config)["listener"]["traffic_direction"] = "INBOUND"
    passing(traffic_direction="OUTBOUND")(config)


def _chains_beside(config: Config) -> None:
    chain = {"name": "tls", "filters": [_PROXY], "filter_chain_match": {"server_names": ["db.example"]}}
    parts(config)["listener"]["filter_chains"].append(copy.deepcopy(chain))


_WEIGHTED: Final = network(
    "tcp_proxy", "TcpProxy", weighted_clusters={"clusters": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]}
)
PASSING: Final[dict[str, tuple[Change, list[tuple[str, str]]]]] = {
    "a listener": (passing(), [("DR016", "listener tcp")]),
    "a chain beside others": (_chains_beside, [("DR016", f"{_LISTENER} > filter chain tls")]),
    "a listener that filters addresses first": (passing(network("rbac", "RBAC"), _PROXY), [("DR016", "listener tcp")]),
    "a listener of Istio's gateway": (passing(node="router~10.0.0.1~edge~x"), [("DR016", "listener tcp")]),
    "several clusters": (passing(_WEIGHTED), [("DR016", "listener tcp")]),
    "a listener for a database": (passing(network("postgres_proxy", "PostgresProxy"), _PROXY), []),
    "a listener that another filter answers on": (passing(network("redis_proxy", "RedisProxy")), []),
    "a listener that leads to one that is judged": (_leads_inside, []),
    "a listener of another one of the same Envoy": (passing(internal_listener={}), []),
    "what a sidecar sends out": (_outbound_beside, []),
    "what a waypoint of Istio takes": (passing(node="waypoint~10.0.0.1~edge~x"), []),
}


@pytest.mark.parametrize("sentence", PASSING)
def test_chains_that_pass_tcp_on_are_named(sentence: str) -> None:
    change, expected = PASSING[sentence]
    assert found(changed(change)) == expected


def test_where_tcp_leads_is_said() -> None:
    details = [
        [each.detail for each in diagnose(setup_of_bootstrap("envoy.yaml", changed(passing(each))))]
        for each in (_PROXY, _WEIGHTED)
    ]
    assert details == [["`tcp_proxy` leads to `upstream`"], ["`tcp_proxy` leads to `a`, `b`"]]


# --- clusters by weight -----------------------------------------------------------------------------------------------


def _weighted(*clusters: Config) -> Change:
    """Have each cluster of a route strip and add by itself."""

    def change(config: Config) -> None:
        names = parts(config)["host"].pop("response_headers_to_remove")
        several = [{"name": "upstream", "response_headers_to_remove": names, **each} for each in clusters]
        parts(config)["route"]["route"] = {"weighted_clusters": {"clusters": several}}

    return change


CLUSTERS: Final[dict[str, tuple[Change, list[str]]]] = {
    "each strips": (_weighted({}, {}), []),
    "one does not": (_weighted({}, {"response_headers_to_remove": []}), ["DR080"]),
    "one strips less": (_weighted({}, {"response_headers_to_remove": ["vary"]}), ["DR080"]),
    "one grants": (_weighted({}, _GRANT), ["DR081"]),
}


@pytest.mark.parametrize("sentence", CLUSTERS)
def test_what_each_of_several_clusters_does_counts(sentence: str) -> None:
    change, expected = CLUSTERS[sentence]
    assert [code for code, _ in found(changed(change))] == expected
