"""What an explanation says: of each check, of each header, and of what a browser makes of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent
from typing import Final, NamedTuple

import pytest

from cors_authz.fetch.request import Request, spoofed_names
from cors_authz.pdp.claims import verified
from cors_authz.pdp.decide import CHECKS
from cors_authz.pdp.explain import Explanation, explain
from cors_authz.pdp.match import match
from cors_authz.pdp.readings import Readings, TokenReading, TokenState
from cors_authz.pdp.steps import Step, Verdict
from cors_authz.policy.compiled import CompiledPolicy
from cors_authz.policy.document import Source
from cors_authz.policy.load import load_policy
from tests.deciding import ask, compiled

POLICY_TEXT: Final = dedent(
    """\
    apiVersion: cors-authz/v1
    kind: PolicyBundle
    metadata: {name: shop}
    identity:
      jwt:
        main: {issuer: "https://id.shop.example", audiences: [shop], keys: {jwksFile: /keys.json}, algorithms: [ES256]}
      mtls: {trustDomains: [mesh.example]}
    tenants: {claim: tid}
    originGroups:
      web:      {origins: ["https://shop.example"], trust: high, contact: web@shop.example}
      partner:  {origins: ["https://partner.example"], trust: medium, contact: p@shop.example}
      previews: {origins: ["https://pr-{digits}.shop.example"]}
      anyone:   {any: true}
    guards:
      clerk:   {anyRole: [clerk, manager], description: staff only}
      fresh:   {tokenAgeAtMost: 10m}
      office:  {sourceIn: [10.0.0.0/8]}
      batch:   {principalIn: ["spiffe://mesh.example/batch/*"]}
      either:  {anyOf: [clerk, batch]}
      keyed:   {header: {name: x-key, equals: s3cret}}
      current-now: {versionIn: [v2], phase: both}
    resourceGroups:
      orders:
        match:
        - {hosts: [api.shop.example], paths: ["/{version}/orders/**"]}
        versions: {v1: {deprecated: 2026-06-01, sunset: 2026-12-31, successor: v2}, v2: {}}
        guards: [clerk, fresh]
        browserOnly: true
        allow:
        - origins: [web]
          methods: [GET, POST]
          headers: [content-type]
          exposeHeaders: [location]
          credentials: [bearer]
          contentTypes: [application/json]
          description: the shop's own pages
        - {origins: [partner], methods: [GET], versions: [v2], credentials: [bearer]}
      account:
        match:
        - {hosts: [api.shop.example], paths: ["/account"]}
        unlisted: {reads: deny, embeds: deny, navigations: deny}
        guards: [office, keyed]
        allow:
        - {origins: [web], methods: [GET, PUT], credentials: [cookie]}
      jobs:
        match:
        - {hosts: [api.shop.example], paths: ["/jobs"]}
        guards: [either]
        allow: []
      shop:
        match:
        - {hosts: ["{tenant}.tenants.shop.example"]}
        guards: [clerk]
        allow: []
      assets:
        match:
        - {hosts: [cdn.shop.example]}
        sensitivity: public
        allow:
        - {origins: [anyone], exposeHeaders: [etag]}
      trial:
        match:
        - {hosts: [trial.shop.example]}
        mode: shadow
        allow: []
      gate:
        match:
        - {hosts: [gate.shop.example], paths: ["/{version}/**"]}
        versions: {v1: {}, v2: {}}
        guards: [current-now]
        allow:
        - {origins: [web]}
    """
)


@pytest.fixture(scope="module")
def policy() -> CompiledPolicy:
    return load_policy([Source("p.yaml", POLICY_TEXT.encode())], "prod").policy


NOW: Final = 1_790_000_000.0
WEB: Final = "https://shop.example"


class Asked(NamedTuple):
    """A request: method, URL without its scheme, headers, and what else Envoy and the token say."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    source: str = ""
    principal: str = ""
    claims: Mapping[str, object] | None = None
    token: TokenState = TokenState.MISSING


def explained(asked: Asked, policy: CompiledPolicy, now: float = NOW) -> Explanation:
    host, slash, path = asked.url.partition("/")
    request = Request(
        asked.method,
        "https",
        host,
        slash + path,
        asked.headers,
        asked.source,
        asked.principal,
        spoofed=spoofed_names(asked.headers),
    )
    token = TokenReading(asked.token, {}, "the reader says why")
    if asked.claims is not None:
        token = verified(asked.claims, policy.providers["main"].roles)
    return explain(match(request, policy), Readings(now, {"main": token}))


def preflight(method: str, headers: str = "", origin: str = WEB) -> dict[str, str]:
    asked = {"origin": origin, "access-control-request-method": method, "access-control-request-headers": headers}
    return {name: value for name, value in asked.items() if value}


def line_of(text: str) -> int:
    """The line of the policy on which a text stands."""
    return next(at for at, line in enumerate(POLICY_TEXT.splitlines(), 1) if text in line)


class Said(NamedTuple):
    """A request, one of its checks, and what is said of it: verdict, sentence, the line of the policy."""

    asked: Asked
    check: str
    verdict: Verdict
    sentence: str
    line: str = ""


PASSES, OBJECTS, NOT_ASKED = Verdict.PASSES, Verdict.OBJECTS, Verdict.NOT_ASKED
ORDER: Final = Asked("GET", "api.shop.example/v2/orders/7", {"origin": WEB})
RULE: Final = "rule `orders/1` (the shop's own pages)"
CURL: Final = Asked("POST", "api.shop.example/v2/orders/7")
CROSS: Final = {"sec-fetch-site": "cross-site"}

SAYINGS: Final = {
    "a plain request": Said(ORDER, "request", PASSES, "`GET /v2/orders/7` can be read in one way only"),
    "an overriding method": Said(
        ORDER._replace(headers={"x-http-method-override": "delete"}),
        "request",
        PASSES,
        "`GET /v2/orders/7` can be read in one way only, and its override runs as `DELETE`",
    ),
    "an ambiguous path": Said(
        ORDER._replace(url="api.shop.example/a//b"), "request", OBJECTS, "path `/a//b` can be read in two ways"
    ),
    "an encoded slash": Said(
        ORDER._replace(url="api.shop.example/v2/orders/a%2Fb"),
        "request",
        OBJECTS,
        "path `/v2/orders/a%2Fb` holds an encoded slash or semicolon",
        "orders:",
    ),
    "a forbidden override": Said(
        ORDER._replace(headers={"x-http-method-override": "TRACE"}),
        "request",
        OBJECTS,
        "the method override names no method that may run, two that differ, or another group's",
    ),
    "a method in lower case, and no path": Said(
        Asked("get", "api.shop.example"),
        "request",
        OBJECTS,
        "the request has no path, or no method that is written as one",
    ),
    "a method in lower case": Said(
        ORDER._replace(method="post"),
        "request",
        OBJECTS,
        "method `post` is none: it is written `POST`, and an upstream may run it as that",
    ),
    "no path": Said(
        ORDER._replace(url="api.shop.example"),
        "request",
        OBJECTS,
        "the request has no path, or no method that is written as one",
    ),
    "a listed host": Said(ORDER, "host", PASSES, "host `api.shop.example` is listed", '["/{version}/orders/**"]'),
    "an unlisted host": Said(
        ORDER._replace(url="evil.example/"), "host", OBJECTS, "host `evil.example` is listed by no resource group"
    ),
    "no host name": Said(ORDER._replace(url="a b/"), "host", OBJECTS, "host `a b` is no host name"),
    "a route": Said(
        ORDER,
        "resource group",
        PASSES,
        "host `api.shop.example` and path `/v2/orders/7` belong to `orders` by `api.shop.example/{version}/orders/**`",
        '["/{version}/orders/**"]',
    ),
    "no route": Said(
        ORDER._replace(url="api.shop.example/else"),
        "resource group",
        OBJECTS,
        "no entry for host `api.shop.example` covers `GET /else`",
    ),
    "a served version": Said(ORDER, "version", PASSES, "version `v2` is served", "orders:"),
    "an unknown version": Said(
        ORDER._replace(url="api.shop.example/v9/orders/7"),
        "version",
        OBJECTS,
        "version `v9` is not served; `orders` serves `v1`, `v2`",
        "orders:",
    ),
    "no versions": Said(ORDER._replace(url="api.shop.example/jobs"), "version", PASSES, "`jobs` has no versions"),
    "a tenant": Said(
        Asked("GET", "acme.tenants.shop.example/", claims={"tid": "acme"}),
        "tenant",
        PASSES,
        "the tenant is `acme`, and no token's `tid` says otherwise",
    ),
    "another tenant": Said(
        Asked("GET", "acme.tenants.shop.example/", claims={"tid": "globex"}),
        "tenant",
        OBJECTS,
        "the tenant is `acme`, and claim `tid` of the token names another, or none",
    ),
    "a tenant without keys": Said(
        Asked("GET", "acme.tenants.shop.example/", token=TokenState.UNAVAILABLE),
        "tenant",
        OBJECTS,
        "the tenant is `acme`, and there are no keys to read claim `tid` of the token with",
    ),
    "no tenant": Said(ORDER, "tenant", PASSES, "the request is for no tenant"),
    "an origin": Said(ORDER, "origin", PASSES, "`https://shop.example` is written as browsers write it"),
    "no origin": Said(CURL, "origin", PASSES, "the request names no origin"),
    "the own origin": Said(
        ORDER._replace(headers={"origin": "https://api.shop.example"}),
        "origin",
        PASSES,
        "`https://api.shop.example` is the request's own origin",
    ),
    "a malformed origin": Said(
        ORDER._replace(headers={"origin": "https://shop.example/"}),
        "origin",
        OBJECTS,
        "`https://shop.example/` is not an origin as browsers write it",
    ),
    "a served protocol": Said(ORDER, "protocol", PASSES, "protocol `http` is served", "orders:"),
    "a protocol that is not served": Said(
        ORDER._replace(headers={"upgrade": "websocket"}),
        "protocol",
        OBJECTS,
        "protocol `websocket` is not served; `orders` serves `http`",
        "orders:",
    ),
    "a granted preflight": Said(
        Asked("OPTIONS", ORDER.url, preflight("POST", "content-type")),
        "preflight",
        PASSES,
        f"{RULE} grants `POST` with `content-type`",
        "- origins: [web]",
    ),
    "a preflight for a method": Said(
        Asked("OPTIONS", ORDER.url, preflight("DELETE")),
        "preflight",
        OBJECTS,
        f"{RULE} does not admit method `DELETE`",
        "- origins: [web]",
    ),
    "a preflight for headers": Said(
        Asked("OPTIONS", ORDER.url, preflight("POST", "content-type,x-b,x-a")),
        "preflight",
        OBJECTS,
        f"{RULE} does not grant `x-a`, `x-b`",
        "- origins: [web]",
    ),
    "a preflight that cannot be read": Said(
        Asked("OPTIONS", ORDER.url, preflight("POST", "a b")),
        "preflight",
        OBJECTS,
        "Access-Control-Request-Headers is not a list of names, or too long",
    ),
    "a preflight of a stranger": Said(
        Asked("OPTIONS", "api.shop.example/jobs", preflight("GET", origin="https://evil.example")),
        "preflight",
        OBJECTS,
        "no rule of `jobs` has `https://evil.example`",
        "jobs:",
    ),
    "a preflight hides the protocol": Said(
        Asked("OPTIONS", ORDER.url, preflight("POST")), "protocol", PASSES, "a preflight does not show the protocol"
    ),
    "no preflight": Said(ORDER, "preflight", PASSES, "the request is no preflight"),
    "a deciding rule": Said(ORDER, "allow rule", PASSES, f"{RULE} decides", "- origins: [web]"),
    "a method beyond the rule": Said(
        ORDER._replace(method="DELETE"),
        "allow rule",
        OBJECTS,
        f"{RULE} does not admit method `DELETE`",
        "- origins: [web]",
    ),
    "a version beyond the rule": Said(
        Asked("POST", "api.shop.example/v1/orders/7", {"origin": "https://partner.example"}),
        "allow rule",
        OBJECTS,
        "rule `orders/2` does not admit method `POST` in version `v1`",
        "- {origins: [partner]",
    ),
    "a group that no rule names": Said(
        Asked("POST", "api.shop.example/jobs", {"origin": "https://pr-7.shop.example"}),
        "allow rule",
        OBJECTS,
        "`https://pr-7.shop.example` is in origin group `previews`, which no rule of `jobs` names",
        "jobs:",
    ),
    "the opaque origin": Said(
        Asked("GET", "api.shop.example/jobs", {"origin": "null"}),
        "allow rule",
        OBJECTS,
        "no rule of `jobs` has the opaque origin `null`",
        "jobs:",
    ),
    "a cross-site write without an origin": Said(
        Asked("POST", "api.shop.example/jobs", CROSS),
        "allow rule",
        OBJECTS,
        "a cross-site request without an origin is in no origin group",
        "jobs:",
    ),
    "a forwarded read": Said(
        Asked("GET", "api.shop.example/jobs", {"origin": "https://evil.example"}),
        "allow rule",
        PASSES,
        "no rule admits `https://evil.example`; `jobs` lets such reads go on",
        "jobs:",
    ),
    "no other origin": Said(CURL, "allow rule", PASSES, "the request is not from a browser"),
    "an unlisted read that goes on": Said(
        Asked("GET", "api.shop.example/jobs", {**CROSS, "sec-fetch-mode": "cors"}),
        "read",
        PASSES,
        "the request is a cross-site read without an origin; `jobs` lets unlisted reads go on",
        "jobs:",
    ),
    "an unlisted read that is refused": Said(
        Asked("GET", "api.shop.example/account", {**CROSS, "sec-fetch-mode": "cors"}),
        "read",
        OBJECTS,
        "the request is a cross-site read without an origin; `account` refuses unlisted reads",
        "account:",
    ),
    "an embed that is refused": Said(
        Asked("GET", "api.shop.example/jobs", {**CROSS, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}),
        "embed",
        OBJECTS,
        "the request is embedded by another site (cross-site), and `jobs` refuses it (`same-site`)",
        "jobs:",
    ),
    "a sibling's embed": Said(
        Asked("GET", "api.shop.example/jobs", {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}),
        "embed",
        PASSES,
        "the request is embedded by another site (same-site), and `jobs` takes it (`same-site`)",
        "jobs:",
    ),
    "no embed": Said(ORDER, "embed", PASSES, "the request is from another origin"),
    "no navigation": Said(ORDER, "navigation", PASSES, "the request is from another origin"),
    "a navigation that is refused": Said(
        Asked("GET", "api.shop.example/account", {**CROSS, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}),
        "navigation",
        OBJECTS,
        "the request is a navigation from another site (cross-site), and `account` refuses it (`deny`)",
        "account:",
    ),
    "a version that will retire": Said(
        Asked("GET", "api.shop.example/v1/orders/7", {"origin": WEB}),
        "retired version",
        PASSES,
        "version `v1` retires at 2026-12-31T00:00:00Z",
        "orders:",
    ),
    "a version without a sunset": Said(ORDER, "retired version", PASSES, "version `v2` has no sunset", "orders:"),
    "a retired version's preflight": Said(
        Asked("OPTIONS", ORDER.url, preflight("POST")),
        "retired version",
        PASSES,
        "a preflight passes a retired version",
    ),
    "a write without a browser": Said(
        CURL,
        "browser proof",
        OBJECTS,
        "`POST` carries neither Origin nor Sec-Fetch-Site, and only browsers may write to `orders`",
        "orders:",
    ),
    "a read without a browser": Said(
        CURL._replace(method="GET"), "browser proof", PASSES, "`GET` needs no proof of a browser", "orders:"
    ),
    "a group for all callers": Said(
        CURL._replace(url="api.shop.example/jobs"),
        "browser proof",
        PASSES,
        "`jobs` serves other callers than browsers too",
        "jobs:",
    ),
    "a body of a listed type": Said(
        ORDER._replace(method="POST", headers={"origin": WEB, "content-type": "application/json"}),
        "content type",
        PASSES,
        f"{RULE} takes a body of type `application/json`; its types are `application/json`",
        "- origins: [web]",
    ),
    "a body of another type": Said(
        ORDER._replace(method="POST", headers={"origin": WEB, "content-type": "text/plain"}),
        "content type",
        OBJECTS,
        f"{RULE} does not take a body of type `text/plain`; its types are `application/json`",
        "- origins: [web]",
    ),
    "a body without a type": Said(
        ORDER._replace(method="POST"),
        "content type",
        OBJECTS,
        f"{RULE} does not take a request without a content type; its types are `application/json`",
        "- origins: [web]",
    ),
    "what comes after an objection": Said(
        ORDER._replace(url="evil.example/"), "guards", NOT_ASKED, "`host` objected first"
    ),
    "a guard that does not hold": Said(ORDER, "guards", OBJECTS, "guard `clerk` does not hold", "clerk:"),
    "no guards": Said(Asked("GET", "cdn.shop.example/x"), "guards", PASSES, "there are no guards"),
}


@pytest.mark.parametrize("case", SAYINGS.values(), ids=SAYINGS)
def test_a_check_says_what_it_saw(case: Said, policy: CompiledPolicy) -> None:
    step = next(step for step in explained(case.asked, policy).steps if step.name == case.check)
    line = line_of(case.line) if case.line else None
    said = (step.verdict, step.sentence, step.place.line if step.place else None)
    assert said == (case.verdict, case.sentence, line)


def test_a_retired_version_names_its_successor(policy: CompiledPolicy) -> None:
    request = Request("GET", "https", "api.shop.example", "/v1/orders/7", {"origin": WEB})
    late = Readings(1_800_000_000.0, {})
    step = next(step for step in explain(match(request, policy), late).steps if step.name == "retired version")
    assert step.sentence == "version `v1` was retired at 2026-12-31T00:00:00Z; its successor is `v2`"


def test_every_check_can_be_told() -> None:
    said = {case.check for case in SAYINGS.values()}
    assert said == {check.name for check in CHECKS}


def flat(steps: tuple[Step, ...], depth: int = 0) -> list[tuple[int, str, Verdict, str]]:
    rows = []
    for step in steps:
        rows += [(depth, step.name, step.verdict, step.sentence), *flat(step.steps, depth + 1)]
    return rows


ROLES: Final = "the token has one of the roles `clerk`, `manager`"
AGE: Final = "the token was issued at most 600 s ago"
PRINCIPAL: Final = "the certificate names one of `spiffe://mesh.example/batch/*`"
OFFICE: Final = "the client's address is in `10.0.0.0/8`"
EITHER: Final = "one of the guards `batch`, `clerk` holds"
UNGRANTED: Final = "the credential that carries the token of `main` is not granted, so it counts as not sent"
KEYED: Final = "request header `x-key` is `s3cret`"

GUARDS: Final = {
    "all hold": (
        ORDER._replace(claims={"roles": ["clerk"], "iat": NOW - 600}),
        [
            (0, "guard `clerk`", PASSES, f"{ROLES}: it holds (staff only)"),
            (0, "guard `fresh`", PASSES, f"{AGE}: it holds"),
        ],
    ),
    "the second does not hold": (
        ORDER._replace(claims={"roles": ["clerk"], "iat": NOW - 601}),
        [
            (0, "guard `clerk`", PASSES, f"{ROLES}: it holds (staff only)"),
            (0, "guard `fresh`", OBJECTS, f"{AGE}: it does not hold"),
        ],
    ),
    "the first does not hold": (
        ORDER._replace(token=TokenState.EXPIRED),
        [
            (
                0,
                "guard `clerk`",
                OBJECTS,
                f"{ROLES}: it does not hold, the token of `main` is expired: the reader says why (staff only)",
            ),
            (0, "guard `fresh`", NOT_ASKED, "guard `clerk` objected first"),
        ],
    ),
    "a preflight is asked nothing that it cannot show": (
        Asked("OPTIONS", ORDER.url, preflight("GET")),
        [
            (0, "guard `clerk`", NOT_ASKED, f"asked on the actual request, not on its preflight: {ROLES} (staff only)"),
            (0, "guard `fresh`", NOT_ASKED, f"asked on the actual request, not on its preflight: {AGE}"),
        ],
    ),
    "a credential that is not granted": (
        Asked("GET", "api.shop.example/jobs", {"origin": "https://evil.example"}),
        [
            (
                0,
                "guard `either`",
                OBJECTS,
                f"{EITHER}: it does not hold",
            ),
            (
                1,
                "guard `clerk`",
                OBJECTS,
                f"{ROLES}: it does not hold, {UNGRANTED} (staff only)",
            ),
            (1, "guard `batch`", OBJECTS, f"{PRINCIPAL}: it does not hold, no certificate is known"),
        ],
    ),
    "one of two holds": (
        Asked("GET", "api.shop.example/jobs", principal="spiffe://mesh.example/batch/x"),
        [
            (0, "guard `either`", PASSES, f"{EITHER}: it holds"),
            (
                1,
                "guard `clerk`",
                OBJECTS,
                f"{ROLES}: it does not hold, the token of `main` is missing: the reader says why (staff only)",
            ),
            (1, "guard `batch`", PASSES, f"{PRINCIPAL}: it holds"),
        ],
    ),
    "a certificate that is not granted": (
        Asked(
            "GET",
            "api.shop.example/jobs",
            {"origin": "https://evil.example"},
            principal="spiffe://mesh.example/batch/x",
        ),
        [
            (0, "guard `either`", OBJECTS, f"{EITHER}: it does not hold"),
            (1, "guard `clerk`", OBJECTS, f"{ROLES}: it does not hold, {UNGRANTED} (staff only)"),
            (
                1,
                "guard `batch`",
                OBJECTS,
                f"{PRINCIPAL}: it does not hold, `mtls` is not granted, so the certificate counts as not sent",
            ),
        ],
    ),
    "a certificate of another": (
        Asked("GET", "api.shop.example/jobs", principal="spiffe://mesh.example/x"),
        [
            (0, "guard `either`", OBJECTS, f"{EITHER}: it does not hold"),
            (
                1,
                "guard `clerk`",
                OBJECTS,
                f"{ROLES}: it does not hold, the token of `main` is missing: the reader says why (staff only)",
            ),
            (
                1,
                "guard `batch`",
                OBJECTS,
                f"{PRINCIPAL}: it does not hold, the certificate names `spiffe://mesh.example/x`",
            ),
        ],
    ),
    "an address outside": (
        Asked("GET", "api.shop.example/account", source="11.0.0.1"),
        [
            (0, "guard `office`", OBJECTS, f"{OFFICE}: it does not hold, the address is `11.0.0.1`"),
            (0, "guard `keyed`", NOT_ASKED, "guard `office` objected first"),
        ],
    ),
    "a header with another value": (
        Asked("GET", "api.shop.example/account", {"x-key": "s3cre"}, source="10.0.0.1"),
        [
            (0, "guard `office`", PASSES, f"{OFFICE}: it holds"),
            (0, "guard `keyed`", OBJECTS, f"{KEYED}: it does not hold, it has another value"),
        ],
    ),
    "a guard of both phases": (
        Asked("OPTIONS", "gate.shop.example/v1/x", preflight("GET")),
        [
            (
                0,
                "guard `current-now`",
                OBJECTS,
                "the version is one of `v2`: it does not hold, the version is `v1`",
            ),
        ],
    ),
}


@pytest.mark.parametrize(("asked", "rows"), GUARDS.values(), ids=GUARDS)
def test_each_guard_is_told(asked: Asked, rows: list[tuple[int, str, Verdict, str]], policy: CompiledPolicy) -> None:
    assert flat(explained(asked, policy).steps[-1].steps) == rows


def test_the_membership_of_the_origin_is_told(policy: CompiledPolicy) -> None:
    step = next(step for step in explained(ORDER, policy).steps if step.name == "allow rule")
    (member,) = step.steps
    assert member.sentence == "`https://shop.example` is in origin group `web` by `https://shop.example`"
    assert member.place is not None
    assert member.place.line == line_of("web:      {")


def whys(explanation: Explanation) -> dict[str, str]:
    told = (*explanation.to_client, *explanation.to_upstream)
    return {header.name: header.because.why for header in told if not header.blanks}


ID: Final = {"x-cors-authz-decision-id": "the id under which the decision is recorded"}
VARY_OF: Final = "what the answer can depend on, so that no cache hands it to another caller of"
PRIVATE: Final = "no shared cache may keep what depends on a token, as answers do of"

WHYS: Final = {
    "an allowed read": (
        ORDER._replace(url="api.shop.example/v1/orders/7", claims={"roles": ["clerk"], "iat": NOW}),
        {
            **ID,
            "access-control-allow-origin": f"the origin is echoed: it is in `web`, and {RULE} admits it",
            "access-control-expose-headers": f"{RULE} lets scripts read these beyond the safelist",
            "vary": f"{VARY_OF} `orders`",
            "cache-control": f"{PRIVATE} `orders`",
            "deprecation": "version `v1` is deprecated since 2026-06-01T00:00:00Z and retires at 2026-12-31T00:00:00Z",
            "sunset": "version `v1` is deprecated since 2026-06-01T00:00:00Z and retires at 2026-12-31T00:00:00Z",
            "link": "version `v1` is deprecated since 2026-06-01T00:00:00Z and retires at 2026-12-31T00:00:00Z",
            "x-cors-authz-origin-group": "the origin is in this group",
            "x-cors-authz-api-version": "the version of `orders`",
            "x-cors-authz-roles": "the roles of the token that a guard read",
        },
    ),
    "a refusal that the page may read": (
        ORDER,
        {
            **ID,
            "access-control-allow-origin": f"the origin is echoed: it is in `web`, and {RULE} lets its page read why",
            "access-control-expose-headers": f"{RULE} lets scripts read these beyond the safelist",
            "vary": f"{VARY_OF} `orders`",
            "cache-control": "a refusal is never kept",
            "content-type": "the type of the refusal's body",
            "www-authenticate": "a 401 says how to sign in",
        },
    ),
    "a refused method, which the page may read": (
        Asked("DELETE", "api.shop.example/account", {"origin": WEB}),
        {
            **ID,
            "access-control-allow-origin": (
                "the origin is echoed: it is in `web`, and rule `account/1` lets its page read why"
            ),
            "access-control-allow-credentials": "credentials `cookie` are granted by rule `account/1`",
            "vary": f"{VARY_OF} `account`",
            "cache-control": "a refusal is never kept",
            "content-type": "the type of the refusal's body",
        },
    ),
    "an allowed preflight": (
        Asked("OPTIONS", "api.shop.example/account", preflight("PUT")),
        {
            **ID,
            "access-control-allow-origin": "the origin is echoed: it is in `web`, and rule `account/1` admits it",
            "access-control-allow-credentials": "credentials `cookie` are granted by rule `account/1`",
            "access-control-allow-methods": "rule `account/1` grants the method that the preflight asks for",
            "access-control-max-age": "rule `account/1` lets browsers keep the permission for so many seconds",
            "vary": f"{VARY_OF} `account`",
        },
    ),
    "an answer for everyone": (
        Asked("GET", "cdn.shop.example/x", {"origin": "https://evil.example"}),
        {
            **ID,
            "access-control-allow-origin": "answers do not depend on the origin: `any` may read all of them",
            "access-control-expose-headers": "rule `assets/1` lets scripts read these beyond the safelist",
            "x-cors-authz-origin-group": "the origin is in this group",
        },
    ),
    "an answer for everyone, to curl": (
        Asked("GET", "cdn.shop.example/x"),
        {
            **ID,
            "access-control-allow-origin": "answers do not depend on the origin: `any` may read all of them",
            "access-control-expose-headers": (
                "a cache may hand this answer to any page, so it says what every page may read"
            ),
        },
    ),
    "a fault of ours": (
        ORDER._replace(token=TokenState.UNAVAILABLE),
        {
            **ID,
            "access-control-allow-origin": f"the origin is echoed: it is in `web`, and {RULE} lets its page read why",
            "access-control-expose-headers": f"{RULE} lets scripts read these beyond the safelist",
            "vary": f"{VARY_OF} `orders`",
            "cache-control": "a refusal is never kept",
            "content-type": "the type of the refusal's body",
            "retry-after": "the fault is ours and may pass",
        },
    ),
    "a tenant": (
        Asked("GET", "acme.tenants.shop.example/", claims={"tid": "acme", "roles": "clerk"}),
        {
            **ID,
            "vary": f"{VARY_OF} `shop`",
            "cache-control": f"{PRIVATE} `shop`",
            "x-cors-authz-tenant": "the tenant of the request to `shop`",
            "x-cors-authz-roles": "the roles of the token that a guard read",
        },
    ),
    "a host of no group": (
        Asked("GET", "other.example/"),
        {
            **ID,
            "vary": "what the answer can depend on, so that no cache hands it to another caller",
            "cache-control": "a refusal is never kept",
            "content-type": "the type of the refusal's body",
        },
    ),
    "nothing is touched in shadow": (Asked("POST", "trial.shop.example/", {"origin": WEB}), {}),
}


@pytest.mark.parametrize(("asked", "expected"), WHYS.values(), ids=WHYS)
def test_each_header_says_why_it_is_there(asked: Asked, expected: dict[str, str], policy: CompiledPolicy) -> None:
    assert whys(explained(asked, policy)) == expected


def test_a_retired_version_says_since_when(policy: CompiledPolicy) -> None:
    asked = Asked("GET", "api.shop.example/v1/orders/7", {"origin": WEB}, claims={"roles": ["clerk"], "iat": NOW})
    said = whys(explained(asked, policy, 1_800_000_000.0))
    words = "version `v1` is deprecated since 2026-06-01T00:00:00Z and was retired at 2026-12-31T00:00:00Z"
    assert {name: said.get(name) for name in ("deprecation", "sunset", "link")} == {
        "deprecation": words,
        "sunset": None,
        "link": words,
    }


def test_what_is_taken_off_says_why(policy: CompiledPolicy) -> None:
    headers = {"origin": WEB, "cookie": "a=b", "authorization": "Bearer x", "x-cors-authz-tenant": "acme"}
    asked = ORDER._replace(headers=headers, claims={"roles": ["clerk"], "iat": NOW})
    assert [(header.name, header.sent, header.because.why) for header in explained(asked, policy).removed] == [
        ("cookie", True, f"{RULE} does not grant `cookie`"),
        ("x-cors-authz-tenant", True, "only this service says this, and here it has nothing to say"),
    ]


def test_in_shadow_only_what_pretends_to_be_ours_is_taken_off(policy: CompiledPolicy) -> None:
    headers = {"origin": WEB, "cookie": "a=b", "x-cors-authz-roles": "admin"}
    asked = Asked("POST", "trial.shop.example/", headers)
    assert [(header.name, header.sent, header.because.why) for header in explained(asked, policy).removed] == [
        ("x-cors-authz-roles", True, "only this service says this, and in shadow it says nothing"),
    ]


def test_an_unlisted_read_loses_its_credentials(policy: CompiledPolicy) -> None:
    asked = Asked("GET", "trial.shop.example/")._replace(url="cdn.shop.example/", headers={**CROSS, "cookie": "a=b"})
    removed = {header.name: (header.sent, header.because.why) for header in explained(asked, policy).removed}
    assert removed["cookie"] == (True, "no rule decides, so no credential travels on")
    assert removed["authorization"] == (False, "no rule decides, so no credential travels on")


def test_blanks_are_told_apart(policy: CompiledPolicy) -> None:
    client = explained(Asked("GET", "api.shop.example/account", {}, "10.0.0.1"), policy).to_client
    blanked = [header.name for header in client if header.blanks]
    assert blanked == []
    asked = Asked("GET", "api.shop.example/account", {"x-key": "s3cret"}, "10.0.0.1")
    client = explained(asked, policy).to_client
    assert {header.because.why for header in client if header.blanks} == {"an upstream's own grant is blanked"}
    assert "access-control-allow-origin" in {header.name for header in client if header.blanks}


SAFELIST: Final = "scripts may read the safelisted response headers"
NO_ORIGIN: Final = "the page sees a network error: the answer names no origin"
NO_CREDENTIALS: Final = (
    "with credentials, the page sees a network error: credentials travel, and the answer does not say"
    " Access-Control-Allow-Credentials: true"
)
DEVICE: Final = (
    "the target is on the user's own device: the user must permit `https://shop.example` to reach it; no header can"
)
CONCLUSIONS: Final = {
    "a rule that grants no cookies": (
        ORDER,
        [
            NO_CREDENTIALS,
            "without credentials, the page may read the answer",
            f"without credentials, {SAFELIST} and `location`",
        ],
    ),
    "a rule that grants cookies": (
        Asked("GET", "api.shop.example/account", {"origin": WEB}),
        ["the page may read the answer", f"{SAFELIST} only"],
    ),
    "cookies show that credentials travel": (
        ORDER._replace(headers={"origin": WEB, "cookie": "a=b"}),
        [NO_CREDENTIALS.removeprefix("with credentials, ")],
    ),
    "a stranger": (Asked("GET", "api.shop.example/jobs", {"origin": "https://evil.example"}), [NO_ORIGIN]),
    "a refused preflight": (
        Asked("OPTIONS", ORDER.url, preflight("DELETE")),
        [f"the browser does not send the request, and {NO_ORIGIN}"],
    ),
    "an allowed preflight": (
        Asked("OPTIONS", "api.shop.example/account", preflight("PUT")),
        ["the browser sends the PUT", "the permission is kept for 600 s"],
    ),
    "its own page": (
        Asked("GET", "api.shop.example/account", {"origin": "https://api.shop.example"}),
        ["the page reads the answer (status 403): to its own origin there is no CORS check"],
    ),
    "no browser": (CURL, ["no browser is involved: other clients read every answer"]),
    "a read without an origin": (
        Asked("GET", "api.shop.example/jobs", CROSS),
        ["the page reads nothing: the request names no origin that could be granted"],
    ),
    "an image": (
        Asked("GET", "cdn.shop.example/x", {**CROSS, "sec-fetch-mode": "no-cors"}),
        ["the browser shows or runs the resource; scripts of the page read nothing of it"],
    ),
    "a refused image": (
        Asked("GET", "api.shop.example/jobs", {**CROSS, "sec-fetch-mode": "no-cors"}),
        ["the resource fails to load (status 403)"],
    ),
    "a link": (
        Asked("GET", "cdn.shop.example/x", {**CROSS, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}),
        ["the browser shows the answer as a page; the page that led here reads nothing"],
    ),
    "a form": (
        Asked("POST", "api.shop.example/jobs", {"origin": "https://evil.example", "sec-fetch-mode": "navigate"}),
        ["the browser shows the answer as a page; the page that led here reads nothing"],
    ),
    "a socket": (
        ORDER._replace(headers={"origin": WEB, "upgrade": "websocket"}),
        ["the socket fails to open: status 403 is not 101"],
    ),
    "shadow": (
        Asked("POST", "trial.shop.example/", {"origin": WEB}),
        ["nothing is applied in shadow: the answer of the upstream decides"],
    ),
    "nobody's request to the user's device": (Asked("POST", "localhost/", CROSS), [NO_ORIGIN]),
    "a target on the user's device": (
        Asked("GET", "localhost/", {"origin": WEB}),
        [
            NO_ORIGIN,
            DEVICE,
        ],
    ),
}


@pytest.mark.parametrize(("asked", "sentences"), CONCLUSIONS.values(), ids=CONCLUSIONS)
def test_what_a_browser_concludes(asked: Asked, sentences: list[str], policy: CompiledPolicy) -> None:
    assert [conclusion.sentence for conclusion in explained(asked, policy).conclusions] == sentences


def test_no_query_is_shown() -> None:
    """A query may hold a token, and what is explained is pasted into tickets."""
    facts = match(ask("GET https://unknown.example/a?access_token=secret"), compiled("resourceGroups: {}\n"))
    explanation = explain(facts, Readings(NOW, {}))
    assert "secret" not in repr([(step.name, step.sentence) for step in explanation.steps])
    assert any("/a?…" in step.sentence for step in explanation.steps)
