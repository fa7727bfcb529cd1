"""Answers, whole: every header to the client and to the upstream, every name taken off, and the body."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest

from cors_authz.fetch.request import Request
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Reason
from cors_authz.pdp.readings import TokenReading, TokenState
from cors_authz.pdp.response import Action, Answer, Header, whole
from tests.deciding import DECISION_ID, IDENTITY, NOW, ask, compiled, decided, preflight, token

WEB = "https://web.example"
EVIL = "https://evil.example"

POLICY = compiled(
    IDENTITY
    + """
guards:
  clerk: {anyRole: [clerk], provider: main}
originGroups:
  web: {origins: ["https://web.example"], trust: high, contact: web@example}
  app: {origins: ["https://app.example"], trust: high}
  anyone: {any: true}
resourceGroups:
  cookies:
    match: [{hosts: [cookies.example]}]
    contact: api@example
    docs: https://docs.example/cookies
    allow:
    - origins: [web]
      methods: [GET, POST]
      headers: [content-type, x-a]
      exposeHeaders: [etag, location]
      credentials: [cookie]
      maxAge: 90s
    responseHeaders: {crossOriginResourcePolicy: same-site, timingAllowOrigin: [web, app]}
  tokens:
    match: [{hosts: ["{tenant}.tokens.example"], paths: ["/{version}/**"]}]
    versions:
      v1: {deprecated: 2026-06-01, sunset: 2027-06-01, successor: v2}
      v2: {}
      v3: {deprecated: 2028-01-01}
      v4: {deprecated: 2026-06-01, sunset: 2026-12-01, successor: v2}
    guards: [clerk]
    docs: https://docs.example/tokens
    allow: [{origins: [web], credentials: [bearer]}]
  certificates:
    match: [{hosts: [certificates.example]}]
    allow: [{origins: [web], methods: ["*"], credentials: [mtls], allowPrivateNetwork: true}]
  open:
    match: [{hosts: [open.example]}]
    sensitivity: public
    allow: [{origins: [anyone], exposeHeaders: [etag]}]
  narrowed:
    match: [{hosts: [narrowed.example]}]
    sensitivity: public
    unlisted: {embeds: deny}
    allow: [{origins: [anyone]}]
  mixed:
    match: [{hosts: [mixed.example]}]
    sensitivity: public
    allow: [{origins: [anyone]}, {origins: [web], methods: [GET, PUT]}]
  quiet:
    match: [{hosts: [quiet.example]}]
    mode: shadow
    allow: [{origins: [web]}]
"""
)

ORIGIN = "access-control-allow-origin"
CREDENTIALS = Header("access-control-allow-credentials", "true")
EXPOSED = Header("access-control-expose-headers", "etag,location")
ID = Header("x-cors-authz-decision-id", DECISION_ID)
NO_STORE = Header("cache-control", "no-store")
JSON = Header("content-type", "application/json")
PROBLEM = Header("content-type", "application/problem+json")
PREFLIGHT_VARY = Header("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers", Action.APPEND)
VARY = Header("vary", "Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest", Action.APPEND)
VARY_OF_TOKENS = Header("vary", "Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest, Authorization", Action.APPEND)
PRIVATE = Header("cache-control", "private", Action.ADD_IF_ABSENT)
CORP = Header("cross-origin-resource-policy", "same-site")
TIMING = Header("timing-allow-origin", "https://web.example, https://app.example")
TOLD = ("x-cors-authz-origin-group", "x-cors-authz-tenant", "x-cors-authz-api-version", "x-cors-authz-roles")


def blanks(*granted: str) -> tuple[Header, ...]:
    """Blank what an upstream could grant by itself, but for what is granted."""
    words = (
        "allow-origin",
        "allow-credentials",
        "expose-headers",
        "allow-methods",
        "allow-headers",
        "max-age",
        "allow-private-network",
    )
    return tuple(
        Header(f"access-control-{word}", "", Action.OVERWRITE_IF_EXISTS) for word in words if word not in granted
    )


def echo(origin: str = WEB) -> Header:
    return Header(ORIGIN, origin)


def problem(reason: str, title: str, status: int, detail: str, **more: str) -> str:
    document = {"type": f"urn:cors-authz:reason:{reason}", "title": title, "status": status, "detail": detail}
    return json.dumps({**document, "decision_id": DECISION_ID, "reason": reason, **more})


SILENT = json.dumps({"decision_id": DECISION_ID})


class Case(NamedTuple):
    """A request, the token of `main`, and the whole answer."""

    request: Request
    then: Answer
    reading: TokenReading = TokenReading(TokenState.MISSING, {})


CLERK = token(roles=["clerk", "shop keeper, chief"])

CASES = {
    "a rule with cookies": Case(
        ask("POST https://cookies.example/", origin=WEB),
        Answer(
            to_client=(
                CREDENTIALS,
                EXPOSED,
                *blanks("allow-origin", "allow-credentials", "expose-headers"),
                VARY,
                CORP,
                TIMING,
                ID,
                echo(),
            ),
            to_upstream=(ID, Header("x-cors-authz-origin-group", "web")),
            removed=("authorization", *TOLD[1:]),
        ),
    ),
    "its own page": Case(
        ask("POST https://cookies.example/", sec_fetch_site="same-origin"),
        Answer((*blanks(), VARY, CORP, TIMING, ID), (ID,), TOLD),
    ),
    "a read of an unlisted origin": Case(
        ask("GET https://cookies.example/", origin=EVIL),
        Answer((*blanks(), VARY, CORP, TIMING, ID), (ID,), ("cookie", "authorization", *TOLD)),
    ),
    "a cross-site read without an origin": Case(
        ask("GET https://cookies.example/", sec_fetch_site="cross-site", sec_fetch_mode="cors"),
        Answer((*blanks(), VARY, CORP, TIMING, ID), (ID,), ("cookie", "authorization", *TOLD)),
    ),
    "names that pretend to be ours are taken off": Case(
        ask("GET https://cookies.example/")._replace(
            spoofed=("x-cors-authz-tenant", "x_cors_authz_tenant", "x-cors-authz-decision-id", "x-cors-authz-new")
        ),
        Answer((*blanks(), VARY, CORP, TIMING, ID), (ID,), (*TOLD, "x_cors_authz_tenant", "x-cors-authz-new")),
    ),
    "names that pretend to be ours are overwritten": Case(
        ask("POST https://cookies.example/", origin=WEB)._replace(spoofed=("x-cors-authz-origin-group",)),
        Answer(
            to_client=(
                CREDENTIALS,
                EXPOSED,
                *blanks("allow-origin", "allow-credentials", "expose-headers"),
                VARY,
                CORP,
                TIMING,
                ID,
                echo(),
            ),
            to_upstream=(ID, Header("x-cors-authz-origin-group", "web")),
            removed=("authorization", *TOLD[1:]),
        ),
    ),
    "a token, a tenant and a version on its way out": Case(
        ask("GET https://acme.tokens.example/v1/a;x=1/%c3%a9'", origin=WEB),
        Answer(
            to_client=(
                *blanks("allow-origin"),
                VARY_OF_TOKENS,
                PRIVATE,
                ID,
                echo(),
                Header("deprecation", "@1780272000"),
                Header("sunset", "Tue, 01 Jun 2027 00:00:00 GMT"),
                Header("link", '</v2/a/%C3%A9%27>; rel="successor-version"', Action.APPEND),
            ),
            to_upstream=(
                ID,
                Header("x-cors-authz-origin-group", "web"),
                Header("x-cors-authz-tenant", "acme"),
                Header("x-cors-authz-api-version", "v1"),
                Header("x-cors-authz-roles", "clerk,shop%20keeper%2C%20chief"),
            ),
            removed=("cookie",),
        ),
        CLERK,
    ),
    "a version that will be on its way out": Case(
        ask("GET https://acme.tokens.example/v3/a"),
        Answer(
            to_client=(*blanks(), VARY_OF_TOKENS, PRIVATE, ID),
            to_upstream=(
                ID,
                Header("x-cors-authz-tenant", "acme"),
                Header("x-cors-authz-api-version", "v3"),
                Header("x-cors-authz-roles", "clerk,shop%20keeper%2C%20chief"),
            ),
            removed=("x-cors-authz-origin-group",),
        ),
        CLERK,
    ),
    "a retired version, to a listed origin": Case(
        ask("GET https://acme.tokens.example/v4/a", origin=WEB),
        Answer(
            to_client=(
                VARY_OF_TOKENS,
                NO_STORE,
                PROBLEM,
                ID,
                echo(),
                Header("deprecation", "@1780272000"),
                Header("link", '</v2/a>; rel="successor-version"', Action.APPEND),
            ),
            body=problem(
                "version_retired",
                "the API version has been retired",
                410,
                "use version v2",
                docs="https://docs.example/tokens",
            ),
        ),
        CLERK,
    ),
    "a retired version, to no browser": Case(
        ask("GET https://acme.tokens.example/v4/a"),
        Answer((VARY_OF_TOKENS, NO_STORE, JSON, ID), body=SILENT),
        CLERK,
    ),
    "no token, to a listed origin": Case(
        ask("GET https://acme.tokens.example/v2/a", origin=WEB),
        Answer(
            (VARY_OF_TOKENS, NO_STORE, PROBLEM, Header("www-authenticate", "Bearer"), ID, echo()),
            body=problem(
                "token_missing",
                "a token is needed",
                401,
                "sign in, and send the token as `Authorization: Bearer`",
                docs="https://docs.example/tokens",
            ),
        ),
    ),
    "an expired token, to no browser": Case(
        ask("GET https://acme.tokens.example/v2/a"),
        Answer(
            (VARY_OF_TOKENS, NO_STORE, JSON, Header("www-authenticate", 'Bearer error="invalid_token"'), ID),
            body=SILENT,
        ),
        TokenReading(TokenState.EXPIRED, {}),
    ),
    "a fault of ours, to a listed origin": Case(
        ask("GET https://acme.tokens.example/v2/a", origin=WEB),
        Answer(
            (VARY_OF_TOKENS, NO_STORE, PROBLEM, Header("retry-after", "1"), ID, echo()),
            body=problem(
                "keys_unavailable",
                "the keys of the issuer cannot be had",
                503,
                "try again shortly",
                docs="https://docs.example/tokens",
            ),
        ),
        TokenReading(TokenState.UNAVAILABLE, {}),
    ),
    "a listed origin with another method": Case(
        ask("DELETE https://cookies.example/", origin=WEB),
        Answer(
            (CREDENTIALS, EXPOSED, VARY, NO_STORE, PROBLEM, ID, echo()),
            body=problem(
                "method_not_allowed",
                "the origin may not use this method here, or not in this version",
                403,
                "use a method that the rule of this origin lists: GET, HEAD, POST",
                docs="https://docs.example/cookies",
                contact="api@example",
            ),
        ),
    ),
    "an unlisted origin": Case(
        ask("POST https://cookies.example/", origin=EVIL), Answer((VARY, NO_STORE, JSON, ID), body=SILENT)
    ),
    "a malformed origin": Case(
        ask("POST https://cookies.example/", origin="x\r\ny"), Answer((VARY, NO_STORE, JSON, ID), body=SILENT)
    ),
    "an unknown host": Case(
        ask("GET https://other.example/", origin=WEB),
        Answer((Header("vary", "Origin", Action.APPEND), NO_STORE, JSON, ID), body=SILENT),
    ),
    "a preflight": Case(
        preflight("POST https://cookies.example/", WEB, "x-a", "Content-Type"),
        Answer(
            (
                CREDENTIALS,
                Header("access-control-max-age", "90"),
                PREFLIGHT_VARY,
                ID,
                echo(),
                Header("access-control-allow-methods", "POST"),
                Header("access-control-allow-headers", "x-a,content-type"),
            )
        ),
    ),
    "a preflight without headers": Case(
        preflight("GET https://acme.tokens.example/v2/a", WEB),
        Answer(
            (
                Header("access-control-max-age", "600"),
                PREFLIGHT_VARY,
                ID,
                echo(),
                Header("access-control-allow-methods", "GET"),
            )
        ),
    ),
    "a preflight of a private network": Case(
        preflight("PURGE https://certificates.example/", WEB, access_control_request_private_network="true"),
        Answer(
            (
                CREDENTIALS,
                Header("access-control-max-age", "600"),
                PREFLIGHT_VARY,
                ID,
                echo(),
                Header("access-control-allow-methods", "PURGE"),
                Header("access-control-allow-private-network", "true"),
            )
        ),
    ),
    "a preflight of a private network that does not say true": Case(
        preflight("GET https://certificates.example/", WEB, access_control_request_private_network="1"),
        Answer(
            (
                CREDENTIALS,
                Header("access-control-max-age", "600"),
                PREFLIGHT_VARY,
                ID,
                echo(),
                Header("access-control-allow-methods", "GET"),
            )
        ),
    ),
    "a preflight of a private network that no rule opens": Case(
        preflight("GET https://open.example/", EVIL, access_control_request_private_network="true"),
        Answer(
            (
                echo("*"),
                Header("access-control-max-age", "600"),
                PREFLIGHT_VARY,
                ID,
                Header("access-control-allow-methods", "GET"),
            )
        ),
    ),
    "a refused preflight": Case(
        preflight("DELETE https://cookies.example/", WEB), Answer((PREFLIGHT_VARY, NO_STORE, ID))
    ),
    "a certificate": Case(
        ask("GET https://certificates.example/", origin=WEB),
        Answer(
            (CREDENTIALS, *blanks("allow-origin", "allow-credentials"), VARY, ID, echo()),
            (ID, Header("x-cors-authz-origin-group", "web")),
            ("cookie", "authorization", *TOLD[1:]),
        ),
    ),
    "an open group to anyone": Case(
        ask("GET https://open.example/", origin=EVIL),
        Answer(
            (
                echo("*"),
                Header("access-control-expose-headers", "etag"),
                *blanks("allow-origin", "expose-headers"),
                ID,
            ),
            (ID, Header("x-cors-authz-origin-group", "anyone")),
            ("cookie", "authorization", *TOLD[1:]),
        ),
    ),
    "an open group to no browser, as a cache will hand it on": Case(
        ask("GET https://open.example/"),
        Answer(
            (
                echo("*"),
                Header("access-control-expose-headers", "etag"),
                *blanks("allow-origin", "expose-headers"),
                ID,
            ),
            (ID,),
            TOLD,
        ),
    ),
    "an open group refuses a write": Case(
        ask("POST https://open.example/", sec_fetch_site="cross-site"),
        Answer((NO_STORE, JSON, ID), body=SILENT),
    ),
    "a group whose answers depend on the site, to anyone": Case(
        ask("GET https://narrowed.example/", origin=EVIL),
        Answer(
            (echo("*"), *blanks("allow-origin"), VARY, ID),
            (ID, Header("x-cors-authz-origin-group", "anyone")),
            ("cookie", "authorization", *TOLD[1:]),
        ),
    ),
    "a group whose answers depend on the site, to no browser": Case(
        ask("GET https://narrowed.example/"), Answer((*blanks(), VARY, ID), (ID,), TOLD)
    ),
    "any beside listed origins is echoed": Case(
        ask("GET https://mixed.example/", origin=EVIL),
        Answer(
            (
                *blanks("allow-origin"),
                Header("vary", "Origin, Sec-Fetch-Site", Action.APPEND),
                ID,
                echo(EVIL),
            ),
            (ID, Header("x-cors-authz-origin-group", "anyone")),
            ("cookie", "authorization", *TOLD[1:]),
        ),
    ),
    "shadow touches nothing": Case(ask("GET https://quiet.example/", origin=WEB), Answer()),
    "in shadow only what pretends to be ours is taken off": Case(
        ask("GET https://quiet.example/", origin=WEB)._replace(
            spoofed=("x-cors-authz-tenant", "x_cors_authz_roles", "x-cors-authz-new")
        ),
        Answer(removed=("x-cors-authz-tenant", "x_cors_authz_roles", "x-cors-authz-new")),
    ),
    "in shadow that is so where it would refuse": Case(
        ask("POST https://quiet.example/", origin=EVIL)._replace(spoofed=("x-cors-authz-decision-id",)),
        Answer(removed=("x-cors-authz-decision-id",)),
    ),
    "in shadow that is so on a preflight": Case(
        preflight("PUT https://quiet.example/", WEB)._replace(spoofed=("x-cors-authz-roles",)),
        Answer(removed=("x-cors-authz-roles",)),
    ),
    "shadow touches nothing where it would refuse": Case(ask("POST https://quiet.example/", origin=EVIL), Answer()),
    "shadow touches no preflight": Case(preflight("GET https://quiet.example/", WEB), Answer()),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_whole_answer(case: Case) -> None:
    assert whole(decided(POLICY, case.request, {"main": case.reading}), DECISION_ID) == case.then


def test_without_facts_an_answer_says_no_more_than_that_it_refuses() -> None:
    vary = Header("vary", "Origin", Action.APPEND)
    assert whole(refuse_unread(Reason.REQUEST_MALFORMED), DECISION_ID) == Answer(
        (vary, NO_STORE, JSON, ID), body=SILENT
    )
    assert whole(refuse_unread(Reason.INTERNAL_ERROR), DECISION_ID) == Answer(
        (vary, NO_STORE, JSON, Header("retry-after", "1"), ID), body=SILENT
    )


ROLES = {
    "what breaks a list is encoded": (["a,b", "c\r\nd"], "a%2Cb,c%0D%0Ad"),
    "what roles are made of is not": (["urn:a/b@c+d.e-f_g~h"], "urn:a/b@c+d.e-f_g~h"),
    "half a character is encoded": (["\ud800"], "%ED%A0%80"),
    "as many as fit": (["a" * 4090], "a" * 4090),
    "more are not told at all": (["a" * 4091], None),
}


@pytest.mark.parametrize(("roles", "then"), ROLES.values(), ids=ROLES)
def test_roles_to_the_upstream(roles: list[str], then: str | None) -> None:
    request = ask("GET https://acme.tokens.example/v2/a")
    answer = whole(decided(POLICY, request, {"main": token(roles=["clerk", *roles])}), DECISION_ID)
    told = {header.name: header.value for header in answer.to_upstream}
    assert told.get("x-cors-authz-roles") == (None if then is None else f"clerk,{then}")
    assert ("x-cors-authz-roles" in answer.removed) is (then is None)


def test_an_announcement_begins_at_its_instant() -> None:
    deprecated = 1_780_272_000.0
    request = ask("GET https://acme.tokens.example/v1/a")
    at, before = (
        {header.name for header in whole(decided(POLICY, request, {"main": CLERK}, now), DECISION_ID).to_client}
        for now in (deprecated, deprecated - 1)
    )
    assert at - before == {"deprecation", "sunset", "link"}


def test_a_sunset_is_announced_until_its_instant() -> None:
    sunset = 1_780_272_000.0 + 365 * 86_400
    request = ask("DELETE https://acme.tokens.example/v1/a", origin=WEB)
    at, before = (
        {header.name for header in whole(decided(POLICY, request, {"main": CLERK}, now), DECISION_ID).to_client}
        for now in (sunset, sunset - 1)
    )
    assert before - at == {"sunset"}
    assert {"deprecation", "link"} <= at


def test_a_sunset_without_a_deprecation_is_announced_at_once() -> None:
    policy = compiled("""
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    versions: {v1: {sunset: 2027-06-01, successor: v2}, v2: {}}
    versionFrom: {query: v}
    docs: https://docs.example/api
    allow: []
""")
    answer = whole(decided(policy, ask("GET https://api.example/?v=v1"), now=NOW - 1e8), DECISION_ID)
    assert answer.to_client[-2:] == (
        Header("sunset", "Tue, 01 Jun 2027 00:00:00 GMT"),
        Header("link", '<https://docs.example/api>; rel="deprecation"', Action.APPEND),
    )
