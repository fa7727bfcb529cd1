"""Decide: the table of what happens to a request, row by row, and which of two objections answers."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cors_authz.fetch.request import Request
from cors_authz.pdp.decide import CHECKS, refuse_unread
from cors_authz.pdp.decision import Decision, Objection, Outcome, Reason
from cors_authz.pdp.readings import TokenReading, TokenState
from cors_authz.pdp.reasons import WORDS, mend_of
from cors_authz.pdp.response import told_caller
from tests.deciding import IDENTITY, ask, compiled, decided, preflight, token, told

WEB = "https://web.example"
EVIL = "https://evil.example"

POLICY = compiled(
    IDENTITY
    + """
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  anyone: {any: true}
resourceGroups:
  internal:
    match: [{hosts: [internal.example]}]
    allow:
    - {origins: [web], methods: [GET, POST], headers: [content-type], credentials: [cookie]}
  proven:
    match: [{hosts: [proven.example]}]
    browserOnly: true
    protocols: [http, websocket]
    allow: []
  confidential:
    match: [{hosts: [confidential.example]}]
    sensitivity: confidential
    allow:
    - {origins: [web], methods: [POST]}
  restricted:
    match: [{hosts: [restricted.example]}]
    sensitivity: restricted
    allow: []
  public:
    match: [{hosts: [public.example]}]
    sensitivity: public
    allow:
    - {origins: [anyone]}
  live:
    match: [{hosts: [live.example]}]
    protocols: [websocket]
    allow:
    - {origins: [web], credentials: [cookie]}
  tools:
    match: [{hosts: [tools.example]}]
    protocols: [mcp]
    allow:
    - {origins: [web], credentials: [bearer]}
  rpc:
    match: [{hosts: [rpc.example]}]
    protocols: [grpc]
    allow: []
  stars:
    match: [{hosts: [stars.example]}]
    allow:
    - {origins: [web], methods: ["*"], headers: ["*"]}
  opened:
    match: [{hosts: [opened.example]}]
    allow:
    - {origins: [web], methods: ["*"], headers: ["*"], credentials: [bearer]}
"""
)


class Case(NamedTuple):
    """A request, and its outcome, reason and status."""

    request: Request
    then: tuple[Outcome, Reason, int]


def allow(reason: Reason) -> tuple[Outcome, Reason, int]:
    return (Outcome.ALLOW, reason, 0)


def deny(reason: Reason, status: int = 403) -> tuple[Outcome, Reason, int]:
    return (Outcome.DENY, reason, status)


def preflight_deny(reason: Reason, status: int = 403) -> tuple[Outcome, Reason, int]:
    return (Outcome.PREFLIGHT_DENY, reason, status)


PREFLIGHT_ALLOW = (Outcome.PREFLIGHT_ALLOW, Reason.PREFLIGHT_ALLOWED, 204)

IMAGE = {"sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"}
LINK = {"sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
SCRIPT = {"sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}

ROWS = {
    "its own page": Case(
        ask("POST https://restricted.example/", sec_fetch_site="same-origin"), allow(Reason.SAME_ORIGIN)
    ),
    "its own page by Origin": Case(
        ask("POST https://restricted.example/", origin="https://restricted.example"), allow(Reason.SAME_ORIGIN)
    ),
    "its own page without a referrer": Case(
        ask("POST https://restricted.example/", origin="null", sec_fetch_site="same-origin"), allow(Reason.SAME_ORIGIN)
    ),
    "no browser": Case(ask("POST https://restricted.example/"), allow(Reason.NOT_A_BROWSER)),
    "no browser writes where only browsers may": Case(
        ask("POST https://proven.example/"), deny(Reason.BROWSER_PROOF_MISSING)
    ),
    "no browser reads where only browsers may write": Case(
        ask("GET https://proven.example/"), allow(Reason.NOT_A_BROWSER)
    ),
    "no browser opens a WebSocket where only browsers may": Case(
        ask("GET https://proven.example/", upgrade="websocket"), deny(Reason.BROWSER_PROOF_MISSING)
    ),
    "a browser writes where only browsers may": Case(
        ask("POST https://proven.example/", sec_fetch_site="none"), allow(Reason.SAME_ORIGIN)
    ),
    "a rule decides": Case(ask("POST https://internal.example/", origin=WEB), allow(Reason.RULE_ALLOWED)),
    "a rule decides for anyone": Case(ask("GET https://public.example/", origin=EVIL), allow(Reason.RULE_ALLOWED)),
    "a rule decides for null": Case(ask("GET https://public.example/", origin="null"), allow(Reason.RULE_ALLOWED)),
    "no rule, a read": Case(ask("GET https://internal.example/", origin=EVIL), allow(Reason.UNLISTED_READ)),
    "no rule, HEAD": Case(ask("HEAD https://internal.example/", origin=EVIL), allow(Reason.UNLISTED_READ)),
    "no rule, a read where reads are denied": Case(
        ask("GET https://confidential.example/", origin=EVIL), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "listed without the method, a read where reads are denied": Case(
        ask("GET https://confidential.example/", origin=WEB), deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "a read without an origin": Case(
        ask("GET https://internal.example/", sec_fetch_site="cross-site", **SCRIPT), allow(Reason.UNLISTED_READ)
    ),
    "a read without an origin where reads are denied": Case(
        ask("GET https://confidential.example/", sec_fetch_site="same-site", **SCRIPT), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "no rule, a write": Case(ask("POST https://internal.example/", origin=EVIL), deny(Reason.ORIGIN_NOT_ALLOWED)),
    "no rule, a write to a public group": Case(
        ask("POST https://public.example/", origin=EVIL), deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "no rule, QUERY": Case(ask("QUERY https://internal.example/", origin=EVIL), deny(Reason.ORIGIN_NOT_ALLOWED)),
    "no rule, a write by an override": Case(
        ask("GET https://internal.example/?_method=DELETE", origin=EVIL), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "listed, another method": Case(
        ask("DELETE https://internal.example/", origin=WEB), deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "listed, another method by an override": Case(
        ask("POST https://internal.example/", origin=WEB, x_http_method_override="DELETE"),
        deny(Reason.METHOD_NOT_ALLOWED),
    ),
    "no rule, a write that calls itself a read": Case(
        ask("POST https://internal.example/?_method=GET", origin=EVIL), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "no browser writes where only browsers may, and calls it a read": Case(
        ask("POST https://proven.example/", x_http_method_override="GET"), deny(Reason.BROWSER_PROOF_MISSING)
    ),
    "listed, a method that calls itself a read": Case(
        ask("DELETE https://internal.example/?_method=GET", origin=WEB), deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "listed, a method that calls itself one of the rule": Case(
        ask("DELETE https://internal.example/?_method=POST", origin=WEB), deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "listed, a read that calls itself a write of the rule": Case(
        ask("GET https://internal.example/?_method=POST", origin=WEB), allow(Reason.RULE_ALLOWED)
    ),
    "a preflight for a method that calls itself one of the rule": Case(
        preflight("DELETE https://internal.example/?_method=POST", WEB), preflight_deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "a preflight for a method that calls itself a read": Case(
        preflight("DELETE https://internal.example/?_method=GET", WEB), preflight_deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "a write of a sibling": Case(
        ask("POST https://internal.example/", origin=EVIL, sec_fetch_site="same-site"), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "a write of another site without an origin": Case(
        ask("POST https://internal.example/", sec_fetch_site="cross-site"), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "null reads": Case(ask("GET https://internal.example/", origin="null"), deny(Reason.ORIGIN_NOT_ALLOWED)),
    "null writes": Case(ask("POST https://internal.example/", origin="null"), deny(Reason.ORIGIN_NOT_ALLOWED)),
    "a foreign origin that says same-origin": Case(
        ask("POST https://internal.example/", origin=EVIL, sec_fetch_site="same-origin"),
        deny(Reason.ORIGIN_NOT_ALLOWED),
    ),
    "OPTIONS that is no preflight": Case(
        ask("OPTIONS https://internal.example/", origin=EVIL), allow(Reason.UNLISTED_READ)
    ),
    "OPTIONS that is no preflight where reads are denied": Case(
        ask("OPTIONS https://confidential.example/", origin=EVIL), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "OPTIONS of no browser": Case(ask("OPTIONS https://confidential.example/"), allow(Reason.NOT_A_BROWSER)),
    "a link": Case(
        ask("GET https://confidential.example/", sec_fetch_site="cross-site", **LINK),
        allow(Reason.UNLISTED_NAVIGATION),
    ),
    "a link where navigations are denied": Case(
        ask("GET https://restricted.example/", sec_fetch_site="same-site", **LINK),
        deny(Reason.NAVIGATION_NOT_ALLOWED),
    ),
    "an image of a public group": Case(
        ask("GET https://public.example/", sec_fetch_site="cross-site", **IMAGE), allow(Reason.UNLISTED_EMBED)
    ),
    "an image on the same site": Case(
        ask("GET https://internal.example/", sec_fetch_site="same-site", **IMAGE), allow(Reason.UNLISTED_EMBED)
    ),
    "an image on another site": Case(
        ask("GET https://internal.example/", sec_fetch_site="cross-site", **IMAGE), deny(Reason.EMBED_NOT_ALLOWED)
    ),
    "an image on a site that is none": Case(
        ask("GET https://internal.example/", sec_fetch_site="same-site,same-site", **IMAGE),
        deny(Reason.EMBED_NOT_ALLOWED),
    ),
    "an image where embeds are denied": Case(
        ask("GET https://confidential.example/", sec_fetch_site="same-site", **IMAGE), deny(Reason.EMBED_NOT_ALLOWED)
    ),
    "an image with an origin is a read": Case(
        ask("GET https://internal.example/", origin=EVIL, sec_fetch_site="cross-site", **IMAGE),
        allow(Reason.UNLISTED_READ),
    ),
    "a malformed origin": Case(ask("GET https://public.example/", origin=f"{WEB}/"), deny(Reason.ORIGIN_MALFORMED)),
    "two origins": Case(ask("GET https://internal.example/", origin=f"{WEB},{WEB}"), deny(Reason.ORIGIN_MALFORMED)),
    "a malformed origin in a preflight": Case(
        preflight("GET https://internal.example/", f"{WEB}/"), preflight_deny(Reason.ORIGIN_MALFORMED)
    ),
    "a WebSocket of a listed origin": Case(
        ask("GET https://live.example/", origin=WEB, upgrade="websocket"), allow(Reason.RULE_ALLOWED)
    ),
    "a WebSocket of another origin": Case(
        ask("GET https://live.example/", origin=EVIL, upgrade="websocket"), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "a WebSocket of another site without an origin": Case(
        ask("GET https://live.example/", sec_fetch_site="cross-site", upgrade="websocket"),
        deny(Reason.ORIGIN_NOT_ALLOWED),
    ),
    "a WebSocket of no browser": Case(
        ask("GET https://live.example/", upgrade="websocket"), allow(Reason.NOT_A_BROWSER)
    ),
    "a WebSocket to a group without": Case(
        ask("GET https://internal.example/", origin=WEB, upgrade="websocket"), deny(Reason.PROTOCOL_NOT_SERVED)
    ),
    "plain HTTP to a group of WebSockets": Case(
        ask("GET https://live.example/", origin=WEB), deny(Reason.PROTOCOL_NOT_SERVED)
    ),
    "gRPC to a group of HTTP": Case(
        ask("POST https://internal.example/", content_type="application/grpc"), deny(Reason.PROTOCOL_NOT_SERVED)
    ),
    "gRPC to its group": Case(
        ask("POST https://rpc.example/", content_type="application/grpc"), allow(Reason.NOT_A_BROWSER)
    ),
    "MCP is plain HTTP": Case(ask("POST https://tools.example/", origin=WEB), allow(Reason.RULE_ALLOWED)),
    "MCP refuses a read of another origin": Case(
        ask("GET https://tools.example/", origin=EVIL), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "MCP refuses a read of another site without an origin": Case(
        ask("GET https://tools.example/", sec_fetch_site="cross-site", **SCRIPT), deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "a preflight": Case(preflight("POST https://internal.example/", WEB, "content-type"), PREFLIGHT_ALLOW),
    "a preflight without headers": Case(preflight("POST https://internal.example/", WEB), PREFLIGHT_ALLOW),
    "a preflight for HEAD": Case(preflight("HEAD https://internal.example/", WEB), PREFLIGHT_ALLOW),
    "a preflight of another origin": Case(
        preflight("POST https://internal.example/", EVIL), preflight_deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "a preflight of another origin for a read": Case(
        preflight("GET https://internal.example/", EVIL), preflight_deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "a preflight of the own origin": Case(
        preflight("POST https://internal.example/", "https://internal.example"),
        preflight_deny(Reason.ORIGIN_NOT_ALLOWED),
    ),
    "a preflight of null": Case(
        preflight("GET https://internal.example/", "null"), preflight_deny(Reason.ORIGIN_NOT_ALLOWED)
    ),
    "a preflight for another method": Case(
        preflight("DELETE https://internal.example/", WEB), preflight_deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "a preflight for a method in lower case": Case(
        preflight("post https://internal.example/", WEB), preflight_deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "a preflight for no method": Case(
        preflight(" https://stars.example/", WEB), preflight_deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "a preflight for a forbidden method": Case(
        preflight("TRACE https://stars.example/", WEB), preflight_deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "a preflight for a forbidden method behind an override": Case(
        preflight("TRACE https://stars.example/?_method=GET", WEB), preflight_deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "a preflight for two methods behind an override": Case(
        preflight("GET,PUT https://stars.example/?_method=GET", WEB), preflight_deny(Reason.METHOD_NOT_ALLOWED)
    ),
    "a preflight for any method": Case(preflight("PURGE https://stars.example/", WEB), PREFLIGHT_ALLOW),
    "a preflight for another header": Case(
        preflight("POST https://internal.example/", WEB, "content-type", "x-a"),
        preflight_deny(Reason.HEADER_NOT_ALLOWED),
    ),
    "a preflight for a header that is no token": Case(
        preflight("POST https://stars.example/", WEB, "x a"), preflight_deny(Reason.HEADER_NOT_ALLOWED)
    ),
    "a preflight for any header": Case(preflight("POST https://stars.example/", WEB, "x-a"), PREFLIGHT_ALLOW),
    "a star does not cover Authorization": Case(
        preflight("POST https://stars.example/", WEB, "authorization", "x-a"),
        preflight_deny(Reason.HEADER_NOT_ALLOWED),
    ),
    "bearer beside a star does": Case(
        preflight("POST https://opened.example/", WEB, "authorization", "x-a"), PREFLIGHT_ALLOW
    ),
    "bearer covers Authorization": Case(
        preflight("POST https://tools.example/", WEB, "authorization"), PREFLIGHT_ALLOW
    ),
    "an unknown host": Case(ask("GET https://other.example/"), deny(Reason.HOST_UNKNOWN, 421)),
    "an unknown host in a preflight": Case(
        preflight("GET https://other.example/", WEB), preflight_deny(Reason.HOST_UNKNOWN, 421)
    ),
    "a host with a final dot": Case(ask("GET https://internal.example./"), deny(Reason.HOST_UNKNOWN, 421)),
    "an ambiguous path": Case(ask("GET https://internal.example/a/../b"), deny(Reason.PATH_AMBIGUOUS, 400)),
    "two slashes": Case(ask("GET https://internal.example//"), deny(Reason.PATH_AMBIGUOUS, 400)),
    "an encoded slash": Case(ask("GET https://internal.example/a%2fb"), deny(Reason.PATH_AMBIGUOUS, 400)),
    "no path, as CONNECT has none": Case(ask("CONNECT https://internal.example"), deny(Reason.REQUEST_MALFORMED, 400)),
    "no method": Case(ask(" https://internal.example/"), deny(Reason.REQUEST_MALFORMED, 400)),
    "a forbidden override": Case(
        ask("GET https://internal.example/", x_http_method="CONNECT"), deny(Reason.METHOD_OVERRIDE_FORBIDDEN, 400)
    ),
    "CONNECT with a path of a listed origin": Case(
        ask("CONNECT https://stars.example/", origin=WEB), deny(Reason.METHOD_NOT_ALLOWED)
    ),
}


@pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
def test_what_happens_to_a_request(case: Case) -> None:
    decision = decided(POLICY, case.request)
    assert (decision.outcome, decision.reason, decision.status) == case.then


def test_an_encoded_slash_is_data_where_the_group_says_so() -> None:
    policy = compiled("""
resourceGroups:
  packages: {match: [{hosts: [a.example], paths: ["/p/*"]}], encodedSlashes: opaque, allow: []}
  rest: {match: [{hosts: [a.example]}], allow: []}
""")
    paths = ("/p/a%2Fb", "/p/a%3Bb", "/p/a;x%2Fb", "/q/a%2Fb", "/q/a%3Bb", "/q/a;x%2Fb", "/p/a%2F..%2Fb")
    reasons = [decided(policy, ask(f"GET https://a.example{path}")).reason for path in paths]
    assert reasons == [Reason.NOT_A_BROWSER] * 3 + [Reason.PATH_AMBIGUOUS] * 4


GUARDED = compiled("""
guards:
  lan: {sourceIn: [10.0.0.0/8]}
resourceGroups:
  open: {match: [{hosts: [a.example]}], allow: []}
  guarded:
    match: [{hosts: [a.example], paths: ["/v1/items:purge", "/v1/a@b/**", "/v1/%c3%a9", "/v1/a%2a", "/v1/%7Ba%7D"]}]
    guards: [lan]
    allow: []
""")
SPELLINGS = (
    "/v1/items%3Apurge",
    "/v1/items%3apurge/",
    "/%761/item%73%3Apurge;x",
    "/v1/a%40b/x",
    "/v1/a%40b",
    "/v1/%C3%a9",
    "/v1/a*",
    "/v1/a%2A",
    "/v1/{a}",
    "/v1/%7ba%7d",
)


@pytest.mark.parametrize("path", SPELLINGS)
def test_no_spelling_of_a_guarded_path_leads_around_its_guard(path: str) -> None:
    assert decided(GUARDED, ask(f"POST https://a.example{path}")).reason is Reason.SOURCE_NOT_ALLOWED


HIDDEN = ("/pub;%2f..%2fv1%2fitems:purge", "/pub/;%2f/x", "/v1/items:purge%3Bx", "/v1/items:purge%3b", "/a;%2Fb")


@pytest.mark.parametrize("path", HIDDEN)
def test_an_encoded_delimiter_is_ambiguous_wherever_it_stands(path: str) -> None:
    assert decided(GUARDED, ask(f"POST https://a.example{path}")).reason is Reason.PATH_AMBIGUOUS


SUFFIXES = compiled("""
guards:
  lan: {sourceIn: [10.0.0.0/8]}
resourceGroups:
  read: {match: [{hosts: [a.example], paths: ["/v1/*"]}], allow: []}
  purge: {match: [{hosts: [a.example], paths: ["/v1/{name}:purge", "/v1/{id}.pdf"]}], guards: [lan], allow: []}
""")
BY_PARAMETERS = {
    "/v1/foo;x": Reason.NOT_A_BROWSER,
    "/v1/foo;x=1;y": Reason.NOT_A_BROWSER,
    "/v1/foo:purge;x": Reason.SOURCE_NOT_ALLOWED,
    "/v1/foo:purge;x:purge": Reason.PATH_AMBIGUOUS,
    "/v1/foo;:purge": Reason.PATH_AMBIGUOUS,
    "/v1/foo;x%3Apurge": Reason.PATH_AMBIGUOUS,
    "/v1/7;.pdf": Reason.PATH_AMBIGUOUS,
    "/v1/7;x=1;.pdf/": Reason.PATH_AMBIGUOUS,
}


@pytest.mark.parametrize(("path", "reason"), BY_PARAMETERS.items())
def test_parameters_that_end_a_segment_as_a_guarded_template_asks_are_ambiguous(path: str, reason: Reason) -> None:
    assert decided(SUFFIXES, ask(f"POST https://a.example{path}")).reason is reason


def test_a_tenant_is_told_and_compared_decoded() -> None:
    policy = compiled(
        IDENTITY
        + """
tenants: {claim: tenant}
guards: {known: {authenticated: true, provider: main}}
resourceGroups:
  api: {match: [{hosts: [a.example], paths: ["/{tenant}/**"]}], guards: [known], allow: []}
"""
    )
    tokens = {"main": token(tenant="a@b")}
    for spelling in ("a@b", "a%40b", "%61%40b"):
        decision = decided(policy, ask(f"GET https://a.example/{spelling}/x"), tokens)
        assert (decision.reason, told_caller(decision).tenant) == (Reason.NOT_A_BROWSER, "a@b")
    assert decided(policy, ask("GET https://a.example/a%2540b/x"), tokens).reason is Reason.TENANT_MISMATCH


VERSIONED = compiled("""
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  shop: {origins: ["https://*.shop.example"], trust: high}
  till: {origins: ["https://till.shop.example"], trust: high}
guards:
  lan: {sourceIn: [10.0.0.0/8], phase: both}
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    versions: {v1: {}, v2: {}, v3: {}}
    versionFrom: {header: x-api-version}
    allow:
    - {origins: [web], methods: [POST], headers: [x-a, x-api-version], versions: [v1], maxAge: 1m}
    - {origins: [web], methods: [POST], headers: [x-b, x-api-version], versions: [v2], maxAge: 2m}
    - origins: [web]
      methods: [POST, PUT]
      headers: [x-b, x-c, x-api-version]
      versions: [v3]
      credentials: [cookie]
      maxAge: 3m
    - {origins: [shop], methods: [POST], headers: [x-b, x-api-version]}
    - {origins: [till], methods: [POST], headers: [x-a, x-api-version], versions: [v1, v2], guards: [lan]}
    - {origins: [till], methods: [POST], headers: [x-a, x-c, x-api-version], versions: [v3]}
  shown:
    match: [{hosts: [shown.example], paths: ["/{version}/**"]}]
    versions: {v1: {}, v2: {}}
    allow:
    - {origins: [web], methods: [POST], headers: [x-a], versions: [v1], maxAge: 1m}
    - {origins: [web], methods: [POST], headers: [x-a, x-b], versions: [v2], credentials: [cookie], maxAge: 2m}
  mixed:
    match: [{hosts: [mixed.example]}]
    versions: {v1: {}, v2: {}}
    versionFrom: {header: x-api-version}
    allow:
    - {origins: [web], methods: [POST], headers: [x-a], versions: [v1]}
    - origins: [web]
      methods: [POST]
      headers: [x-a]
      versions: [v2]
      credentials: [cookie]
      guards: [lan]
      maxAge: 1m
  all:
    match: [{hosts: [all.example]}]
    versions: {v1: {}, v2: {}}
    versionFrom: {header: x-api-version}
    allow:
    - {origins: [shop], methods: [POST], headers: [x-b]}
    - {origins: [till], methods: [POST], headers: [x-a]}
""")
TILL = "https://till.shop.example"
UNSHOWN = {
    "the first version's rule grants": (preflight("POST https://api.example/", WEB, "x-a"), "api/1", ("60", None)),
    "another version's rule grants, the one with cookies first": (
        preflight("POST https://api.example/", WEB, "x-b", "x-api-version"),
        "api/3",
        ("180", "true"),
    ),
    "a method that one version has": (preflight("PUT https://api.example/", WEB, "x-c"), "api/3", ("180", "true")),
    "no version's rule grants": (preflight("POST https://api.example/", WEB, "x-a", "x-c"), "api/1", None),
    "no version's rule has the method": (preflight("DELETE https://api.example/", WEB, "x-a"), "", None),
    "no list of names": (preflight("POST https://api.example/", WEB, "x a"), "api/1", None),
    "a guard of one version's rule does not keep another's out": (
        preflight("POST https://api.example/", TILL, "x-a"),
        "api/6",
        ("600", None),
    ),
    "a guard that may refuse counts for more than cookies": (
        preflight("POST https://mixed.example/", WEB, "x-a"),
        "mixed/1",
        ("600", None),
    ),
    "a version that is shown is asked alone": (
        preflight("POST https://shown.example/v1/a", WEB, "x-a"),
        "shown/1",
        ("60", None),
    ),
    "a version that is shown grants what it grants": (
        preflight("POST https://shown.example/v1/a", WEB, "x-b"),
        "shown/1",
        None,
    ),
    "a wider pattern's rule decides for no version that narrower ones have": (
        preflight("POST https://api.example/", TILL, "x-b"),
        "api/5",
        None,
    ),
    "a rule of all versions leaves none to a wider pattern's": (
        preflight("POST https://all.example/", TILL, "x-b"),
        "all/2",
        None,
    ),
}


@pytest.mark.parametrize(("request_", "rule", "told_"), UNSHOWN.values(), ids=UNSHOWN)
def test_a_preflight_that_does_not_show_its_version_passes_if_some_version_does(
    request_: Request, rule: str, told_: tuple[str, str | None] | None
) -> None:
    decision = decided(VERSIONED, request_)
    said = told(VERSIONED, request_)
    age, credentials = said.get("access-control-max-age"), said.get("access-control-allow-credentials")
    assert decision.rule is None if not rule else decision.rule is not None and decision.rule.name == rule
    assert (decision.outcome is Outcome.PREFLIGHT_ALLOW) is (told_ is not None)
    assert (age, credentials) == (told_ or (None, None))


# --- the order of the objections ----------------------------------------------------------------------------------

ORDERED = compiled(
    IDENTITY
    + """
tenants: {claim: tid}
guards:
  signed-in: {authenticated: true, provider: main}
  clerk: {anyRole: [clerk], provider: main}
  office: {sourceIn: [10.0.0.0/8], onFail: {status: 404}}
originGroups:
  web: {origins: ["https://web.example"], trust: high}
sensitivityClasses:
  watched: {like: internal, guards: [signed-in]}
resourceGroups:
  api:
    match: [{hosts: ["{tenant}.api.example"], paths: ["/{version}/**"]}]
    versions: {v1: {sunset: 2026-01-01, successor: v2}, v2: {}, v3: {sunset: 2027-06-01, successor: v2}}
    sensitivity: watched
    guards: [clerk]
    browserOnly: true
    allow:
    - {origins: [web], methods: [GET, POST], credentials: [bearer], guards: [office], contentTypes: [application/json]}
"""
)
GOOD = {"origin": WEB, "content_type": "application/json"}
CLERK = token(tid="acme", roles=["clerk"])
NO_CLERK = token(tid="acme", roles=["guest"])
OTHER_TENANT = token(tid="globex", roles=["clerk"])
NO_TOKEN = TokenReading(TokenState.MISSING, {})

PAIRS: dict[str, tuple[Request, TokenReading, Reason]] = {
    "path before host": (ask("POST https://other.example/../", **GOOD), CLERK, Reason.PATH_AMBIGUOUS),
    "override before host": (
        ask("POST https://other.example/?_method=TRACE", **GOOD),
        CLERK,
        Reason.METHOD_OVERRIDE_FORBIDDEN,
    ),
    "path before override": (
        ask("POST https://acme.api.example//?_method=TRACE", **GOOD),
        CLERK,
        Reason.PATH_AMBIGUOUS,
    ),
    "host before group": (ask("POST https://other.example/", **GOOD), CLERK, Reason.HOST_UNKNOWN),
    "group before origin": (ask("POST https://acme.api.example/", origin="x"), CLERK, Reason.NO_RESOURCE_GROUP),
    "version before tenant": (
        ask("POST https://acme.api.example/v9/a", **GOOD),
        OTHER_TENANT,
        Reason.VERSION_UNKNOWN,
    ),
    "version before origin": (ask("POST https://acme.api.example/v9/a", origin="x"), CLERK, Reason.VERSION_UNKNOWN),
    "tenant before protocol": (
        ask("GET https://acme.api.example/v2/a", origin=WEB, upgrade="websocket"),
        OTHER_TENANT,
        Reason.TENANT_MISMATCH,
    ),
    "tenant before retired version": (
        ask("POST https://acme.api.example/v1/a", **GOOD),
        OTHER_TENANT,
        Reason.TENANT_MISMATCH,
    ),
    "malformed origin before protocol": (
        ask("GET https://acme.api.example/v2/a", origin="x", upgrade="websocket"),
        CLERK,
        Reason.ORIGIN_MALFORMED,
    ),
    "protocol before origin": (
        ask("GET https://acme.api.example/v2/a", origin=EVIL, upgrade="websocket"),
        CLERK,
        Reason.PROTOCOL_NOT_SERVED,
    ),
    "origin before retired version": (
        ask("POST https://acme.api.example/v1/a", origin=EVIL),
        CLERK,
        Reason.ORIGIN_NOT_ALLOWED,
    ),
    "method before retired version": (
        ask("DELETE https://acme.api.example/v1/a", **GOOD),
        CLERK,
        Reason.METHOD_NOT_ALLOWED,
    ),
    "retired version before browser proof": (
        ask("POST https://acme.api.example/v1/a"),
        CLERK,
        Reason.VERSION_RETIRED,
    ),
    "retired version before content type": (
        ask("POST https://acme.api.example/v1/a", origin=WEB, content_type="text/plain"),
        CLERK,
        Reason.VERSION_RETIRED,
    ),
    "browser proof before guards": (
        ask("POST https://acme.api.example/v2/a"),
        NO_TOKEN,
        Reason.BROWSER_PROOF_MISSING,
    ),
    "content type before guards": (
        ask("POST https://acme.api.example/v2/a", origin=WEB, content_type="text/plain"),
        NO_TOKEN,
        Reason.CONTENT_TYPE_NOT_ALLOWED,
    ),
    "the class's guard before the group's": (
        ask("POST https://acme.api.example/v2/a", **GOOD),
        NO_TOKEN,
        Reason.TOKEN_MISSING,
    ),
    "the group's guard before the rule's": (
        ask("POST https://acme.api.example/v2/a", **GOOD),
        NO_CLERK,
        Reason.ROLE_MISSING,
    ),
    "the rule's guard last": (
        ask("POST https://acme.api.example/v2/a", **GOOD),
        CLERK,
        Reason.SOURCE_NOT_ALLOWED,
    ),
    "and nothing is left": (
        ask("POST https://acme.api.example/v3/a", source="10.1.2.3", **GOOD),
        CLERK,
        Reason.RULE_ALLOWED,
    ),
    "a preflight of a retired version passes": (
        preflight("POST https://acme.api.example/v1/a", WEB),
        NO_TOKEN,
        Reason.PREFLIGHT_ALLOWED,
    ),
    "a rule's guard is not asked of whom no rule admits": (
        ask("GET https://acme.api.example/v2/a", sec_fetch_site="same-origin"),
        CLERK,
        Reason.SAME_ORIGIN,
    ),
    "an unlisted read meets the guards without its token": (
        ask("GET https://acme.api.example/v2/a", origin=EVIL),
        CLERK,
        Reason.TOKEN_MISSING,
    ),
}


@pytest.mark.parametrize(("request_", "reading", "then"), PAIRS.values(), ids=PAIRS)
def test_of_two_objections_the_earlier_answers(request_: Request, reading: TokenReading, then: Reason) -> None:
    assert decided(ORDERED, request_, {"main": reading}).reason is then


def test_the_order_of_the_checks_is_the_order_of_the_reference() -> None:
    assert [check.name for check in CHECKS] == [
        "request",
        "host",
        "resource group",
        "version",
        "tenant",
        "origin",
        "protocol",
        "preflight",
        "allow rule",
        "read",
        "embed",
        "navigation",
        "retired version",
        "browser proof",
        "content type",
        "guards",
    ]


SUNSET = 1_811_808_000.0
"""2027-06-01T00:00:00Z."""


def test_a_version_retires_at_the_instant_of_its_sunset() -> None:
    request = ask("GET https://acme.api.example/v3/a", sec_fetch_site="none")
    tokens = {"main": CLERK}
    before, at = (decided(ORDERED, request, tokens, now).reason for now in (SUNSET - 0.001, SUNSET))
    assert (before, at) == (Reason.SAME_ORIGIN, Reason.VERSION_RETIRED)


# --- shadow -------------------------------------------------------------------------------------------------------


def test_shadow_is_the_groups_own_where_a_route_matches_and_the_policys_where_none_does() -> None:
    policy = compiled("""
defaults: {mode: shadow}
resourceGroups:
  watched: {match: [{hosts: [watched.example], paths: ["/a"]}], allow: []}
  strict: {match: [{hosts: [strict.example]}], mode: enforce, allow: []}
""")
    urls = ("watched.example/a", "watched.example/b", "strict.example/", "other.example/")
    shadows = {url: decided(policy, ask(f"POST https://{url}", origin=EVIL)).shadow for url in urls}
    assert shadows == {
        "watched.example/a": True,
        "watched.example/b": True,
        "strict.example/": False,
        "other.example/": True,
    }
    preflights = {url: decided(policy, preflight(f"PUT https://{url}", EVIL)).shadow for url in urls}
    assert preflights == shadows


# --- without facts ------------------------------------------------------------------------------------------------

UNREAD = {
    Reason.REQUEST_MALFORMED: Decision(Outcome.DENY, Reason.REQUEST_MALFORMED, 400, None),
    Reason.POLICY_UNAVAILABLE: Decision(Outcome.ERROR, Reason.POLICY_UNAVAILABLE, 503, None),
    Reason.INTERNAL_ERROR: Decision(Outcome.ERROR, Reason.INTERNAL_ERROR, 503, None),
}


@pytest.mark.parametrize(("reason", "then"), UNREAD.items(), ids=[reason.value for reason in UNREAD])
def test_refuse_unread(reason: Reason, then: Decision) -> None:
    assert refuse_unread(reason) == then


STATUSES = {
    400: {Reason.PATH_AMBIGUOUS, Reason.REQUEST_MALFORMED, Reason.METHOD_OVERRIDE_FORBIDDEN},
    401: {Reason.TOKEN_MISSING, Reason.TOKEN_INVALID, Reason.TOKEN_EXPIRED, Reason.TOKEN_TOO_OLD},
    404: {Reason.VERSION_UNKNOWN},
    410: {Reason.VERSION_RETIRED},
    415: {Reason.CONTENT_TYPE_NOT_ALLOWED},
    421: {Reason.HOST_UNKNOWN},
    503: {Reason.POLICY_UNAVAILABLE, Reason.KEYS_UNAVAILABLE, Reason.AUDIT_UNAVAILABLE, Reason.INTERNAL_ERROR},
}


@pytest.mark.parametrize("reason", Reason, ids=[reason.value for reason in Reason])
def test_every_reason_has_its_status_and_its_words(reason: Reason) -> None:
    status = next((status for status, reasons in STATUSES.items() if reason in reasons), 403)
    assert Objection(reason).status == status
    assert WORDS[reason].title
    assert "{" not in mend_of(Decision(Outcome.DENY, reason, status, None))


MENDED = compiled("""
originGroups:
  web: {origins: ["https://web.example"], trust: high}
guards:
  latest: {versionIn: [v2]}
resourceGroups:
  api:
    match: [{hosts: [api.example], paths: ["/{version}/**"]}]
    versions: {v1: {deprecated: 2026-01-01, sunset: 2030-01-01, successor: v3}, v2: {}, v3: {}}
    allow:
    - {origins: [web], methods: ["*"], versions: [v2, v3]}
  plain:
    match: [{hosts: [plain.example]}]
    allow:
    - {origins: [web], methods: ["*"]}
  guarded:
    match: [{hosts: [guarded.example], paths: ["/{version}/**"]}]
    versions: {v1: {}, v2: {}, v0: {deprecated: 2026-01-01, sunset: 2030-01-01, successor: v2}}
    guards: [latest]
    allow: [{origins: [web], methods: [GET, POST], versions: [v0, v1, v2]}]
  later:
    match: [{hosts: [later.example], paths: ["/{version}/**"]}]
    versions: {v1: {}, v2: {}}
    allow: [{origins: [web], methods: [PUT], versions: [v2]}]
""")
MENDS = {
    "a rule with any method, in another version": (
        ask("POST https://api.example/v1/a", origin=WEB),
        "use a version that the rule of this origin holds for: v2, v3",
    ),
    "a method that no rule may have": (ask("TRACE https://plain.example/", origin=WEB), ""),
    "a method that the rule lacks": (
        ask("PUT https://guarded.example/v1/a", origin=WEB),
        "use a method that the rule of this origin lists: GET, HEAD, POST",
    ),
    "a method that the rule lacks, in another version": (
        ask("POST https://later.example/v1/a", origin=WEB),
        "use a method that the rule of this origin lists: PUT",
    ),
    "an override of a method that the rule lacks": (
        ask("POST https://later.example/v2/a", origin=WEB, x_http_method_override="PUT"),
        "use a method that the rule of this origin lists: PUT",
    ),
    "a guard has other versions, and there is no successor": (
        ask("GET https://guarded.example/v1/a", origin=WEB),
        "use a version that guard `latest` accepts",
    ),
    "a guard has other versions, and there is a successor": (
        ask("GET https://guarded.example/v0/a", origin=WEB),
        "use version v2",
    ),
    "a method in lower case": (ask("post https://plain.example/", origin=WEB), "write the method in upper case: POST"),
    "a method that is no token": (
        ask("a/b https://plain.example/", origin=WEB),
        "send a request with a method and a path",
    ),
    "a method in lower case, and no path": (
        ask("post https://plain.example", origin=WEB),
        "send a request with a method and a path",
    ),
    "CONNECT without a path": (ask("CONNECT https://plain.example"), "send a request with a method and a path"),
}


@pytest.mark.parametrize(("request_", "mend"), MENDS.values(), ids=MENDS)
def test_a_mend_names_what_helps_and_does_not_end_in_nothing(request_: Request, mend: str) -> None:
    assert mend_of(decided(MENDED, request_)) == mend


BY_METHOD = compiled(
    """
    resourceGroups:
      reads:
        match:
        - {hosts: [api.example], methods: [GET]}
        allow: []
      writes:
        match:
        - {hosts: [api.example], methods: [POST, DELETE]}
        allow: []
    """
)

OVERRIDES = {
    "an override within the group is judged as the method it names": (
        ask("POST https://api.example/?_method=DELETE"),
        (Outcome.ALLOW, Reason.NOT_A_BROWSER, 0),
    ),
    "an override into another group is refused: an upstream without overrides would serve the first": (
        ask("GET https://api.example/?_method=DELETE"),
        (Outcome.DENY, Reason.METHOD_OVERRIDE_FORBIDDEN, 400),
    ),
    "a safe override is not believed, and must lead to the same group all the same": (
        ask("POST https://api.example/", x_http_method_override="GET"),
        (Outcome.DENY, Reason.METHOD_OVERRIDE_FORBIDDEN, 400),
    ),
    "a method in another case would run as POST upstream": (
        ask("post https://api.example/"),
        (Outcome.DENY, Reason.REQUEST_MALFORMED, 400),
    ),
    "a method that is no token is none": (
        ask("GET,POST https://api.example/"),
        (Outcome.DENY, Reason.REQUEST_MALFORMED, 400),
    ),
    "an OPTIONS that asks for nothing goes where GET goes": (
        ask("OPTIONS https://api.example/"),
        (Outcome.ALLOW, Reason.NOT_A_BROWSER, 0),
    ),
    "an override to a method that no group serves is refused alike": (
        ask("POST https://api.example/", x_http_method="PUT"),
        (Outcome.DENY, Reason.METHOD_OVERRIDE_FORBIDDEN, 400),
    ),
    "an override of a method that no group serves is refused alike": (
        ask("PUT https://api.example/", x_http_method="POST"),
        (Outcome.DENY, Reason.METHOD_OVERRIDE_FORBIDDEN, 400),
    ),
    "where no group serves either method, there is nothing to choose": (
        ask("PUT https://api.example/", x_http_method="PATCH"),
        (Outcome.DENY, Reason.NO_RESOURCE_GROUP, 403),
    ),
}


@pytest.mark.parametrize(
    "request_", [ask("GET https://internal.example/"), preflight("POST https://internal.example/", WEB)]
)
def test_a_decision_to_let_pass_keeps_the_time_at_which_it_was_made(request_: Request) -> None:
    decision = decided(POLICY, request_, now=7.0)
    assert (decision.outcome in {Outcome.ALLOW, Outcome.PREFLIGHT_ALLOW}, decision.now) == (True, 7.0)


@pytest.mark.parametrize("sentence", OVERRIDES)
def test_an_override_does_not_choose_the_guards(sentence: str) -> None:
    request, then = OVERRIDES[sentence]
    decision = decided(BY_METHOD, request)
    assert (decision.outcome, decision.reason, decision.status) == then
