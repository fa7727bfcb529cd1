"""What the parts of a policy are compiled to, each compared as a whole."""

from __future__ import annotations

from ipaddress import ip_network
from typing import NamedTuple

import pytest

from cors_authz.policy.compiled import (
    AllRoles,
    AnyOf,
    ApiVersion,
    Authenticated,
    CompiledPolicy,
    Concern,
    Credential,
    Guard,
    HeaderIs,
    Membership,
    Needs,
    OriginTable,
    Protocol,
    Provider,
    Reach,
    ResourceGroup,
    Route,
    Rule,
    SourceIn,
    Surroundings,
    TenantSource,
    TokenPlace,
    Unlisted,
    VersionFrom,
    VersionSource,
)
from cors_authz.policy.finding import Place
from cors_authz.policy.pattern import SlotAt
from tests.deciding import IDENTITY, compiled

PROVIDER = """
identity:
  jwt:
    main:
      issuer: https://id.example
      audiences: [a, b]
      keys: {jwksUri: "https://id.example/jwks"}
      algorithms: [RS256, ES256]
"""
BY_URI = Provider("main", "https://id.example", ("a", "b"), ("RS256", "ES256"), jwks_uri="https://id.example/jwks")
IN_COOKIE, IN_HEADER = TokenPlace.COOKIE, TokenPlace.HEADER

PROVIDERS = {
    "keys by a URL, and what holds unless it is said": (PROVIDER, BY_URI),
    "keys in a file": (
        PROVIDER.replace('jwksUri: "https://id.example/jwks"', "jwksFile: /etc/jwks.json"),
        Provider("main", "https://id.example", ("a", "b"), ("RS256", "ES256"), jwks_file="/etc/jwks.json"),
    ),
    "claims that Envoy verified": (
        PROVIDER.replace('jwksUri: "https://id.example/jwks"', "envoyMetadata: main").replace(
            "      algorithms: [RS256, ES256]\n", ""
        ),
        Provider("main", "https://id.example", ("a", "b"), (), envoy_metadata="main"),
    ),
    "roles and leeway of its own": (
        PROVIDER + "      roles: realm.roles\n      leeway: 2m\n",
        Provider(
            "main",
            "https://id.example",
            ("a", "b"),
            ("RS256", "ES256"),
            jwks_uri="https://id.example/jwks",
            roles="realm.roles",
            leeway_seconds=120,
        ),
    ),
}


@pytest.mark.parametrize(("text", "then"), PROVIDERS.values(), ids=PROVIDERS)
def test_a_provider(text: str, then: Provider) -> None:
    assert compiled(text + "resourceGroups: {}\n").providers == {"main": then}


def test_an_unsaid_leeway_roles_and_token_place_are_these() -> None:
    assert (BY_URI.leeway_seconds, BY_URI.roles) == (30, "roles")
    assert (BY_URI.token_place, BY_URI.token_name) == (TokenPlace.AUTHORIZATION, "authorization")


PLACES = {
    "a header is named in lower case": ("header: X-Token", (IN_HEADER, "x-token")),
    "Authorization by name is Authorization": ("header: Authorization", (TokenPlace.AUTHORIZATION, "authorization")),
    "a cookie keeps its case": ("cookie: Session", (IN_COOKIE, "Session")),
}


@pytest.mark.parametrize(("key", "then"), PLACES.values(), ids=PLACES)
def test_where_a_token_travels(key: str, then: tuple[TokenPlace, str]) -> None:
    provider = compiled(f"{PROVIDER}      from: {{{key}}}\nresourceGroups: {{}}\n").providers["main"]
    assert (provider.token_place, provider.token_name) == then


POLICY = compiled(
    PROVIDER
    + """
teams:
  shop: {contact: shop@example, members: [ada]}
  ops: {contact: ops@example, members: [bob]}
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  app: {origins: ["https://app.example"], trust: high}
  tools: {origins: ["https://tools.example"], trust: high}
  lab: {origins: ["https://lab.example"], trust: high, environments: [staging]}
  anyone: {any: true, environments: [staging]}
headerSets:
  traces: {request: [Traceparent], expose: [Server-Timing]}
guards:
  signed-in: {authenticated: true, onFail: {message: "Sign in."}, description: "A person."}
  auditors: {allRoles: [auditor], onFail: {status: 404}, owner: ops}
  flagged: {header: {name: X-Flag, equals: "on"}}
  office: {sourceIn: [10.0.0.0/8], phase: both}
  either: {anyOf: [auditors, flagged]}
resourceGroups:
  orders:
    match: [{hosts: [api.example], paths: ["/orders/**"], methods: [GET, POST]}]
    versions:
      v1: {deprecated: 2026-06-01, sunset: 2027-06-01, successor: v2}
      v2: {}
    versionFrom: {header: X-Api-Version, default: v2}
    protocols: [http, sse]
    sensitivity: confidential
    guards: [signed-in]
    browserOnly: true
    unlisted: {navigations: same-site}
    mode: shadow
    allow:
    - name: pages
      origins: [web, lab, app]
      methods: [GET, POST]
      headers: [X-Trace]
      exposeHeaders: [ETag]
      headerSets: [traces]
      credentials: [cookie, bearer]
      maxAge: 5m
      versions: [v2]
      guards: [either]
      contentTypes: [application/json]
      allowPrivateNetwork: true
      owner: ops
      description: The shop's own pages.
    - {origins: [lab]}
    - {origins: [tools], methods: ["*"], headers: ["*"], exposeHeaders: ["*"]}
    responseHeaders: {timingAllowOrigin: [web, lab, anyone, app]}
    publish: partners
    docs: https://docs.example/orders
    owner: shop
    description: What customers bought.
    encodedSlashes: opaque
  rest:
    match: [{hosts: ["{tenant}.shop.example"], paths: ["/x-{version}/**"], methods: ["*"]}]
    versions: {v1: {}}
    guards: [office]
    allow: [{origins: [web], versions: [v1]}]
    contact: rest@example
    responseHeaders: {crossOriginResourcePolicy: same-site}
"""
)
ORDERS, REST = POLICY.groups


def at(line: int, column: int) -> Place:
    return Place("policy.yaml", line, column)


SIGNED_IN = Guard("signed-in", at(25, 3), Authenticated(), provider="main", message="Sign in.", description="A person.")
AUDITORS = Guard("auditors", at(26, 3), AllRoles(frozenset({"auditor"})), provider="main", status=404)
FLAGGED = Guard("flagged", at(27, 3), HeaderIs("x-flag", "on"))
EITHER = Guard("either", at(29, 3), AnyOf((AUDITORS, FLAGGED)))
PAGES = Rule(
    index=0,
    name="orders/pages",
    place=at(44, 7),
    origin_groups=("web", "app"),
    methods=frozenset({"GET", "HEAD", "POST"}),
    any_method=False,
    headers=frozenset({"x-trace", "traceparent", "authorization", "cache-control", "last-event-id"}),
    any_header=False,
    exposed=("etag", "server-timing"),
    credentials=frozenset({Credential.COOKIE, Credential.BEARER}),
    max_age_seconds=300,
    versions=frozenset({"v2"}),
    guards=(EITHER,),
    content_types=frozenset({"application/json"}),
    allow_private_network=True,
    description="The shop's own pages.",
    providers=("main",),
    needs=Needs(("main",)),
)
STARS = Rule(
    index=1,
    name="orders/3",
    place=at(59, 7),
    origin_groups=("tools",),
    methods=frozenset({"GET", "HEAD"}),
    any_method=True,
    headers=frozenset({"cache-control", "last-event-id"}),
    any_header=True,
    exposed=("*",),
    credentials=frozenset(),
    max_age_seconds=600,
    look=1,
)
SHORT = Rule(
    index=2,
    name="rest/1",
    place=at(70, 13),
    origin_groups=("web",),
    methods=frozenset({"GET", "HEAD"}),
    any_method=False,
    headers=frozenset(),
    any_header=False,
    exposed=(),
    credentials=frozenset(),
    max_age_seconds=600,
    versions=frozenset({"v1"}),
    look=3,
)


def test_a_group_that_says_everything() -> None:
    assert POLICY.groups[0] == ResourceGroup(
        index=0,
        name="orders",
        place=at(31, 3),
        sensitivity="confidential",
        unlisted=Unlisted(Reach.DENY, Reach.DENY, Reach.SAME_SITE),
        rules=(PAGES, STARS),
        rules_of={"web": (PAGES,), "app": (PAGES,), "tools": (STARS,)},
        guards=(SIGNED_IN,),
        providers=("main",),
        needs=Needs(("main",)),
        protocols=frozenset({Protocol.HTTP, Protocol.SSE}),
        browser_only=True,
        shadow=True,
        opaque_slashes=True,
        versions={
            "v1": ApiVersion("v1", deprecated=1_780_272_000.0, sunset=1_811_808_000.0, successor="v2"),
            "v2": ApiVersion("v2"),
        },
        version_from=VersionFrom(VersionSource.HEADER, "x-api-version", default="v2"),
        timing_origins=("https://web.example", "https://app.example"),
        vary=(
            "Origin",
            "Sec-Fetch-Site",
            "Sec-Fetch-Mode",
            "Sec-Fetch-Dest",
            "X-Api-Version",
            "X-Flag",
            "Authorization",
        ),
        private=True,
        look=2,
        concerns=int(Concern.VERSIONS | Concern.BODIES | Concern.CALLERS),
        owner="shop",
        contact="shop@example",
        description="What customers bought.",
        docs="https://docs.example/orders",
    )


def test_a_group_that_says_little() -> None:
    assert POLICY.groups[1] == ResourceGroup(
        index=1,
        name="rest",
        place=at(66, 3),
        sensitivity="internal",
        unlisted=Unlisted(Reach.FORWARD, Reach.SAME_SITE, Reach.FORWARD),
        rules=(SHORT,),
        rules_of={"web": (SHORT,)},
        forwards_reads=True,
        guards=(Guard("office", at(28, 3), SourceIn((ip_network("10.0.0.0/8"),)), both_phases=True),),
        versions={"v1": ApiVersion("v1")},
        corp="same-site",
        vary=("Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"),
        private=True,
        look=4,
        concerns=int(Concern.VERSIONS | Concern.CALLERS),
        contact="rest@example",
    )


def test_the_head_of_a_policy() -> None:
    assert (POLICY.name, POLICY.revision, POLICY.environment) == ("p", "r1", "prod")
    assert (POLICY.groups, POLICY.providers, POLICY.tenants) == ((ORDERS, REST), {"main": BY_URI}, None)
    assert (POLICY.public_scheme, POLICY.shadow) == ("", False)


def test_a_route_is_told_by_host_path_methods_and_slots() -> None:
    (fixed,) = POLICY.routes.exact["api.example"]
    (slotted,) = POLICY.routes.patterns.find(("example", "shop", "acme"))
    assert list(fixed.paths.find(("orders", "7"))) == [
        Route(
            ORDERS,
            0,
            "api.example",
            "/orders/**",
            at(32, 13),
            frozenset({"GET", "HEAD", "OPTIONS", "POST"}),
        )
    ]
    assert list(slotted.paths.find(("x-v1", "a"))) == [
        Route(
            REST,
            1,
            "{tenant}.shop.example",
            "/x-{version}/**",
            at(67, 13),
            tenant_in_host=SlotAt(2, 0, 0),
            version_in_path=SlotAt(0, 2, 0),
        )
    ]


def test_an_exact_host_has_the_routes_of_the_patterns_that_match_it_too() -> None:
    routes = compiled("""
    resourceGroups:
      one: {match: [{hosts: [a.b.example, "[::1]"], paths: [/one]}], allow: []}
      many: {match: [{hosts: ["*.b.example"], paths: [/many]}], allow: []}
      sibling: {match: [{hosts: ["*.a.example"], paths: [/sibling]}], allow: []}
    """).routes
    found = {
        name: [
            route.group.name
            for host in hosts
            for path in ("one", "many", "sibling")
            for route in host.paths.find((path,))
        ]
        for name, hosts in routes.exact.items()
    }
    assert found == {"a.b.example": ["one", "many"], "[::1]": ["one"]}


def test_an_origin_is_filed_with_the_rank_of_its_pattern_and_its_place() -> None:
    table = compiled("""
    originGroups:
      web: {origins: ["https://a.shop.example"], trust: high}
      shops: {origins: ["https://*.shop.example"], trust: high}
      anyone: {any: true}
    resourceGroups: {}
    """).origins
    web = Membership(-1, "web", "https://a.shop.example", at(6, 19))
    shops = Membership(0, "shops", "https://*.shop.example", at(7, 21))
    anyone = Membership(1_000_000_000, "anyone", "any", at(8, 3))
    assert table == OriginTable({"https://a.shop.example": (web, shops, anyone)}, table.patterns, (anyone,))
    assert {scheme: list(trie.find(("example", "shop", "b"))) for scheme, trie in table.patterns.items()} == {
        "https": [("", shops)]
    }


TIMINGS = {
    "an origin by name": ("web", ("https://web.example",)),
    "any origin": ("anyone", ("*",)),
    "origins of another environment have none here": ("lab", ()),
    "any of another environment has none here": ("strangers", ()),
}


@pytest.mark.parametrize(("name", "then"), TIMINGS.values(), ids=TIMINGS)
def test_who_may_read_timings(name: str, then: tuple[str, ...]) -> None:
    (group,) = compiled(f"""
    originGroups:
      web: {{origins: ["https://web.example"], trust: high}}
      anyone: {{any: true}}
      lab: {{origins: ["https://lab.example"], trust: high, environments: [staging]}}
      strangers: {{any: true, environments: [staging]}}
    resourceGroups:
      group:
        match: [{{hosts: [api.example]}}]
        allow: []
        responseHeaders: {{timingAllowOrigin: [{name}]}}
    """).groups
    assert group.timing_origins == then


VERSION_SOURCES = {
    "a query parameter keeps its case": (
        "{query: V, default: v1}",
        VersionFrom(VersionSource.QUERY, "V", default="v1"),
    ),
    "a header is named in lower case": ("{header: X-V}", VersionFrom(VersionSource.HEADER, "x-v")),
    "a media type is what stands around the version": (
        '{mediaType: "application/vnd.X.{version}+json", default: v1}',
        VersionFrom(VersionSource.MEDIA_TYPE, prefix="application/vnd.X.", suffix="+json", default="v1"),
    ),
}


@pytest.mark.parametrize(("key", "then"), VERSION_SOURCES.values(), ids=VERSION_SOURCES)
def test_where_a_version_stands(key: str, then: VersionFrom) -> None:
    (group,) = compiled(
        "resourceGroups:\n  group:\n    match: [{hosts: [api.example]}]\n    versions: {v1: {}}\n"
        f"    versionFrom: {key}\n    allow: []\n"
    ).groups
    assert group.version_from == then


class Known(NamedTuple):
    """By what a tenant is known, the providers whose tokens a group without guards reads, and the surroundings."""

    source: TenantSource
    providers: tuple[str, ...]
    surroundings: Surroundings


PLAIN = Surroundings(source=False, principal=False, metadata=False)
TENANTS = {
    "a claim alone names no tenant of a group without a slot": (
        "{claim: tid}",
        Known(TenantSource(claim="tid"), (), PLAIN),
    ),
    "a certificate": (
        '{principal: "spiffe://mesh/ns/{tenant}/sa/*"}',
        Known(TenantSource("", "spiffe://mesh/ns/", "/sa/*"), (), PLAIN._replace(principal=True)),
    ),
    "a certificate that a claim must agree with": (
        '{principal: "spiffe://mesh/ns/{tenant}/sa/*", claim: tid}',
        Known(TenantSource("tid", "spiffe://mesh/ns/", "/sa/*"), ("main",), PLAIN._replace(principal=True)),
    ),
    "metadata of the route that a claim must agree with": (
        "{routeMetadata: tenant, claim: tid}",
        Known(TenantSource("tid", route_metadata="tenant"), ("main",), PLAIN._replace(metadata=True)),
    ),
}


@pytest.mark.parametrize(("key", "then"), TENANTS.values(), ids=TENANTS)
def test_how_a_tenant_is_known(key: str, then: Known) -> None:
    policy = compiled(
        f"{PROVIDER}  mtls: {{trustDomains: [mesh]}}\ntenants: {key}\n"
        "resourceGroups:\n  group:\n    match: [{hosts: [api.example]}]\n    allow: []\n"
    )
    assert (policy.tenants, policy.groups[0].providers, policy.surroundings) == then


BOTH = ("main", "staff")
SEVERAL = True


def two_issuers(guards: str, rule: str) -> CompiledPolicy:
    return compiled(
        IDENTITY + "guards:\n"
        "  by-main: {authenticated: true, provider: main}\n  by-staff: {authenticated: true, provider: staff}\n"
        "originGroups:\n  web: {origins: ['https://web.example'], trust: high}\n"
        f"resourceGroups:\n  group:\n    match: [{{hosts: [api.example]}}]\n    {guards}\n"
        f"    allow: [{{origins: [web]{rule and f', {rule}'}}}]\n"
    )


def test_a_claim_is_read_for_a_group_with_a_slot_for_the_tenant() -> None:
    policy = compiled(
        f"{PROVIDER}tenants: {{claim: tid}}\n"
        'resourceGroups:\n  slot:\n    match: [{hosts: ["{tenant}.api.example"]}]\n    allow: []\n'
        "  none:\n    match: [{hosts: [other.example]}]\n    allow: []\n"
    )
    assert {group.name: group.providers for group in policy.groups} == {"slot": ("main",), "none": ()}


NEEDS = {
    "every token that a page of one's own sends": ("guards: [by-main, by-staff]", "needs", Needs(BOTH, SEVERAL)),
    "of a stranger, what is no credential": (
        "guards: [by-main, by-staff]",
        "needs_of_strangers",
        Needs(("staff",), SEVERAL),
    ),
    "of a stranger, none": ("guards: [by-main]", "needs_of_strangers", Needs()),
    "one provider, whichever": ("guards: [by-staff]", "needs_of_strangers", Needs(("staff",))),
}


@pytest.mark.parametrize(("guards", "of", "then"), NEEDS.values(), ids=NEEDS)
def test_whose_tokens_a_group_reads(guards: str, of: str, then: Needs) -> None:
    assert getattr(two_issuers(guards, "").groups[0], of) == then


NEEDS_OF_RULES = {
    "the group's, where the credential is granted": ("guards: [by-main]", "credentials: [bearer]", Needs(("main",))),
    "none, where it is not": ("guards: [by-main]", "", Needs()),
    "the group's and the rule's": (
        "guards: [by-main]",
        "credentials: [bearer], guards: [by-staff]",
        Needs(BOTH, SEVERAL),
    ),
    "the rule's alone travels": ("guards: [by-main]", "guards: [by-staff]", Needs(("staff",), SEVERAL)),
    "once, where both ask for it": (
        "guards: [by-main]",
        "credentials: [bearer], guards: [by-main]",
        Needs(("main",)),
    ),
}


@pytest.mark.parametrize(("guards", "rule", "then"), NEEDS_OF_RULES.values(), ids=NEEDS_OF_RULES)
def test_whose_tokens_a_rule_reads(guards: str, rule: str, then: Needs) -> None:
    assert two_issuers(guards, rule).groups[0].rules[0].needs == then


SURROUNDINGS = {
    "nothing": ("{header: {name: x-a, equals: b}}", PLAIN),
    "the address": ("{sourceIn: [10.0.0.0/8]}", PLAIN._replace(source=True)),
    "the certificate": ('{principalIn: ["spiffe://mesh/ns/a/*"]}', PLAIN._replace(principal=True)),
}


@pytest.mark.parametrize("user", ["guards: [one], allow: []", "allow: [{origins: [web], guards: [one]}]"])
@pytest.mark.parametrize(("guard", "then"), SURROUNDINGS.values(), ids=SURROUNDINGS)
def test_only_what_a_guard_reads_is_read_of_the_surroundings(guard: str, then: Surroundings, user: str) -> None:
    policy = compiled(
        f"{PROVIDER}  mtls: {{trustDomains: [mesh]}}\n"
        'originGroups:\n  web: {origins: ["https://web.example"], trust: high}\n'
        f"guards:\n  one: {guard}\n"
        f"resourceGroups:\n  group: {{match: [{{hosts: [api.example]}}], {user}}}\n"
    )
    assert policy.surroundings == then


def test_metadata_is_read_where_envoy_verifies_the_tokens() -> None:
    text = PROVIDERS["claims that Envoy verified"][0]
    assert compiled(text + "resourceGroups: {}\n").surroundings == PLAIN._replace(metadata=True)
