"""Match: the route, the version, the tenant and the rule that a request comes under; nothing is judged."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cors_authz.fetch.request import Kind, Request
from cors_authz.fetch.target import read_target
from cors_authz.pdp.match import match, protocol_of
from cors_authz.policy.compiled import Protocol
from tests.deciding import IDENTITY, ask, compiled, preflight

WEB = "https://web.example"
PREVIEW = "https://pr-7.web.example"

POLICY = compiled(
    IDENTITY
    + """
tenants: {claim: tid}
guards:
  clerk: {authenticated: true, provider: main}
  staff: {authenticated: true, provider: staff}
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  previews: {origins: ["https://pr-{digits}.web.example"]}
  anyone: {any: true}
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    allow:
    - {origins: [web], methods: [GET, POST], credentials: [cookie, bearer], guards: [staff]}
    - {origins: [previews], methods: [GET]}
  files:
    match: [{hosts: [api.example], paths: ["/files/**"]}]
    allow: []
  file-writes:
    match: [{hosts: [api.example], paths: ["/files/**"], methods: [PUT]}]
    allow: []
  port:
    match: [{hosts: ["ported.example:8443"]}]
    allow: []
  wild:
    match: [{hosts: ["*.wild.example"], methods: [GET]}]
    allow: []
  versions-in-paths:
    match: [{hosts: [v.example, "{version}.v.example"], paths: ["/{version}/a/**"]}]
    versions: {v1: {}, v2: {}}
    allow: [{origins: [web], versions: [v2]}]
  versions-in-headers:
    match: [{hosts: [h.example]}]
    versions: {v1: {}, v2: {}}
    versionFrom: {header: X-Api-Version, default: v1}
    allow: [{origins: [web], versions: [v2]}]
  versions-in-queries:
    match: [{hosts: [q.example]}]
    versions: {v1: {}, v2: {}}
    versionFrom: {query: v}
    allow: [{origins: [web], versions: [v2]}]
  versions-in-media-types:
    match: [{hosts: [m.example]}]
    versions: {v1: {}, v2: {}}
    versionFrom: {mediaType: "application/vnd.x.{version}+json", default: v1}
    allow: []
  tenants:
    match: [{hosts: ["t-{tenant}.t.example"], paths: ["/**", "/of/x{tenant}y/**"]}]
    guards: [clerk]
    allow: [{origins: [web]}]
  open:
    match: [{hosts: [open.example]}]
    sensitivity: public
    allow: [{origins: [anyone]}]
"""
)


class Case(NamedTuple):
    """A request, and what is matched: host known, group, version."""

    request: Request
    then: tuple[bool, str | None, str]


ROUTES = {
    "a host": Case(ask("GET https://api.example/a"), (True, "api", "")),
    "a host in upper case": Case(ask("GET https://API.example/a"), (True, "api", "")),
    "a host with the default port": Case(ask("GET https://api.example:443/a"), (True, "api", "")),
    "a host on any port": Case(ask("GET https://api.example:8443/a"), (True, "api", "")),
    "a narrower path wins": Case(ask("GET https://api.example/files/a"), (True, "files", "")),
    "two stars take nothing too": Case(ask("GET https://api.example/files"), (True, "files", "")),
    "a prefix of a segment is none": Case(ask("GET https://api.example/filesystem"), (True, "api", "")),
    "narrower methods win": Case(ask("PUT https://api.example/files/a"), (True, "file-writes", "")),
    "a preflight is matched as what it asks": Case(
        preflight("PUT https://api.example/files/a", WEB), (True, "file-writes", "")
    ),
    "an override is matched as what it names": Case(
        ask("POST https://api.example/files/a?_method=put"), (True, "file-writes", "")
    ),
    "the port": Case(ask("GET https://ported.example:8443/"), (True, "port", "")),
    "another port": Case(ask("GET https://ported.example/"), (False, None, "")),
    "a wildcard": Case(ask("GET https://a.b.wild.example/"), (True, "wild", "")),
    "a wildcard needs a label": Case(ask("GET https://wild.example/"), (False, None, "")),
    "GET brings HEAD": Case(ask("HEAD https://a.wild.example/"), (True, "wild", "")),
    "GET brings OPTIONS": Case(ask("OPTIONS https://a.wild.example/"), (True, "wild", "")),
    "another method": Case(ask("POST https://a.wild.example/"), (True, None, "")),
    "an unknown host": Case(ask("GET https://other.example/"), (False, None, "")),
    "a final dot": Case(ask("GET https://api.example./"), (False, None, "")),
    "an ambiguous path": Case(ask("GET https://api.example/a/../b"), (True, None, "")),
    "a version in the path": Case(ask("GET https://v.example/v1/a"), (True, "versions-in-paths", "v1")),
    "an unknown version": Case(ask("GET https://v.example/v9/a"), (True, "versions-in-paths", "v9")),
    "versions in host and path that agree": Case(
        ask("GET https://v2.v.example/v2/a"), (True, "versions-in-paths", "v2")
    ),
    "versions in host and path that differ": Case(
        ask("GET https://v1.v.example/v2/a"), (True, "versions-in-paths", "")
    ),
    "a version in a header": Case(
        ask("GET https://h.example/", x_api_version="v2"), (True, "versions-in-headers", "v2")
    ),
    "the default version": Case(ask("GET https://h.example/"), (True, "versions-in-headers", "v1")),
    "the default version for an empty header": Case(
        ask("GET https://h.example/", x_api_version=""), (True, "versions-in-headers", "v1")
    ),
    "two versions in a header": Case(
        ask("GET https://h.example/", x_api_version="v2,v2"), (True, "versions-in-headers", "v2,v2")
    ),
    "a version in the query": Case(ask("GET https://q.example/?v=v2"), (True, "versions-in-queries", "v2")),
    "no version in the query": Case(ask("GET https://q.example/"), (True, "versions-in-queries", "")),
    "a version twice in the query": Case(ask("GET https://q.example/?v=v2&v=v2"), (True, "versions-in-queries", "")),
    "a version in Accept": Case(
        ask("GET https://m.example/", accept="text/html, application/vnd.x.v2+json;q=0.5"),
        (True, "versions-in-media-types", "v2"),
    ),
    "Accept comes before Content-Type": Case(
        ask("GET https://m.example/", accept="application/vnd.x.v2+json", content_type="application/vnd.x.v1+json"),
        (True, "versions-in-media-types", "v2"),
    ),
    "a version in Content-Type": Case(
        ask("POST https://m.example/", accept="*/*", content_type="application/vnd.x.v2+json"),
        (True, "versions-in-media-types", "v2"),
    ),
    "two versions in Accept": Case(
        ask("GET https://m.example/", accept="application/vnd.x.v2+json,application/vnd.x.v1+json"),
        (True, "versions-in-media-types", ""),
    ),
    "one version twice in Accept": Case(
        ask("GET https://m.example/", accept="application/vnd.x.v2+json,application/vnd.x.v2+json"),
        (True, "versions-in-media-types", "v2"),
    ),
    "an empty version in Accept is none": Case(
        ask("GET https://m.example/", accept="application/vnd.x.+json"), (True, "versions-in-media-types", "v1")
    ),
    "a type with another end is none": Case(
        ask("GET https://m.example/", accept="application/vnd.x.v2+xml"), (True, "versions-in-media-types", "v1")
    ),
    "a type that only contains ours is none": Case(
        ask("GET https://m.example/", accept="text/application/vnd.x.v2+json"), (True, "versions-in-media-types", "v1")
    ),
}


@pytest.mark.parametrize("case", ROUTES.values(), ids=ROUTES)
def test_route_and_version(case: Case) -> None:
    facts = match(case.request, POLICY)
    assert (facts.host_known, facts.group.name if facts.group else None, facts.version) == case.then


TENANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "in the host": ("https://t-acme.t.example/a", ("acme",)),
    "in host and path": ("https://t-acme.t.example/of/xacmey/a", ("acme", "acme")),
    "in host and path, at odds": ("https://t-acme.t.example/of/xglobexy", ("acme", "globex")),
    "nowhere": ("https://api.example/a", ()),
}


@pytest.mark.parametrize(("url", "then"), TENANTS.values(), ids=TENANTS)
def test_tenants_of_a_route(url: str, then: tuple[str, ...]) -> None:
    assert match(ask(f"GET {url}"), POLICY).tenants == then


GROUP = """
resourceGroups:
  api: {match: [{hosts: [api.example]}], allow: []}
"""
BY_PRINCIPAL = compiled(
    """
identity: {mtls: {trustDomains: [mesh.example]}}
tenants: {principal: "spiffe://mesh.example/ns/{tenant}/*"}
"""
    + GROUP
)
BY_WHOLE_PRINCIPAL = compiled(
    """
identity: {mtls: {trustDomains: [mesh.example]}}
tenants: {principal: "spiffe://mesh.example/ns/{tenant}/sa/web"}
"""
    + GROUP
)
BY_METADATA = compiled("tenants: {routeMetadata: tenant}\n" + GROUP)

PRINCIPALS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "of the tenant": ("spiffe://mesh.example/ns/acme/sa/web", ("acme",), ("acme",)),
    "of the tenant, another account": ("spiffe://mesh.example/ns/acme/sa/job", ("acme",), ()),
    "longer than the pattern": ("spiffe://mesh.example/ns/acme/sa/web/x", ("acme",), ()),
    "of another domain": ("spiffe://evil.example/ns/acme/sa/web", (), ()),
    "without a tenant": ("spiffe://mesh.example/ns//sa/web", (), ()),
    "that ends after the tenant": ("spiffe://mesh.example/ns/acme", (), ()),
    "none": ("", (), ()),
}


@pytest.mark.parametrize(("principal", "by_prefix", "by_whole"), PRINCIPALS.values(), ids=PRINCIPALS)
def test_tenants_of_a_principal(principal: str, by_prefix: tuple[str, ...], by_whole: tuple[str, ...]) -> None:
    request = ask("GET https://api.example/", principal=principal)
    assert match(request, BY_PRINCIPAL).tenants == by_prefix
    assert match(request, BY_WHOLE_PRINCIPAL).tenants == by_whole


ADMITTING = compiled("""
identity: {mtls: {trustDomains: [mesh.example]}}
tenants: {principal: "spiffe://mesh.example/ns/{tenant}/*"}
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  app: {origins: ["https://app.example"], trust: high}
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    allow: [{origins: [web], methods: [GET, POST]}, {origins: [app], methods: [GET, POST], credentials: [mtls]}]
""")
API = "https://api.example/"
HOLDERS: dict[str, tuple[Request, tuple[str, ...]]] = {
    "a rule that grants no certificate": (ask(f"POST {API}", origin="https://web.example"), ()),
    "a rule that grants certificates": (ask(f"POST {API}", origin="https://app.example"), ("acme",)),
    "an unlisted read": (ask(f"GET {API}", origin="https://evil.example"), ()),
    "a read without an origin": (ask(f"GET {API}", sec_fetch_site="cross-site", sec_fetch_mode="cors"), ()),
    "a preflight without a rule": (preflight(f"POST {API}", "https://evil.example"), ()),
    "a preflight under a rule without certificates": (preflight(f"POST {API}", "https://web.example"), ()),
    "its own page": (ask(f"POST {API}", origin="https://api.example"), ("acme",)),
    "no browser": (ask(f"POST {API}"), ("acme",)),
    "an embed": (ask(f"GET {API}", sec_fetch_site="cross-site", sec_fetch_mode="no-cors"), ("acme",)),
}


@pytest.mark.parametrize(("request_", "then"), HOLDERS.values(), ids=HOLDERS)
def test_a_certificate_names_the_tenant_where_it_counts(request_: Request, then: tuple[str, ...]) -> None:
    request_ = request_._replace(principal="spiffe://mesh.example/ns/acme/sa/web")
    assert match(request_, ADMITTING).tenants == then


ACCOUNTS = {
    "under the accounts": ("spiffe://mesh.example/ns/acme/sa/web", ("acme",)),
    "under something else": ("spiffe://mesh.example/ns/acme/job/web", ()),
    "with nothing after the tenant": ("spiffe://mesh.example/ns/acme/", ()),
}


@pytest.mark.parametrize(("principal", "then"), ACCOUNTS.values(), ids=ACCOUNTS)
def test_all_that_stands_between_the_tenant_and_the_star_must_be_there(principal: str, then: tuple[str, ...]) -> None:
    policy = compiled(
        "identity: {mtls: {trustDomains: [mesh.example]}}\n"
        'tenants: {principal: "spiffe://mesh.example/ns/{tenant}/sa/*"}\n' + GROUP
    )
    assert match(ask("GET https://api.example/", principal=principal), policy).tenants == then


METADATA: dict[str, tuple[dict[str, dict[str, object]], tuple[str, ...]]] = {
    "text": ({"cors_authz": {"tenant": "acme"}}, ("acme",)),
    "empty": ({"cors_authz": {"tenant": ""}}, ()),
    "a number": ({"cors_authz": {"tenant": 7.0}}, ()),
    "another key": ({"cors_authz": {"other": "acme"}}, ()),
    "another filter": ({"other": {"tenant": "acme"}}, ()),
    "none": ({}, ()),
}


@pytest.mark.parametrize(("metadata", "then"), METADATA.values(), ids=METADATA)
def test_tenants_of_route_metadata(metadata: dict[str, dict[str, object]], then: tuple[str, ...]) -> None:
    request = ask("GET https://api.example/")._replace(route_metadata=metadata)
    assert match(request, BY_METADATA).tenants == then
    assert match(ask("GET https://api.example/", x_tenant="acme"), BY_METADATA).tenants == ()


RULES: dict[str, tuple[Request, tuple[str | None, str | None]]] = {
    "the rule that has origin and method": (ask("GET https://api.example/", origin=WEB), ("api/1", "api/1")),
    "GET brings HEAD": (ask("HEAD https://api.example/", origin=PREVIEW), ("api/2", "api/2")),
    "listed, with another method": (ask("POST https://api.example/", origin=PREVIEW), ("api/2", None)),
    "OPTIONS is no method that GET brings": (ask("OPTIONS https://api.example/", origin=WEB), ("api/1", None)),
    "not listed": (ask("GET https://api.example/", origin="https://evil.example"), (None, None)),
    "not listed in this group": (ask("GET https://api.example/files/a", origin=WEB), (None, None)),
    "malformed": (ask("GET https://api.example/", origin=f"{WEB}/"), (None, None)),
    "its own": (ask("GET https://open.example/", origin="https://open.example"), (None, None)),
    "null is anyone": (ask("GET https://open.example/", origin="null"), ("open/1", "open/1")),
    "a forbidden override": (ask("GET https://api.example/?_method=TRACE", origin=WEB), ("api/1", None)),
    "an override": (ask("GET https://api.example/?_method=POST", origin=PREVIEW), ("api/2", None)),
    "a version of the rule": (ask("GET https://v.example/v2/a", origin=WEB), ("versions-in-paths/1",) * 2),
    "a version that the rule has not": (ask("GET https://v.example/v1/a", origin=WEB), ("versions-in-paths/1", None)),
    "a preflight shows no version in a header": (
        preflight("GET https://h.example/", WEB),
        ("versions-in-headers/1",) * 2,
    ),
    "the request shows it": (ask("GET https://h.example/", origin=WEB), ("versions-in-headers/1", None)),
    "a preflight shows a version in the query": (
        preflight("GET https://q.example/?v=v1", WEB),
        ("versions-in-queries/1", None),
    ),
}


@pytest.mark.parametrize(("request_", "then"), RULES.values(), ids=RULES)
def test_the_rule_that_decides(request_: Request, then: tuple[str | None, str | None]) -> None:
    facts = match(request_, POLICY)
    names = (facts.listed.rule.name if facts.listed else None, facts.rule.name if facts.rule else None)
    assert names == then


NEEDS: dict[str, tuple[Request, tuple[str, ...]]] = {
    "the group's and the rule's": (ask("GET https://api.example/", origin=WEB), ("staff",)),
    "only the group's without a rule": (ask("GET https://t-a.t.example/"), ("main",)),
    "none for an unlisted origin": (ask("GET https://t-a.t.example/", origin="https://evil.example"), ()),
    "none for a preflight": (preflight("GET https://t-a.t.example/", WEB), ()),
    "none without a route": (ask("GET https://other.example/"), ()),
}


@pytest.mark.parametrize(("request_", "then"), NEEDS.values(), ids=NEEDS)
def test_the_tokens_that_a_decision_needs(request_: Request, then: tuple[str, ...]) -> None:
    assert match(request_, POLICY).needs.providers == then


def test_the_public_scheme_says_which_origin_is_ones_own() -> None:
    policy = compiled("defaults: {publicScheme: https}\n" + GROUP)
    own = ask("POST http://api.example/", origin="https://api.example")
    assert match(own, policy).kind is Kind.SAME_ORIGIN
    assert match(own, POLICY).kind is Kind.CROSS_ORIGIN
    assert match(ask("POST http://api.example:443/", origin="https://api.example"), policy).kind is Kind.SAME_ORIGIN


def test_a_scheme_as_long_as_a_message_is_no_place_to_remember() -> None:
    request = ask("GET https://api.example/")._replace(scheme="https" * 200_000)
    facts = match(request, POLICY)
    assert (facts.authority, facts.host_known, facts.route) == (None, False, None)


PROTOCOLS = {
    "plain": (ask("GET https://a.example/"), Protocol.HTTP),
    "a WebSocket": (ask("GET https://a.example/", upgrade="WebSocket"), Protocol.WEBSOCKET),
    "gRPC": (ask("POST https://a.example/", content_type="application/grpc"), Protocol.GRPC),
    "gRPC in another case": (ask("POST https://a.example/", content_type="Application/gRPC+proto"), Protocol.GRPC),
    "gRPC-Web": (ask("POST https://a.example/", content_type="application/grpc-web+proto"), Protocol.GRPC_WEB),
    "gRPC-Web that Envoy translated": (
        ask("POST https://a.example/", content_type="application/grpc", x_grpc_web="1"),
        Protocol.GRPC_WEB,
    ),
    "Connect by its header": (ask("POST https://a.example/", connect_protocol_version="1"), Protocol.CONNECT),
    "Connect by its type": (ask("POST https://a.example/", content_type="application/connect+json"), Protocol.CONNECT),
    "Connect by its query": (ask("GET https://a.example/?connect=v1"), Protocol.CONNECT),
    "another word in the query": (ask("GET https://a.example/?connect=v2"), Protocol.HTTP),
    "JSON": (ask("POST https://a.example/", content_type="application/json"), Protocol.HTTP),
    "x-grpc-web alone": (ask("POST https://a.example/", x_grpc_web="1"), Protocol.HTTP),
}


@pytest.mark.parametrize(("request_", "then"), PROTOCOLS.values(), ids=PROTOCOLS)
def test_protocol_of(request_: Request, then: Protocol) -> None:
    assert protocol_of(request_, read_target(request_.target)) is then
