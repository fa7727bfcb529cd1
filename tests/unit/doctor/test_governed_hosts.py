"""Hosts that Envoy routes, that the policy governs, and that clients ask for, held against each other."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from cors_authz.doctor.finding import Where
from cors_authz.doctor.hosts import Asking, Governed, RoutedHost, asked_findings, findings, routed
from cors_authz.doctor.parsing import setup_of_bootstrap
from cors_authz.doctor.reads import ALWAYS, Reads, reads_of
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import bootstrap
from cors_authz.policy.document import Source
from cors_authz.policy.load import Loaded, load_policy
from tests.deciding import IDENTITY, compiled

POLICY: Final = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p}
originGroups:
  web: {origins: ["https://shop.example"], trust: high, contact: web@shop.example}
resourceGroups:
  api: {match: [{hosts: [api.shop.example, "*.cdn.example", "{tenant}.app.example", "odd.example:8443"]}], allow: []}
"""
HERE: Final = Where("envoy.yaml", 7, "virtual host all")
THERE: Final = Where("p.yaml", 7, "resource group api")


def loaded(text: str = POLICY) -> Loaded:
    return load_policy([Source("p.yaml", text.encode())], "prod")


def governed() -> Governed:
    read = loaded()
    return Governed(read.policy, [(route.host.text, THERE) for route in read.subject.routes])


HAS: Final = {
    "an exact host": ("api.shop.example", True),
    "with a port, a final dot, in capitals": ("API.shop.example.:443", True),
    "below a wildcard": ("a.b.cdn.example", True),
    "the wildcard's own name": ("cdn.example", False),
    "a tenant": ("acme.app.example", True),
    "a host that stands with a port": ("odd.example", True),
    "another host": ("www.shop.example", False),
    "a wildcard over an exact host": ("*.shop.example", True),
    "a wildcard that is governed as such": ("*.cdn.example", True),
    "a wildcard over a wildcard": ("*.example", True),
    "a wildcard at the end": ("api.*", True),
    "a wildcard over tenants": ("*.app.example", True),
    "a wildcard over nothing that is governed": ("*.other.example", False),
    "an IPv6 address": ("[::1]:80", False),
    "garbage": ("..\x00{", False),
    "nothing": ("", False),
}


@pytest.mark.parametrize("sentence", HAS)
def test_whether_a_host_is_governed(sentence: str) -> None:
    host, expected = HAS[sentence]
    assert governed().has(host) is expected


def said(*names: str) -> list[tuple[str, str, Where]]:
    found = findings([RoutedHost(name, HERE) for name in names], governed())
    return [(each.rule.code, each.detail, each.where) for each in found]


def test_a_host_that_is_routed_and_not_governed_is_named_where_it_is_routed() -> None:
    assert said("*", "api.shop.example", "old.shop.example") == [("DR090", "`old.shop.example`", HERE)]


def test_a_host_that_is_governed_and_not_routed_is_named_where_it_is_governed() -> None:
    assert said("api.shop.example:8080", "*.cdn.example", "*.example:443") == []
    assert said("api.shop.example", "a.cdn.example", "x.app.example") == [("DR091", "`odd.example:8443`", THERE)]


def test_where_nothing_is_known_of_routes_nothing_is_said_of_them() -> None:
    assert said() == []


def test_hosts_that_clients_ask_for() -> None:
    asked = [Asking("old.example", 2, "a.jsonl"), Asking("api.shop.example", 9, "a.jsonl"), Asking("x", 1, "b.jsonl")]
    found = asked_findings(asked, governed())
    assert [(each.rule.code, each.where.source, each.detail) for each in found] == [
        ("DR092", "a.jsonl", "`old.example`, asked for 2 times"),
        ("DR092", "b.jsonl", "`x`, asked for once"),
    ]


def config() -> dict[str, Any]:
    loopback = Address("127.0.0.1", 0)
    built: dict[str, Any] = json.loads(json.dumps(bootstrap(loopback, [loopback], loopback, loopback)))
    return built


def test_domains_and_names_of_tls_are_routed_whether_the_service_is_asked_or_not_yet() -> None:
    built = config()
    chain = built["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["filter_chain_match"] = {"server_names": ["Sni.example"]}
    manager = chain["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["domains"] = ["A.example:80", "*.b.example"]
    expected = ["a.example:80", "*.b.example", "sni.example"]
    asked = [each.name for each in routed(setup_of_bootstrap("x", built))]
    manager["http_filters"].pop(0)
    assert (asked, [each.name for each in routed(setup_of_bootstrap("x", built))]) == (expected, expected)


def test_what_no_client_reaches_routes_no_hosts() -> None:
    built = config()
    listener = built["static_resources"]["listeners"][0]
    listener["traffic_direction"] = "OUTBOUND"
    listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"].pop(0)
    built["node"] = {"id": "sidecar~10.0.0.1~app.shop~shop.svc.cluster.local"}
    assert list(routed(setup_of_bootstrap("x", built))) == []


ROUTED: Final = {
    "as Istio names a host of a gateway": (("api.shop.example", "api.shop.example:80"), []),
    "as Istio names a host that nobody governs": (
        ("old.shop.example", "old.shop.example:80", "old.shop.example:8080"),
        ["old.shop.example"],
    ),
    "everything": (("*",), []),
    "hosts below a name of which one is governed": (("*.shop.example",), []),
    "hosts below a name of which none is governed": (
        ("*.foreign.example", "*.foreign.example:443"),
        ["*.foreign.example"],
    ),
    "an end of names that no governed host has": (("*-eu.shop.example",), ["*-eu.shop.example"]),
    "a begin of names that a governed host has": (("api.*",), []),
    "as Istio names a service of the cluster": (
        ("app.cors.svc.cluster.local", "app", "app.cors", "10.96.0.7", "10.96.0.7:80", "[fd00::7]:80"),
        ["app.cors.svc.cluster.local", "app", "app.cors", "10.96.0.7", "[fd00::7]"],
    ),
    "in capitals": (("API.Shop.Example", "Old.Example"), ["old.example"]),
}


@pytest.mark.parametrize("sentence", ROUTED)
def test_domains_of_virtual_hosts(sentence: str) -> None:
    domains, ungoverned = ROUTED[sentence]
    built = config()
    manager = built["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["domains"] = list(domains)
    found = findings(routed(setup_of_bootstrap("x", built)), governed())
    assert [each.detail.strip("`") for each in found if each.rule.code == "DR090"] == ungoverned


_GUARDED: Final = "\nresourceGroups:\n  a:\n    match: [{hosts: [a.example]}]\n    allow: []\n    "
READS: Final = {
    "nothing of its own": (_GUARDED, Reads()),
    "a header of a guard": (
        "\nguards: {g: {header: {name: X-Area, equals: a}}}" + _GUARDED + "guards: [g]",
        Reads(frozenset({*ALWAYS, "x-area"})),
    ),
    "a header of one of several guards": (
        "\nguards:\n  g: {header: {name: x-area, equals: a}}\n  s: {sourceIn: [10.0.0.0/8]}\n  any: {anyOf: [g, s]}"
        + _GUARDED
        + "guards: [any]",
        Reads(frozenset({*ALWAYS, "x-area"})),
    ),
    "a header with the version": (
        _GUARDED + "versions: {v1: {}}\n    versionFrom: {header: X-Version}",
        Reads(frozenset({*ALWAYS, "x-version"})),
    ),
    "the media type": (
        _GUARDED + 'versions: {v1: {}}\n    versionFrom: {mediaType: "application/vnd.a.{version}+json"}',
        Reads(frozenset({*ALWAYS, "accept"})),
    ),
    "tokens, one in a header of its own": (IDENTITY + _GUARDED, Reads(frozenset({*ALWAYS, "x-staff"}))),
    "tokens that Envoy verifies": (
        IDENTITY.replace('{jwksUri: "https://id.example/jwks"}', "{envoyMetadata: main}") + _GUARDED,
        Reads(frozenset({*ALWAYS, "x-staff"}), jwt_payload=True),
    ),
    "the metadata of routes": (
        "\ntenants: {routeMetadata: tenant}" + _GUARDED,
        Reads(route_metadata=True),
    ),
    "principals": (
        IDENTITY + 'guards: {g: {principalIn: ["spiffe://mesh.example/sa/a"]}}' + _GUARDED + "guards: [g]",
        Reads(frozenset({*ALWAYS, "x-staff"}), principal=True),
    ),
}


@pytest.mark.parametrize("sentence", READS)
def test_what_a_policy_reads(sentence: str) -> None:
    text, expected = READS[sentence]
    assert reads_of(compiled(text)) == expected
