"""What lint says of allow rules: each policy that is wrong, and the same policy one edit away that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cors_authz.policy.lint.rules import RULES, long_max_age
from cors_authz.policy.subject import Subject

Lint = Callable[..., list[str]]


class Case(NamedTuple):
    """A policy; severity, line and column, and text of all that one code says of it; and the edit that mends it."""

    policy: str
    at: str
    text: str
    old: str
    new: str
    environment: str = "prod"


def api(rule: str, more: str = "", match: str = "{hosts: [api.shop.example]}", tail: str = "") -> str:
    """Write a policy with one rule, which stands in line 10 unless `more` comes before it."""
    return (
        'originGroups:\n  web: {origins: ["https://shop.example"], trust: high}\n  anyone: {any: true}\n'
        f"resourceGroups:\n  api:\n    match: [{match}]\n{more}    allow:\n    - {{origins: [web]{rule}}}\n{tail}"
    )


SETS = "headerSets:\n  trace: {request: [traceparent], expose: [x-request-id]}\n  all: {expose: ['*']}\n"
GUARDS = (
    "identity: {jwt: {main: {issuer: 'https://id.shop.example', audiences: [shop], keys: {envoyMetadata: jwt}}}}\n"
    "guards:\n  user: {authenticated: true}\n  beta: {header: {name: X-Beta, equals: 'on'}}\n"
    "  office: {sourceIn: [10.0.0.0/8]}\n  either: {anyOf: [office, user]}\n"
)
TIMING = "    responseHeaders: {timingAllowOrigin: [web]}\n"

CASES: dict[str, Case] = {
    "CX007: a forbidden method": Case(
        api(", methods: [GET, trace]"),
        "E 11:39",
        "`trace` is a method that browsers forbid; leave it out",
        "trace",
        "POST",
    ),
    "CX007: a malformed method": Case(
        api(', methods: ["GET POST"]'),
        "E 11:34",
        "`GET POST` is no method; a method is one word, such as `GET`: one entry for each",
        '"GET POST"',
        "GET, POST",
    ),
    "CX007: a method that browsers write in upper case": Case(
        api(", methods: [post]"), "E 11:34", "`post` never comes: browsers write it as `POST`", "post", "POST"
    ),
    "CX007: patch is not PATCH, and browsers do not mend it": Case(
        api(", methods: [patch]"),
        "E 11:34",
        "`patch` is not `PATCH`, as methods are compared in their case; write `PATCH`",
        "patch",
        "PATCH",
    ),
    "CX007: a forbidden method in a match entry": Case(
        api("", match="{hosts: [api.shop.example], methods: [GET, CONNECT]}"),
        "E 9:56",
        "`CONNECT` is a method that browsers forbid; leave it out",
        "CONNECT",
        "POST",
    ),
    "CX007: every method": Case(
        api(', methods: ["*"]'),
        "W 11:34",
        "`*` grants every method, those that the service learns tomorrow too; name the methods",
        '"*"',
        "GET",
    ),
    "CX007: OPTIONS is rarely meant": Case(
        api(", methods: [GET, OPTIONS]"),
        "I 11:39",
        "`OPTIONS` is for scripts that call it themselves; preflights are answered without it",
        ", OPTIONS",
        "",
    ),
    "CX008: authorization is a credential": Case(
        api(", headers: [Authorization]"),
        "E 11:34",
        "`Authorization` is a credential; say `credentials: [bearer]`",
        "headers: [Authorization]",
        "credentials: [bearer]",
    ),
    "CX008: so is cookie": Case(
        api(", headers: [cookie]"),
        "E 11:34",
        "`cookie` is a credential; say `credentials: [cookie]`",
        "headers: [cookie]",
        "credentials: [cookie]",
    ),
    "CX008: a forbidden header": Case(
        api(", headers: [content-type, Sec-Fetch-Site]"),
        "E 11:48",
        "`Sec-Fetch-Site` is set by browsers and never by scripts; leave it out",
        ", Sec-Fetch-Site",
        "",
    ),
    "CX008: a header of responses": Case(
        api(", headers: [etag]"),
        "E 11:34",
        "`etag` is a header of responses; list it in exposeHeaders",
        "headers",
        "exposeHeaders",
    ),
    "CX008: a header of responses that is ours": Case(
        api(", headers: [access-control-allow-origin]"),
        "E 11:34",
        "`access-control-allow-origin` is a header of responses; the service writes it: leave it out",
        ", headers: [access-control-allow-origin]",
        "",
    ),
    "CX008: no header name at all": Case(
        api(', headers: ["x a"]'),
        "E 11:34",
        "`x a` is no header name; a name has letters, digits and `-`: one entry for each",
        '"x a"',
        "x-a",
    ),
    "CX008: names have no patterns": Case(
        api(', headers: ["x-shop-*"]'),
        "E 11:34",
        "`x-shop-*` is taken literally, as headers have no patterns; name each",
        "x-shop-*",
        "x-shop-cart",
    ),
    "CX008: a header set is read as well": Case(
        api(", headerSets: [trace]", tail=SETS.replace("traceparent", "retry-after")),
        "E 13:21",
        "`retry-after` is a header of responses; list it in expose",
        "retry-after",
        "x-a",
    ),
    "CX009: scripts never read set-cookie": Case(
        api(", exposeHeaders: [etag, Set-Cookie]"),
        "E 11:46",
        "`Set-Cookie` is kept from every script by its browser; leave it out",
        ", Set-Cookie",
        "",
    ),
    "CX009: a header of requests": Case(
        api(", exposeHeaders: [if-match]"),
        "E 11:40",
        "`if-match` is a header of requests; list it in headers",
        "exposeHeaders",
        "headers",
    ),
    "CX009: a header of requests that scripts cannot set either": Case(
        api(", exposeHeaders: [referer]"),
        "E 11:40",
        "`referer` is a header of requests; browsers set it: leave it out",
        "referer",
        "etag",
    ),
    "CX009: authorization is a credential": Case(
        api(", exposeHeaders: [authorization]"),
        "E 11:40",
        "`authorization` is a header of requests; say `credentials: [bearer]`",
        "exposeHeaders: [authorization]",
        "credentials: [bearer]",
    ),
    "CX009: no header name at all": Case(
        api(', exposeHeaders: [""]'),
        "E 11:40",
        "`` is no header name; a name has letters, digits and `-`: one entry for each",
        '""',
        "etag",
    ),
    "CX009: a header set is read as well": Case(
        api("", tail=SETS.replace("x-request-id", "set-cookie2")),
        "E 13:44",
        "`set-cookie2` is kept from every script by its browser; leave it out",
        "set-cookie2",
        "x-a",
    ),
    "CX010: exposing everything with cookies": Case(
        api(', exposeHeaders: [etag, "*"], credentials: [cookie]'),
        "E 11:46",
        "`*` in exposeHeaders is taken literally once cookies travel; name the headers",
        "[cookie]",
        "[bearer]",
    ),
    "CX010: exposing everything with certificates": Case(
        api(', exposeHeaders: ["*"], credentials: [mtls]'),
        "E 11:40",
        "`*` in exposeHeaders is taken literally once certificates travel; name the headers",
        '"*"',
        "etag",
    ),
    "CX010: by way of a header set": Case(
        api(", headerSets: [trace, all], credentials: [cookie]", tail=SETS),
        "E 11:44",
        "`*` in header set `all` is taken literally once cookies travel; name the headers",
        "[trace, all]",
        "[trace]",
    ),
    "CX011: every request header": Case(
        api(', headers: ["*"], credentials: [bearer]'),
        "W 11:34",
        "`*` in headers lets scripts set every header, those of tomorrow too; name the headers",
        '"*"',
        "content-type",
    ),
    "CX012: no browser keeps it so long": Case(
        api(", maxAge: 86401s"),
        "E 11:32",
        "maxAge 86401s is above 24h, and no browser keeps an answer longer; write 24h or less",
        "86401s",
        "10m",
    ),
    "CX012: only Firefox keeps it so long": Case(
        api(", maxAge: 24h"),
        "W 11:32",
        "maxAge 24h is above 2h, and only Firefox keeps an answer longer; write 2h or less",
        "24h",
        "10m",
    ),
    "CX012: WebKit does not keep it so long": Case(
        api(", maxAge: 2h"),
        "I 11:32",
        "maxAge 2h is above 10m, and WebKit keeps no answer longer; write 10m or less",
        "2h",
        "10m",
    ),
    "CX012: the default is written, too": Case(
        api("", tail="defaults: {maxAge: 90m}\n"),
        "I 12:20",
        "maxAge 90m is above 10m, and WebKit keeps no answer longer; write 10m or less",
        "90m",
        "600s",
    ),
    "CX016: a guard that reads a header": Case(
        api("", "    guards: [beta]\n", tail=GUARDS),
        "W 10:14",
        "`beta` reads the header `x-beta`, so shared caches keep an answer for each of its values",
        "[beta]",
        "[office]",
    ),
    "CX016: a rule's guard that reads a header": Case(
        api(", guards: [beta]", tail=GUARDS),
        "W 11:33",
        "`beta` reads the header `x-beta`, so shared caches keep an answer for each of its values",
        "[beta]",
        "[user]",
    ),
    "CX016: a token in class public": Case(
        api("", "    sensitivity: public\n    guards: [user]\n", tail=GUARDS),
        "W 11:14",
        "`user` reads a token, so no shared cache keeps what class public says is for everyone; choose another class",
        "public",
        "internal",
    ),
    "CX016: a token in class public, by way of anyOf": Case(
        api("", "    sensitivity: public\n    guards: [either]\n", tail=GUARDS),
        "W 11:14",
        "`either` reads a token, so no shared cache keeps what class public says is for everyone; choose another class",
        "[either]",
        "[office]",
    ),
    "CX016: a class brings its guards": Case(
        api(
            "",
            "    sensitivity: open\n",
            tail=GUARDS + "sensitivityClasses: {open: {like: internal, guards: [beta]}}\n",
        ),
        "W 10:18",
        "`beta` reads the header `x-beta`, so shared caches keep an answer for each of its values",
        "sensitivity: open",
        "sensitivity: internal",
    ),
    "CX019: a method that the group never matches": Case(
        api(", methods: [GET, PUT]", match="{hosts: [a.example], methods: [GET, POST]}"),
        "E 11:39",
        "`api/1` grants `PUT`, and `api` matches `GET`, `HEAD`, `POST`; leave it out, or match it",
        "PUT",
        "POST",
    ),
    "CX019: an entry of any environment counts": Case(
        api(
            ", methods: [GET, POST]",
            match="{hosts: [a.example], methods: [GET]}, {hosts: [b.example], methods: [PUT], environments: [dev]}",
        ),
        "E 11:39",
        "`api/1` grants `POST`, and `api` matches `GET`, `HEAD`, `PUT`; leave it out, or match it",
        "[PUT]",
        "[POST]",
    ),
    "CX019: the default GET that the group never matches": Case(
        api("", match="{hosts: [a.example], methods: [POST]}"),
        "E 11:7",
        "`api/1` grants `GET`, `HEAD`, and `api` matches `POST`; say its methods",
        "origins: [web]",
        "origins: [web], methods: [POST]",
    ),
    "CX019: a method twice": Case(
        api(", methods: [GET, POST, GET]"), "W 11:45", "`GET` is written twice; leave one out", ", GET]", "]"
    ),
    "CX019: HEAD comes with GET": Case(
        api(", methods: [HEAD, GET]"), "W 11:34", "`HEAD` comes with `GET`; leave it out", "HEAD, GET", "HEAD"
    ),
    "CX019: an origin group twice": Case(
        api("").replace("[web]}", "[web, web]}"),
        "W 11:23",
        "`web` is written twice; leave one out",
        "[web, web]",
        "[web]",
    ),
    "CX019: a header twice, in another case": Case(
        api(", headers: [X-A, x-a]"), "W 11:39", "`x-a` is written twice; leave one out", ", x-a", ""
    ),
    "CX019: a header twice in a set": Case(
        api("", tail=SETS.replace("[traceparent]", "[traceparent, Traceparent]")),
        "W 13:34",
        "`traceparent` is written twice; leave one out",
        ", Traceparent",
        "",
    ),
    "CX019: a header that a set brings": Case(
        api(", headers: [traceparent], headerSets: [trace]", tail=SETS),
        "W 11:34",
        "`traceparent` comes with a header set of the rule; leave it out",
        "headerSets: [trace]",
        "headerSets: [all]",
    ),
    "CX019: an exposed header that a set brings": Case(
        api(", exposeHeaders: [X-Request-Id], headerSets: [trace]", tail=SETS),
        "W 11:40",
        "`X-Request-Id` comes with a header set of the rule; leave it out",
        "X-Request-Id",
        "etag",
    ),
    "CX019: a header beside every header": Case(
        api(', headers: ["*", x-a]'), "W 11:39", "`x-a` is covered by `*`; leave it out", ", x-a", ""
    ),
    "CX019: an exposed header beside every header": Case(
        api(', exposeHeaders: ["*", x-a]'), "W 11:45", "`x-a` is covered by `*`; leave it out", ", x-a", ""
    ),
    "CX019: a header that every script reads": Case(
        api(", exposeHeaders: [Content-Type]"),
        "W 11:40",
        "`Content-Type` is readable by every script that may read the answer; leave it out",
        "Content-Type",
        "etag",
    ),
    "CX019: scripts set no headers on a handshake": Case(
        api(", headers: [x-a]", "    protocols: [websocket]\n"),
        "W 12:34",
        "`x-a` never comes, as scripts set no headers on a WebSocket handshake; leave it out",
        "[websocket]",
        "[websocket, http]",
    ),
    "CX019: origins and routes of different environments": Case(
        api("", match="{hosts: [a.example], environments: [dev]}").replace("high}", "high, environments: [prod]}"),
        "W 11:17",
        "`api/1` never applies: no environment has both its origins and its routes; mend the tags",
        "environments: [prod]",
        "environments: [prod, dev]",
    ),
    "CX034: cookies without a browser's proof": Case(
        api(", credentials: [cookie]", "    sensitivity: restricted\n"),
        "W 12:37",
        "`api/1` grants cookies in class restricted, and writes pass without Origin and Sec-Fetch-Site;"
        " say browserOnly: true",
        "restricted\n",
        "restricted\n    browserOnly: true\n",
    ),
    "CX034: only what is confidential asks for it": Case(
        api(", credentials: [bearer, cookie]", "    sensitivity: confidential\n"),
        "W 12:37",
        "`api/1` grants cookies in class confidential, and writes pass without Origin and"
        " Sec-Fetch-Site; say browserOnly: true",
        "confidential",
        "internal",
    ),
    "CX035: a form's body comes without a preflight": Case(
        api(", methods: [POST], credentials: [cookie]"),
        "I 11:33",
        "`api/1` grants cookies and POST without contentTypes, so simple bodies arrive without a"
        " preflight; say contentTypes: [application/json], or what it takes",
        "[cookie]",
        "[cookie], contentTypes: [application/json]",
    ),
    "CX035: so it may among all methods; what scripts attach is no concern": Case(
        api(', methods: ["*"], credentials: [cookie]'),
        "I 11:33",
        "`api/1` grants cookies and POST without contentTypes, so simple bodies arrive without a"
        " preflight; say contentTypes: [application/json], or what it takes",
        "[cookie]",
        "[bearer]",
    ),
    "CX035: only POST is simple": Case(
        api(", methods: [POST], credentials: [cookie]"),
        "I 11:33",
        "`api/1` grants cookies and POST without contentTypes, so simple bodies arrive without a"
        " preflight; say contentTypes: [application/json], or what it takes",
        "[POST]",
        "[PUT]",
    ),
    "CX036: a header that names another method": Case(
        api(", headers: [X-HTTP-Method-Override]"),
        "W 11:34",
        "`X-HTTP-Method-Override` names another method than the request's own; grant that method, and send it",
        "X-HTTP-Method-Override",
        "x-a",
    ),
    "CX038: gRPC-Web's own header beside the protocol": Case(
        api(", headers: [X-Grpc-Web]", "    protocols: [grpc-web]\n"),
        "W 12:34",
        "`X-Grpc-Web` comes with protocol `grpc-web`; leave it out",
        "X-Grpc-Web",
        "x-a",
    ),
    "CX038: gRPC-Web's own header instead of the protocol": Case(
        api(", exposeHeaders: [grpc-status]"),
        "W 11:40",
        "`grpc-status` is a header of gRPC-Web; say `protocols: [grpc-web]`, which brings it",
        "grpc-status",
        "x-status",
    ),
    "CX039: what browsers have withdrawn": Case(
        api(", allowPrivateNetwork: true"),
        "W 11:45",
        "`allowPrivateNetwork` answers a request header that browsers have withdrawn; leave it out",
        ", allowPrivateNetwork: true",
        "",
    ),
    "CX046: an origin group that is nearly one": Case(
        api("").replace("[web]", "[wbe]"), "E 11:18", "`wbe` is no origin group; did you mean `web`?", "[wbe]", "[web]"
    ),
    "CX046: an origin group that is like none": Case(
        api("").replace("[web]", "[partners]"),
        "E 11:18",
        "`partners` is no origin group; there are `web`, `anyone`",
        "[partners]",
        "[web]",
    ),
    "CX046: a header set where there is none": Case(
        api(", headerSets: [trace]"), "E 11:37", "`trace` is no header set; there is none", ", headerSets: [trace]", ""
    ),
    "CX046: a version that the group does not serve": Case(
        api(", versions: [v1, v3]", "    versions: {v1: {}, v2: {}}\n    versionFrom: {query: v}\n"),
        "E 13:39",
        "`v3` is no version of `api`; there are `v1`, `v2`",
        "v3",
        "v2",
    ),
    "CX046: an unknown group that may read timing": Case(
        api("", TIMING.replace("[web]", "[web, anyon]")),
        "E 10:48",
        "`anyon` is no origin group; did you mean `anyone`?",
        "anyon]",
        "anyone]",
    ),
    "CX047: a pattern that may read timing": Case(
        api("", TIMING).replace("//shop", "//{slug}.shop"),
        "E 10:43",
        "`web` has the pattern `https://{slug}.shop.example`, and Timing-Allow-Origin is sent as a list"
        " of exact origins; name such a group",
        "{slug}",
        "www",
    ),
    "CX047: tenants' origins that may read timing": Case(
        api("", TIMING).replace('origins: ["https://shop.example"]', "perTenant: {maxOrigins: 2}"),
        "E 10:43",
        "`web` is filled by each tenant, and Timing-Allow-Origin is sent as a list of exact origins; name such a group",
        "perTenant: {maxOrigins: 2}",
        'origins: ["https://shop.example"]',
    ),
    "CX048: more origins than an answer should list": Case(
        api("", TIMING).replace('"https://shop.example"', ", ".join(f'"https://s{i}.example"' for i in range(65))),
        "E 10:42",
        "timingAllowOrigin lists 65 origins; 64 are the most, as each answer has them",
        ', "https://s64.example"',
        "",
    ),
    "CX049: embeds are invited and refused": Case(
        api("", "    responseHeaders: {crossOriginResourcePolicy: cross-origin}\n    sensitivity: restricted\n"),
        "W 10:50",
        "`cross-origin` lets every site embed, while unlisted.embeds is deny; write same-site, or leave it out",
        "restricted",
        "public",
    ),
    "CX049: a group's own refusal counts": Case(
        api(
            "",
            "    responseHeaders: {crossOriginResourcePolicy: cross-origin}\n    sensitivity: public\n"
            "    unlisted: {embeds: deny}\n",
        ),
        "W 10:50",
        "`cross-origin` lets every site embed, while unlisted.embeds is deny; write same-site, or leave it out",
        "embeds",
        "reads",
    ),
    "CX049: open to any site, and closed to their embeds": Case(
        api("", "    responseHeaders: {crossOriginResourcePolicy: same-site}\n    sensitivity: public\n").replace(
            "[web]", "[web, anyone]"
        ),
        "W 10:50",
        "`same-site` keeps other sites from embedding what `api/1` opens to `anyone`; write cross-origin",
        "[web, anyone]",
        "[web]",
    ),
    "CX050: timing for an origin that may not read": Case(
        api("", TIMING.replace("[web]", "[anyone]")),
        "W 10:43",
        "`anyone` may read the timing, and no rule of `api` lets it read the answers; give it a rule, or leave it out",
        "timingAllowOrigin: [anyone]",
        "timingAllowOrigin: [web]",
    ),
}


@pytest.mark.parametrize(("sentence", "case"), CASES.items(), ids=CASES)
def test_a_policy_and_the_one_that_is_mended(sentence: str, case: Case, lint: Lint) -> None:
    code = sentence.partition(":")[0]
    severity, at = case.at.split()
    said = f"{severity} policy.yaml:{at}: {code} {case.text}"
    assert case.old in case.policy
    assert [line for line in lint(RULES, case.policy, case.environment) if f": {code} " in line] == [said]
    mended = case.policy.replace(case.old, case.new)
    assert [line for line in lint(RULES, mended, case.environment) if f": {code} " in line] == []


def test_every_header_without_a_token_is_said_at_two_places(lint: Lint) -> None:
    assert lint(RULES, api(', headers: ["*"]')) == [
        (
            "W policy.yaml:11:34: CX011 `*` in headers lets scripts set every header, those of tomorrow too; name the"
            " headers"
        ),
        (
            "I policy.yaml:11:33: CX011 `*` does not cover `authorization`; where scripts send tokens, say"
            " `credentials: [bearer]`"
        ),
    ]


def test_what_is_well_written_passes_in_silence(lint: Lint) -> None:
    rule = ", methods: [GET, PUT], headers: [content-type], headerSets: [trace], credentials: [bearer], maxAge: 10m"
    assert lint(RULES, api(rule, TIMING, tail=SETS)) == []


def test_names_that_nothing_has_are_said_once_and_passed_over_elsewhere(lint: Lint) -> None:
    policy = api(", headerSets: [no-set], guards: [no-guard]", TIMING.replace("web", "no-group"))
    assert lint(RULES, policy) == [
        "E policy.yaml:12:37: CX046 `no-set` is no header set; there is none",
        "E policy.yaml:12:55: CX046 `no-guard` is no guard; there is none",
        "E policy.yaml:10:43: CX046 `no-group` is no origin group; there are `web`, `anyone`",
    ]


def test_every_finding_names_its_object(subject_from: Callable[..., Subject]) -> None:
    subject = subject_from(api(", headers: [x-a, x-a], maxAge: 3h", tail=SETS.replace("[traceparent]", "[b, b]")))
    found = sorted((finding.code, finding.about) for rule in RULES for finding in rule(subject))
    assert found == [("CX012", "resourceGroups/api"), ("CX019", "headerSets/trace"), ("CX019", "resourceGroups/api")]


@given(seconds=st.integers(0, 200_000))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_longer_the_graver(lint: Lint, seconds: int) -> None:
    said = lint([long_max_age], api(f", maxAge: {seconds}s"))
    grave = "E" if seconds > 86_400 else "W" if seconds > 7_200 else "I" if seconds > 600 else ""
    assert [line[0] for line in said] == ([grave] if grave else [])
