"""What the Fetch standard and its neighbours demand, a row or more for each numbered line of the list that we keep.

A row sends one request and compares what the answer says, as the client sees it; where the line speaks of what a
browser does, the row puts our answer through the browser's own check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from cors_authz.fetch.browser import Asked, Credentials, Verdict, check_cors, check_preflight, exposed_names
from cors_authz.fetch.request import Request
from cors_authz.pdp.response import Action, whole
from cors_authz.policy.compiled import CompiledPolicy
from cors_authz.policy.document import Source
from cors_authz.policy.load import check_policy
from tests.deciding import BUNDLE, DECISION_ID, IDENTITY, ask, compiled, decided, preflight, token, told, wire

WEB: Final = "https://web.example"
EVIL: Final = "https://evil.example"
API: Final = "https://api.example/a"
OPEN: Final = "https://open.example/a"
SEALED: Final = "https://sealed.example/a"

POLICY: Final = compiled(
    IDENTITY
    + """
guards:
  signed-in: {authenticated: true, provider: main}
  client: {header: {name: x-client, equals: app}}
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  odd: {origins: ["https://a_b.web.example", "https://ported.example:8443", "https://[2001:db8::1]:8080"]}
  anyone: {any: true}
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    allow:
    - origins: [web]
      methods: [GET, POST, PUT, PATCH]
      headers: [content-type, range, x-a, x-b]
      exposeHeaders: [etag, x-request-id]
      credentials: [cookie]
      maxAge: 10m
    - {origins: [odd], credentials: [bearer]}
    responseHeaders: {crossOriginResourcePolicy: same-site, timingAllowOrigin: [web]}
  stars:
    match: [{hosts: [stars.example]}]
    allow: [{origins: [web], methods: ["*"], headers: ["*"], maxAge: 0s}]
  open:
    match: [{hosts: [open.example]}]
    sensitivity: public
    allow: [{origins: [anyone], exposeHeaders: [etag], maxAge: 24h}]
  sealed:
    match: [{hosts: [sealed.example]}]
    sensitivity: confidential
    allow: [{origins: [web], methods: [GET, POST], credentials: [cookie, bearer]}]
  guarded:
    match: [{hosts: [guarded.example]}]
    guards: [signed-in]
    allow: [{origins: [web], credentials: [bearer]}]
  versioned:
    match: [{hosts: [versioned.example]}]
    versions: {v1: {}}
    versionFrom: {header: x-api-version, default: v1}
    guards: [client]
    allow: [{origins: [web]}]
  live:
    match: [{hosts: [live.example]}]
    protocols: [websocket]
    allow: [{origins: [web], credentials: [cookie]}]
  tools:
    match: [{hosts: [tools.example]}]
    protocols: [mcp]
    allow: [{origins: [web]}]
  typed:
    match: [{hosts: [typed.example]}]
    allow: [{origins: [web], methods: [POST], contentTypes: [application/json]}]
  private-network:
    match: [{hosts: [pna.example]}]
    allow: [{origins: [web], allowPrivateNetwork: true}]
"""
)

LINES: Final = range(1, 74)


def decision_of(request: Request, policy: CompiledPolicy = POLICY) -> str:
    decision = decided(policy, request)
    return f"{decision.outcome.value} {decision.reason.value}"


def said(name: str, request: Request) -> str | None:
    """Give the value that the answer has for one header of the response, None where it has none."""
    return told(POLICY, request).get(name)


def grants(request: Request) -> list[str]:
    return sorted(name for name in told(POLICY, request) if name.startswith("access-control-"))


def count(name: str, request: Request) -> int:
    headers = whole(decided(POLICY, request), DECISION_ID).to_client
    return sum(1 for header in headers if header.name == name)


def action(name: str, request: Request) -> Action:
    headers = whole(decided(POLICY, request), DECISION_ID).to_client
    return next(header.action for header in headers if header.name == name and header.value)


def reads(request: Request, credentials: Credentials = Credentials.INCLUDE) -> bool:
    """Tell whether the browser lets the page read the answer."""
    asked = Asked(request.headers["origin"], credentials)
    return check_cors(asked, tuple(told(POLICY, request).items())).verdict is Verdict.GOES_ON


def sends(request: Request, *names: str, credentials: Credentials = Credentials.INCLUDE) -> bool:
    """Tell whether the browser sends the request that a preflight asks for."""
    asked = Asked(request.headers["origin"], credentials, request.headers["access-control-request-method"], names)
    status = wire(POLICY, decided(POLICY, request)).denied_response.status.code
    return check_preflight(asked, status, tuple(told(POLICY, request).items()))[0].verdict is Verdict.GOES_ON


def findings(text: str) -> set[str]:
    """Give the codes of what is said of a policy."""
    return {finding.code for finding in check_policy([Source("policy.yaml", (BUNDLE + text).encode())], "prod")}


def allowing(rule: str, *, more: str = "") -> str:
    """Write a policy of one group with one rule."""
    return f"""
originGroups:
  web: {{origins: ["https://web.example"], trust: high}}
  anyone: {{any: true}}
resourceGroups:
  api: {{match: [{{hosts: [api.example]}}], {more}allow: [{rule}]}}
"""


def listing(origin: str) -> str:
    """Write a policy of one origin."""
    return f'originGroups: {{web: {{origins: ["{origin}"], trust: high}}}}\nresourceGroups: {{}}\n'


class Row(NamedTuple):
    """A question to the core, and its answer."""

    ask: Callable[[], object]
    then: object


ALLOWED: Final = "allow rule_allowed"
UNLISTED: Final = "deny origin_not_allowed"
MALFORMED: Final = "deny origin_malformed"
PASSES: Final = "preflight_allow preflight_allowed"

CLASSIFICATION: Final = {
    "01 the API's own origin is no other origin": Row(
        lambda: decision_of(ask(f"POST {API}", origin="https://api.example")), "allow same_origin"
    ),
    "02 a preflight is OPTIONS with both headers": Row(lambda: decision_of(preflight(f"PUT {API}", WEB)), PASSES),
    "02 OPTIONS in lower case is none": Row(
        lambda: decision_of(preflight(f"PUT {API}", WEB)._replace(method="options")), "deny request_malformed"
    ),
    "02 OPTIONS without the asked method passes on": Row(
        lambda: decision_of(ask(f"OPTIONS {API}", origin=WEB)), "allow unlisted_read"
    ),
    "03 without Origin no origin is named": Row(lambda: grants(ask(f"GET {API}")), []),
    "03 without Origin Vary is still there": Row(
        lambda: (said("vary", ask(f"GET {API}")) or "").split(", ")[0], "Origin"
    ),
    "04 an upper-case host is malformed": Row(
        lambda: decision_of(ask(f"POST {API}", origin="https://WEB.example")), MALFORMED
    ),
    "04 an upper-case scheme is malformed": Row(
        lambda: decision_of(ask(f"POST {API}", origin="HTTPS://web.example")), MALFORMED
    ),
    "04 a final slash is malformed": Row(lambda: decision_of(ask(f"POST {API}", origin=f"{WEB}/")), MALFORMED),
    "04 userinfo is malformed": Row(lambda: decision_of(ask(f"POST {API}", origin="https://u@web.example")), MALFORMED),
    "04 a port of six digits is malformed": Row(
        lambda: decision_of(ask(f"POST {API}", origin=f"{WEB}:100000")), MALFORMED
    ),
    "04 null in upper case is malformed": Row(lambda: decision_of(ask(f"POST {API}", origin="NULL")), MALFORMED),
    "04 a percent is malformed": Row(
        lambda: decision_of(ask(f"POST {API}", origin="https://web%2eexample")), MALFORMED
    ),
    "04 Unicode is malformed": Row(
        lambda: decision_of(ask(f"POST {API}", origin="https://w\u00e9b.example")), MALFORMED
    ),
    "05 an IPv6 address in brackets": Row(
        lambda: decision_of(ask(f"GET {API}", origin="https://[2001:db8::1]:8080")), ALLOWED
    ),
    "05 an IPv6 address in upper case is malformed": Row(
        lambda: decision_of(ask(f"GET {API}", origin="https://[2001:DB8::1]:8080")), MALFORMED
    ),
    "05 an IPv6 address in long form is malformed": Row(
        lambda: decision_of(ask(f"GET {API}", origin="https://[2001:db8:0:0:0:0:0:1]:8080")), MALFORMED
    ),
    "05 a zone is malformed": Row(lambda: decision_of(ask(f"GET {API}", origin="http://[fe80::1%25a]")), MALFORMED),
    "05 an IPv4 address is four numbers": Row(
        lambda: [decision_of(ask(f"POST {API}", origin=o)) for o in ("http://10.0.0.1", "http://10.1")],
        [UNLISTED, MALFORMED],
    ),
    "06 an underscore is accepted": Row(
        lambda: decision_of(ask(f"GET {API}", origin="https://a_b.web.example")), ALLOWED
    ),
    "07 the default port is another text": Row(lambda: decision_of(ask(f"POST {API}", origin=f"{WEB}:443")), MALFORMED),
    "07 a configured default port is refused": Row(lambda: "CX003" in findings(listing(f"{WEB}:443")), then=True),
    "08 another scheme, port or final dot is another origin": Row(
        lambda: [decision_of(ask(f"POST {API}", origin=o)) for o in ("http://web.example", f"{WEB}:8443", f"{WEB}.")],
        [UNLISTED] * 3,
    ),
    "08 a listed port is the only one": Row(
        lambda: [
            decision_of(ask(f"GET {API}", origin=o)) for o in ("https://ported.example:8443", "https://ported.example")
        ],
        [ALLOWED, "allow unlisted_read"],
    ),
    "09 null cannot be listed": Row(lambda: "CX002" in findings(listing("null")), then=True),
    "09 any with credentials does not load": Row(
        lambda: "CX001" in findings(allowing("{origins: [anyone], credentials: [cookie]}")), then=True
    ),
    "09 null is refused": Row(lambda: decision_of(ask(f"POST {API}", origin="null")), UNLISTED),
    "10 two origins are malformed": Row(lambda: decision_of(ask(f"POST {API}", origin=f"{WEB},{WEB}")), MALFORMED),
    "11 a WebSocket is refused by its origin": Row(
        lambda: [
            decision_of(ask("GET https://live.example/", upgrade="websocket", origin=origin)) for origin in (WEB, EVIL)
        ],
        [ALLOWED, UNLISTED],
    ),
    "11 without an origin no browser opens it": Row(
        lambda: decision_of(ask("GET https://live.example/", upgrade="websocket")), "allow not_a_browser"
    ),
}

CORS_CHECK: Final = {
    "12 an open group is read without credentials": Row(
        lambda: (
            said("access-control-allow-origin", ask(f"GET {OPEN}", origin=EVIL)),
            reads(ask(f"GET {OPEN}", origin=EVIL), Credentials.OMIT),
        ),
        ("*", True),
    ),
    "13 the origin is echoed byte for byte": Row(
        lambda: said("access-control-allow-origin", ask(f"GET {API}", origin="https://ported.example:8443")),
        "https://ported.example:8443",
    ),
    "14 an open group is not read with credentials": Row(lambda: reads(ask(f"GET {OPEN}", origin=EVIL)), then=False),
    "15 credentials are granted by exactly true": Row(
        lambda: (
            said("access-control-allow-credentials", ask(f"GET {API}", origin=WEB)),
            reads(ask(f"GET {API}", origin=WEB)),
        ),
        ("true", True),
    ),
    "15 a rule without cookies grants no credentials": Row(
        lambda: reads(ask(f"GET {API}", origin="https://a_b.web.example")), then=False
    ),
    "16 an unlisted origin reads nothing": Row(
        lambda: [reads(ask(f"GET {API}", origin=EVIL), credentials) for credentials in Credentials], [False, False]
    ),
    "17 exactly one origin is named": Row(
        lambda: [
            count("access-control-allow-origin", r)
            for r in (ask(f"GET {API}", origin=WEB), ask(f"GET {OPEN}", origin=WEB))
        ],
        [1, 1],
    ),
    "17 and it replaces what an upstream names": Row(
        lambda: action("access-control-allow-origin", ask(f"GET {API}", origin=WEB)), Action.OVERWRITE
    ),
    "18 the named origin has no slash": Row(
        lambda: (said("access-control-allow-origin", ask(f"GET {API}", origin=WEB)) or "").endswith("/"), then=False
    ),
    "19 a refusal can be read by a listed origin": Row(
        lambda: (
            decision_of(ask("GET https://guarded.example/", origin=WEB)),
            reads(ask("GET https://guarded.example/", origin=WEB), Credentials.OMIT),
        ),
        ("deny token_missing", True),
    ),
    "20 the headers go on every answer of the upstream, 304 too": Row(
        lambda: {
            name
            for name in ("access-control-allow-origin", "vary")
            if said(name, ask(f"GET {API}", origin=WEB, if_none_match='"a"'))
        },
        {"access-control-allow-origin", "vary"},
    ),
}

PREFLIGHT: Final = {
    "21 a preflight succeeds with 204": Row(
        lambda: (decided(POLICY, preflight(f"PUT {API}", WEB)).status, sends(preflight(f"PUT {API}", WEB))), (204, True)
    ),
    "21 a refused one has no ok status": Row(
        lambda: (decided(POLICY, preflight(f"PUT {API}", EVIL)).status, sends(preflight(f"PUT {API}", EVIL))),
        (403, False),
    ),
    "22 a preflight needs no token": Row(lambda: decision_of(preflight("GET https://guarded.example/", WEB)), PASSES),
    "23 a preflight says that credentials travel": Row(
        lambda: said("access-control-allow-credentials", preflight(f"PUT {API}", WEB)), "true"
    ),
    "24 a safelisted method passes": Row(
        lambda: [sends(preflight(f"{m} {API}", WEB, "x-a"), "x-a") for m in ("GET", "HEAD", "POST")], [True] * 3
    ),
    "25 methods are compared in their own case": Row(
        lambda: [sends(preflight(f"{method} {API}", WEB)) for method in ("PATCH", "patch")], [True, False]
    ),
    "26 a star in the policy is written out in the answer": Row(
        lambda: (
            said("access-control-allow-methods", preflight("PURGE https://stars.example/", WEB, "x-z")),
            said("access-control-allow-headers", preflight("PURGE https://stars.example/", WEB, "x-z")),
        ),
        ("PURGE", "x-z"),
    ),
    "27 a star does not cover Authorization": Row(
        lambda: decision_of(preflight("GET https://stars.example/", WEB, "authorization")),
        "preflight_deny header_not_allowed",
    ),
    "27 bearer does": Row(lambda: sends(preflight(f"GET {SEALED}", WEB, "authorization"), "authorization"), then=True),
    "28 names in any case, with blanks and empty elements": Row(
        lambda: said("access-control-allow-headers", preflight(f"PUT {API}", WEB, " X-A", "", "\tx-b ")), "x-a,x-b"
    ),
    "28 as browsers send them": Row(lambda: sends(preflight(f"PUT {API}", WEB, "x-a", "x-b"), "x-a", "x-b"), then=True),
    "28 beyond the bounds they are refused": Row(
        lambda: decision_of(preflight(f"PUT {API}", WEB, *["x-a"] * 129)), "preflight_deny header_not_allowed"
    ),
    "29 no asked headers are none": Row(
        lambda: (
            sends(preflight(f"PUT {API}", WEB)),
            said("access-control-allow-headers", preflight(f"PUT {API}", WEB)),
        ),
        (True, None),
    ),
    "30 only tokens are told": Row(
        lambda: decision_of(preflight("GET https://stars.example/", WEB, "x y")), "preflight_deny header_not_allowed"
    ),
    "31 the asked method is one token": Row(
        lambda: [decision_of(preflight(f"{m} https://stars.example/", WEB)) for m in ("", "GET,PUT", "G\u00c9T")],
        ["preflight_deny method_not_allowed"] * 3,
    ),
    "32 the age is a plain number of seconds": Row(
        lambda: said("access-control-max-age", preflight(f"PUT {API}", WEB)), "600"
    ),
    "32 none is 0": Row(lambda: said("access-control-max-age", preflight("PUT https://stars.example/", WEB)), "0"),
    "33 the highest age is a day": Row(lambda: said("access-control-max-age", preflight(f"GET {OPEN}", EVIL)), "86400"),
    "33 more does not load": Row(
        lambda: "CX012" in findings(allowing("{origins: [anyone], maxAge: 25h}", more="sensitivity: public, ")),
        then=True,
    ),
    "35 a refused request names no origin, which purges": Row(lambda: grants(ask(f"POST {API}", origin=EVIL)), []),
    "36 only the asked method and headers are told": Row(
        lambda: (
            said("access-control-allow-methods", preflight(f"PUT {API}", WEB, "x-a")),
            said("access-control-allow-headers", preflight(f"PUT {API}", WEB, "x-a")),
        ),
        ("PUT", "x-a"),
    ),
    "37 a failed preflight is 403 without any grant": Row(
        lambda: [
            (decided(POLICY, request).status, grants(request))
            for request in (
                preflight(f"PUT {API}", EVIL),
                preflight(f"DELETE {API}", WEB),
                preflight(f"PUT {API}", WEB, "x-z"),
            )
        ],
        [(403, [])] * 3,
    ),
    "38 no body": Row(lambda: wire(POLICY, decided(POLICY, preflight(f"PUT {API}", WEB))).denied_response.body, ""),
    "39 forbidden methods are refused in any case": Row(
        lambda: [decision_of(preflight(f"{m} https://stars.example/", WEB)) for m in ("CONNECT", "trace", "Track")],
        ["preflight_deny method_not_allowed"] * 3,
    ),
    "39 and do not load": Row(lambda: "CX007" in findings(allowing("{origins: [web], methods: [TRACE]}")), then=True),
    "40 forbidden request headers do not load": Row(
        lambda: [
            "CX008" in findings(allowing(f"{{origins: [web], headers: [{n}]}}")) for n in ("cookie", "sec-a", "proxy-a")
        ],
        [True] * 3,
    ),
    "40 an override with a forbidden method is refused": Row(
        lambda: decision_of(ask(f"POST {API}", origin=WEB, x_http_method_override="TRACE")),
        "deny method_override_forbidden",
    ),
    "41 Set-Cookie cannot be exposed": Row(
        lambda: "CX009" in findings(allowing("{origins: [web], exposeHeaders: [set-cookie]}")), then=True
    ),
    "42 a response's name among the request's does not load": Row(
        lambda: "CX008" in findings(allowing("{origins: [web], headers: [etag]}")), then=True
    ),
    "42 a request's name among the exposed does not load": Row(
        lambda: "CX009" in findings(allowing("{origins: [web], exposeHeaders: [origin]}")), then=True
    ),
    "43 safelisted names that were asked for pass where the rule has them": Row(
        lambda: sends(preflight(f"POST {API}", WEB, "content-type", "range"), "content-type", "range"), then=True
    ),
    "44 a star among the exposed does not load with cookies": Row(
        lambda: "CX010" in findings(allowing('{origins: [web], exposeHeaders: ["*"], credentials: [cookie]}')),
        then=True,
    ),
    "44 what is exposed can be read": Row(
        lambda: exposed_names(Credentials.INCLUDE, tuple(told(POLICY, ask(f"GET {API}", origin=WEB)).items())),
        frozenset({"etag", "x-request-id"}),
    ),
    "45 an actual answer exposes and allows nothing": Row(
        lambda: grants(ask(f"GET {API}", origin=WEB)),
        ["access-control-allow-credentials", "access-control-allow-origin", "access-control-expose-headers"],
    ),
    "45 a preflight's answer allows and exposes nothing": Row(
        lambda: grants(preflight(f"PUT {API}", WEB, "x-a")),
        [
            "access-control-allow-credentials",
            "access-control-allow-headers",
            "access-control-allow-methods",
            "access-control-allow-origin",
            "access-control-max-age",
        ],
    ),
}


def names(request: Request) -> list[str]:
    return (said("vary", request) or "").split(", ")


CACHES: Final = {
    "46 Vary on allowed, denied and originless answers": Row(
        lambda: [
            "Origin" in names(request)
            for request in (ask(f"GET {API}", origin=WEB), ask(f"POST {API}", origin=EVIL), ask(f"GET {API}"))
        ],
        [True] * 3,
    ),
    "47 an open group says * without an origin, and no Vary": Row(
        lambda: (said("access-control-allow-origin", ask(f"GET {OPEN}")), said("vary", ask(f"GET {OPEN}"))), ("*", None)
    ),
    "48 a preflight varies by what it asks": Row(
        lambda: [names(preflight(f"PUT {API}", origin)) for origin in (WEB, EVIL)],
        [["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"]] * 2,
    ),
    "49 Sec-Fetch headers that were read are named": Row(
        lambda: names(ask(f"GET {SEALED}", origin=WEB)),
        ["Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest"],
    ),
    "50 other headers that were read are named": Row(
        lambda: {"X-Api-Version", "X-Client"} <= set(names(ask("GET https://versioned.example/"))), then=True
    ),
    "50 answers that depend on a token name its header, and are private": Row(
        lambda: [
            told(POLICY, ask("GET https://guarded.example/"), {"main": token()}).get(name)
            for name in ("vary", "cache-control")
        ],
        ["Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest, Authorization", "private"],
    ),
    "51 Vary is merged, and names nothing twice": Row(
        lambda: (action("vary", ask(f"GET {API}")), len(names(ask(f"GET {API}"))) - len(set(names(ask(f"GET {API}"))))),
        (Action.APPEND, 0),
    ),
}

CSRF: Final = {
    "53 unknown methods and QUERY are writes": Row(
        lambda: [decision_of(ask(f"{method} {API}", origin=EVIL)) for method in ("QUERY", "PURGE", "GET", "HEAD")],
        [UNLISTED, UNLISTED, "allow unlisted_read", "allow unlisted_read"],
    ),
    "54 same-origin and none pass": Row(
        lambda: [decision_of(ask(f"POST {API}", sec_fetch_site=site)) for site in ("same-origin", "none")],
        ["allow same_origin"] * 2,
    ),
    "54 cross-site, same-site and what is none of the four need a rule": Row(
        lambda: [
            decision_of(ask(f"POST {API}", sec_fetch_site=site))
            for site in ("cross-site", "same-site", "mars", "none,none")
        ],
        [UNLISTED] * 4,
    ),
    "54 an empty one is absent": Row(lambda: decision_of(ask(f"POST {API}", sec_fetch_site="")), "allow not_a_browser"),
    "55 neither header is no browser": Row(lambda: decision_of(ask(f"POST {API}")), "allow not_a_browser"),
    "55 the own origin with another scheme or port is another": Row(
        lambda: [decision_of(ask(f"POST {API}", origin=o)) for o in ("http://api.example", "https://api.example:8443")],
        [UNLISTED] * 2,
    ),
    "56 null of the own page passes, null alone does not": Row(
        lambda: [
            decision_of(ask(f"POST {API}", origin="null", sec_fetch_site="same-origin")),
            decision_of(ask(f"POST {API}", origin="null")),
        ],
        ["allow same_origin", UNLISTED],
    ),
    "57 on plain http the absence of Sec-Fetch is normal": Row(
        lambda: decision_of(ask("POST http://api.example/", origin="http://api.example")), "allow same_origin"
    ),
    "58 the worst hop of a redirect counts": Row(
        lambda: decision_of(ask(f"POST {API}", sec_fetch_site="cross-site")), UNLISTED
    ),
    "59 a link passes, an object does not": Row(
        lambda: [
            decision_of(ask(f"GET {SEALED}", sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest=d))
            for d in ("document", "object", "embed")
        ],
        ["allow unlisted_navigation", "deny embed_not_allowed", "deny embed_not_allowed"],
    ),
    "59 a WebSocket is guarded though it is a GET": Row(
        lambda: decision_of(ask("GET https://live.example/", upgrade="websocket", sec_fetch_site="cross-site")),
        UNLISTED,
    ),
    "61 a simple body is refused where the types are listed": Row(
        lambda: [
            decision_of(ask("POST https://typed.example/", origin=WEB, content_type=kind))
            for kind in ("text/plain", "application/x-www-form-urlencoded", "application/csp-report", "")
        ],
        ["deny content_type_not_allowed"] * 4,
    ),
    "61 a simple write without a preflight is refused all the same": Row(
        lambda: decision_of(ask(f"POST {API}", origin=EVIL, content_type="text/plain")), UNLISTED
    ),
    "62 Referer is no Origin": Row(
        lambda: [
            decision_of(ask(f"POST {API}", sec_fetch_site="cross-site", referer="https://api.example/")),
            decision_of(ask("POST https://api.example/", origin=EVIL, referer=f"{WEB}/")),
        ],
        [UNLISTED] * 2,
    ),
    "63 an override is read as the method that it names": Row(
        lambda: [
            decision_of(ask(f"GET {API}", origin=EVIL, x_http_method_override="POST")),
            decision_of(ask(f"POST {API}?_method=DELETE", origin=WEB)),
        ],
        [UNLISTED, "deny method_not_allowed"],
    ),
    "64 the own origin is not what a client says": Row(
        lambda: [
            decision_of(ask(f"POST {API}", origin=EVIL, **{name: value}))
            for name, value in {
                "x_forwarded_host": "evil.example",
                "forwarded": "host=evil.example",
                "x_forwarded_proto": "https",
            }.items()
        ],
        [UNLISTED] * 3,
    ),
    "65 an unlisted host is refused first": Row(
        lambda: decision_of(ask("GET https://rebound.example/", sec_fetch_site="same-origin")), "deny host_unknown"
    ),
    "65 MCP refuses every origin that it does not list": Row(
        lambda: [decision_of(ask(f"{m} https://tools.example/", origin=EVIL)) for m in ("GET", "POST", "OPTIONS")],
        [UNLISTED] * 3,
    ),
}

OTHER: Final = {
    "66 timing is for the origins that are named": Row(
        lambda: said("timing-allow-origin", ask(f"GET {API}", origin=EVIL)), WEB
    ),
    "67 the resource policy is one value, and replaces": Row(
        lambda: (
            said("cross-origin-resource-policy", ask(f"GET {API}")),
            action("cross-origin-resource-policy", ask(f"GET {API}")),
        ),
        ("same-site", Action.OVERWRITE),
    ),
    "69 a private network is allowed where a rule says so and the request says true": Row(
        lambda: [
            said(
                "access-control-allow-private-network",
                preflight(f"GET https://{host}/", WEB, access_control_request_private_network=value),
            )
            for host, value in (("pna.example", "true"), ("pna.example", "1"), ("api.example", "true"))
        ],
        ["true", None, None],
    ),
    "71 a write is stopped here, not in the browser": Row(
        lambda: wire(POLICY, decided(POLICY, ask(f"POST {API}", origin=EVIL))).status.code != 0, then=True
    ),
    "72 any on a private host is warned of": Row(
        lambda: (
            "CX043"
            in findings(
                """
originGroups: {anyone: {any: true}}
resourceGroups:
  api: {match: [{hosts: [printer.local]}], sensitivity: public, allow: [{origins: [anyone]}]}
"""
            )
        ),
        then=True,
    ),
    "73 a redirected request with the origin null is refused": Row(
        lambda: decision_of(ask(f"POST {API}", origin="null", sec_fetch_site="cross-site")), UNLISTED
    ),
}

ROWS: Final = CLASSIFICATION | CORS_CHECK | PREFLIGHT | CACHES | CSRF | OTHER

NOT_OURS: Final = {
    34: "the key of a browser's cache of preflights: nothing in an answer changes it",
    52: "Activate-Storage-Access is a header of upstreams, which we neither send nor read",
    60: "Sec-Fetch-User says nothing that Sec-Fetch-Mode does not: no decision reads it",
    68: "Cross-Origin-Opener-Policy and -Embedder-Policy belong on documents, which upstreams serve",
    70: "no header of a server takes part in local network access: the user is asked",
}


@pytest.mark.parametrize("case", ROWS.values(), ids=ROWS)
def test_a_line_of_the_standard(case: Row) -> None:
    assert case.ask() == case.then


def test_every_line_has_a_row_or_a_reason() -> None:
    with_rows = {int(sentence[:2]) for sentence in ROWS}
    assert with_rows | set(NOT_OURS) == set(LINES)
    assert not with_rows & set(NOT_OURS)


UNREAD: Final = {
    "60 Sec-Fetch-User": {"sec_fetch_user": "?1"},
    "52 Sec-Fetch-Storage-Access": {"sec_fetch_storage_access": "active"},
}


@pytest.mark.parametrize("headers", UNREAD.values(), ids=UNREAD)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_no_decision_reads_changes_no_answer(method: str, headers: dict[str, str]) -> None:
    plain, with_it = (
        whole(decided(POLICY, ask(f"{method} {API}", sec_fetch_site="cross-site", **more)), DECISION_ID)
        for more in ({}, headers)
    )
    assert plain == with_it
