"""Filters around the check: what they may do to requests and answers, by their kinds, and the chains that hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from cors_authz.doctor.diagnose import diagnose
from cors_authz.doctor.parsing import setup_of_bootstrap
from tests.unit.doctor.test_diagnose import exported, parts

Config = dict[str, Any]
Change = Callable[[Config], object]

_TYPES: Final = "type.googleapis.com/envoy.extensions.filters.http"
FILTER_CONFIG: Final = "type.googleapis.com/envoy.config.route.v3.FilterConfig"


def said(change: Change) -> list[str]:
    config = exported()
    change(config)
    return [each.rule.code for each in diagnose(setup_of_bootstrap("envoy.yaml", config))]


def typed(kind: str, message: str = "Config", **fields: object) -> Config:
    return {"name": kind, "typed_config": {"@type": f"{_TYPES}.{kind}.v3.{message}", **fields}}


def placed(entry: Config, at: int = 0) -> Change:
    return lambda config: parts(config)["manager"]["http_filters"].insert(at, entry)


# --- kinds ------------------------------------------------------------------------------------------------------------

KINDS: Final = {
    **dict.fromkeys(("cache", "cache_v2"), "DR056"),
    "file_server": "DR058",
    **dict.fromkeys(("composite", "transform", "aws_lambda", "credential_injector", "grpc_json_transcoder"), "DR053"),
    **dict.fromkeys(("ext_authz", "custom_response", "decompressor", "invented"), "DR053"),
    **dict.fromkeys(("health_check", "header_mutation", "header_to_metadata", "json_to_metadata", "geoip"), ""),
    **dict.fromkeys(("compressor", "stateful_session", "on_demand", "bandwidth_limit", "ip_tagging"), ""),
    **dict.fromkeys(("jwt_authn", "rbac", "cors", "filter_chain", "grpc_web"), ""),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_kinds_that_are_known_to_do_no_harm_are_left_alone(kind: str) -> None:
    assert said(placed(typed(kind))) == [code for code in [KINDS[kind]] if code]


TYPES: Final = {
    "type.googleapis.com/io.istio.http.peer_metadata.Config": [],
    "type.googleapis.com/stats.PluginConfig": [],
    "type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig": [],
    "type.googleapis.com/acme.Gatekeeper": ["DR053"],
    "": ["DR053"],
}


@pytest.mark.parametrize("name", TYPES)
def test_a_filter_that_envoy_does_not_ship_is_one_that_may_answer(name: str) -> None:
    assert said(placed({"name": "own", "typed_config": {"@type": name}})) == TYPES[name]


def test_a_filter_without_a_kind_is_called_by_its_name() -> None:
    config = exported()
    placed({"name": "acme.gate", "typed_config": {"@type": "x/acme.Gatekeeper"}})(config)
    (finding,) = diagnose(setup_of_bootstrap("envoy.yaml", config))
    assert (finding.detail, finding.where.part) == (
        "`acme.gate` stands in front of ext_authz",
        "listener ingress > filter acme.gate",
    )


def _off(*, enabled: bool = False, at: str = "route") -> Change:
    def change(config: Config) -> None:
        placed(typed("lua", "Lua") | {"disabled": True})(config)
        if enabled:
            parts(config)[at]["typed_per_filter_config"] = {"lua": {"@type": FILTER_CONFIG, "config": {}}}

    return change


def test_a_filter_that_is_off_is_one_where_a_route_enables_it() -> None:
    assert [said(_off()), said(_off(enabled=True)), said(_off(enabled=True, at="host"))] == [[], ["DR053"], ["DR053"]]


def test_a_filter_that_is_off_may_act_where_routes_are_not_known() -> None:
    config = exported()
    _off()(config)
    manager = parts(config)["manager"]
    manager["rds"] = {"route_config_name": manager.pop("route_config")["name"]}
    found = diagnose(setup_of_bootstrap("envoy.yaml", config))
    assert [each.rule.code for each in found] == ["DR053", "DR008"]


# --- chains -----------------------------------------------------------------------------------------------------------

_NO_ORIGIN: Final[Config] = {"request_mutations": [{"remove": "origin"}]}
_GRANT: Final[Config] = {"append": {"header": {"key": "Access-Control-Allow-Origin", "value": "*"}}}
_STRIP: Final[Config] = {"remove_on_match": {"key_matcher": {"prefix": "access-control-"}}}


def mutation(**mutations: object) -> Config:
    return typed("header_mutation", "HeaderMutation", mutations=mutations)


def chain(*filters: Config, name: str = "default_filter_chain") -> Config:
    return typed("filter_chain", "FilterChainConfig", **{name: {"filters": list(filters)}})


def _chained_by_route(config: Config) -> None:
    placed(typed("filter_chain", "FilterChainConfig"))(config)
    own = {"@type": "x/FilterChainConfigPerRoute", "filter_chain": {"filters": [typed("lua", "Lua")]}}
    parts(config)["host"]["typed_per_filter_config"] = {"filter_chain": own}


_NAMED: Final = typed("filter_chain", "FilterChainConfig", filter_chains={"a": {"filters": [typed("cache_v2")]}})
CHAINS: Final[dict[str, tuple[Change, list[str]]]] = {
    "nothing that does harm": (placed(chain(typed("grpc_stats"))), []),
    "a change of the origin": (placed(chain(mutation(**_NO_ORIGIN))), ["DR057"]),
    "a change of the origin, behind the check": (placed(chain(mutation(**_NO_ORIGIN)), at=1), []),
    "an answer, by its other name": (placed(chain(typed("lua"), name="filter_chain")), ["DR053"]),
    "a cache, in a chain that routes choose": (placed(_NAMED), ["DR056"]),
    "an answer, in a chain of a route": (_chained_by_route, ["DR053"]),
    "a chain that holds a cache": (placed(chain(chain(typed("cache")))), ["DR056"]),
    "a chain that is off": (placed(chain(typed("lua")) | {"disabled": True}), []),
    "a grant, behind the check": (placed(chain(mutation(response_mutations=[_GRANT])), at=1), ["DR081"]),
}


@pytest.mark.parametrize("sentence", CHAINS)
def test_the_filters_in_a_chain_are_judged_in_its_place(sentence: str) -> None:
    change, expected = CHAINS[sentence]
    assert said(change) == expected


# --- answers ----------------------------------------------------------------------------------------------------------


def _mutated_by_route(*mutations: Config, wrapped: bool = False) -> Change:
    own = {"@type": "x/HeaderMutationPerRoute", "mutations": {"response_mutations": list(mutations)}}

    def change(config: Config) -> None:
        placed(mutation(), at=1)(config)
        entry = {"@type": FILTER_CONFIG, "config": own} if wrapped else own
        parts(config)["route"]["typed_per_filter_config"] = {"header_mutation": entry}

    return change


def _mutated_by_cluster(config: Config) -> None:
    placed(mutation(), at=1)(config)
    own = {"@type": "x/HeaderMutationPerRoute", "mutations": {"response_mutations": [_GRANT]}}
    several = [{"name": "a"}, {"name": "b", "typed_per_filter_config": {"header_mutation": own}}]
    parts(config)["route"]["route"] = {"weighted_clusters": {"clusters": several}}


def mapped(**mapper: object) -> Change:
    return lambda config: parts(config)["manager"].update(local_reply_config={"mappers": [mapper]})


def _flags(*flags: str) -> Config:
    return {"response_flag_filter": {"flags": list(flags)}}


def custom(policy: Config, *statuses: str) -> Config:
    """Give another answer to those with a status, or to any."""
    then = {"action": {"name": "local", "typed_config": {"@type": "x/LocalResponsePolicy", **policy}}}
    cases = [
        {"predicate": {"single_predicate": {"value_match": {"exact": each}}}, "on_match": then} for each in statuses
    ]
    matcher = {"matcher_list": {"matchers": cases}} if cases else {"on_no_match": then}
    return typed("custom_response", "CustomResponse", custom_response_matcher=matcher)


def _custom_by_route(config: Config) -> None:
    placed(typed("custom_response", "CustomResponse"), at=1)(config)
    own = custom({"response_headers_to_add": [_GRANT["append"]]})["typed_config"]
    parts(config)["route"]["typed_per_filter_config"] = {"custom_response": own}


_STATUS: Final[Config] = {"status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400}}}}
_HEADER: Final[Config] = {"header": {"key": "x-gate", "value": "1"}}
ANSWERS: Final[dict[str, tuple[Change, list[str]]]] = {
    "a grant in front": (placed(mutation(response_mutations=[_GRANT])), ["DR081"]),
    "a grant behind": (placed(mutation(response_mutations=[_GRANT]), at=1), ["DR081"]),
    "another header": (placed(mutation(response_mutations=[{"append": _HEADER}])), []),
    "a grant by a route": (_mutated_by_route(_GRANT), ["DR081"]),
    "a grant by a route, wrapped": (_mutated_by_route(_GRANT, wrapped=True), ["DR081"]),
    "a grant by one of several clusters": (_mutated_by_cluster, ["DR081"]),
    "a strip by a route": (_mutated_by_route(_STRIP), ["DR054"]),
    "a grant on Envoy's own answers": (mapped(headers_to_add=[_GRANT["append"]]), ["DR081"]),
    "another header on Envoy's own answers": (mapped(headers_to_add=[_HEADER]), []),
    "refusals become 200": (mapped(filter=_STATUS, status_code=200), ["DR068"]),
    "refusals become 299, as a dump of another tool writes it": (mapped(status_code={"value": 299}), ["DR068"]),
    "refusals become 302": (mapped(status_code=302), []),
    "refusals become 503": (mapped(filter=_STATUS, status_code=503), []),
    "what has no route becomes 200": (mapped(filter=_flags("NR"), status_code=200), []),
    "what was refused becomes 200": (mapped(filter=_flags("NR", "UAEX"), status_code=200), ["DR068"]),
    "what has any flag becomes 200": (mapped(filter=_flags(), status_code=200), ["DR068"]),
    "what has a status and no route becomes 200": (
        mapped(filter={"and_filter": {"filters": [_STATUS, _flags("NR")]}}, status_code=200),
        [],
    ),
    "what has a status or no route becomes 200": (
        mapped(filter={"or_filter": {"filters": [_STATUS, _flags("NR")]}}, status_code=200),
        ["DR068"],
    ),
    "a custom answer in front": (placed(custom({"status_code": 503})), ["DR053"]),
    "a custom answer behind": (placed(custom({"status_code": 503}), at=1), []),
    "a custom answer of 200": (placed(custom({"status_code": 200}), at=1), ["DR068"]),
    "a custom answer of 200 to what was refused": (placed(custom({"status_code": 200}, "403"), at=1), ["DR068"]),
    "a custom answer of 200 to what clients did wrong": (placed(custom({"status_code": 200}, "4xx"), at=1), ["DR068"]),
    "a page for what is not found": (placed(custom({"status_code": 200}, "404"), at=1), []),
    "a custom answer that grants": (
        placed(custom({"response_headers_to_add": [_GRANT["append"]]}, "404"), at=1),
        ["DR081"],
    ),
    "a custom answer of a route that grants": (_custom_by_route, ["DR081"]),
    "bodies alone are changed": (mapped(body={"inline_string": "no"}), []),
}


@pytest.mark.parametrize("sentence", ANSWERS)
def test_what_envoy_adds_to_answers_is_told(sentence: str) -> None:
    change, expected = ANSWERS[sentence]
    assert said(change) == expected


def test_a_grant_names_the_filter_and_the_header() -> None:
    config = exported()
    placed(mutation(response_mutations=[_GRANT, _GRANT]))(config)
    (finding,) = diagnose(setup_of_bootstrap("envoy.yaml", config))
    assert (finding.where.part, finding.detail) == (
        "listener ingress > filter header_mutation",
        "`response_mutations` has `access-control-allow-origin`",
    )
