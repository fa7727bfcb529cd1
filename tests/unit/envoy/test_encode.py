"""Decisions to CheckResponse bytes, read back with the generated classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest
from google.protobuf.json_format import MessageToDict

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from cors_authz.envoy.encode import Encoder
from cors_authz.fetch.request import Request
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Outcome, Reason
from cors_authz.pdp.readings import TokenReading, TokenState
from cors_authz.pdp.response import DECISION_ID as STAND_IN
from cors_authz.pdp.response import Action, Answer, whole
from tests.deciding import DECISION_ID, IDENTITY, answer_on, ask, compiled, decided, preflight, token, wire

WEB = "https://web.example"
EVIL = "https://evil.example"

POLICY = compiled(
    IDENTITY
    + """
guards:
  clerk: {anyRole: [clerk], provider: main}
  office: {sourceIn: [10.0.0.0/8], onFail: {status: 404, message: not here}}
  home: {sourceIn: [192.168.0.0/16], onFail: {status: 404, message: not there}}
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  shop: {origins: ["https://shop.example"], trust: high}
  anyone: {any: true}
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    allow:
    - {origins: [web], methods: [GET, POST], headers: [content-type], credentials: [cookie]}
    - {origins: [shop], exposeHeaders: [etag], credentials: [bearer]}
  tokens:
    match: [{hosts: ["{tenant}.tokens.example"], paths: ["/{version}/**"]}]
    versions: {v1: {sunset: 2026-06-01, successor: v2}, v0: {sunset: 2026-06-01, successor: v3}, v2: {}, v3: {}}
    guards: [clerk]
    allow: [{origins: [web], credentials: [bearer]}]
  offices:
    match: [{hosts: [office.example]}]
    guards: [office, home]
    allow: [{origins: [web]}]
  open:
    match: [{hosts: [open.example]}]
    sensitivity: public
    allow: [{origins: [anyone], exposeHeaders: [etag]}]
  quiet:
    match: [{hosts: [quiet.example]}]
    mode: shadow
    allow: [{origins: [web]}]
"""
)
CLERK = {"main": token(roles=["clerk"])}
BAD = {"main": TokenReading(TokenState.INVALID, {})}
NO_KEYS = {"main": TokenReading(TokenState.UNAVAILABLE, {})}

DECISIONS = {
    "a rule": decided(POLICY, ask("POST https://api.example/", origin=WEB)),
    "another rule": decided(POLICY, ask("GET https://api.example/", origin="https://shop.example")),
    "its own page": decided(POLICY, ask("POST https://api.example/", sec_fetch_site="same-origin")),
    "no browser": decided(POLICY, ask("POST https://api.example/")),
    "no browser that pretends": decided(POLICY, ask("POST https://api.example/")._replace(spoofed=("x_cors_authz_a",))),
    "an unlisted read": decided(POLICY, ask("GET https://api.example/", origin=EVIL)),
    "an unlisted write": decided(POLICY, ask("POST https://api.example/", origin=EVIL)),
    "a listed origin, another method": decided(POLICY, ask("PUT https://api.example/", origin=WEB)),
    "another listed origin, another method": decided(
        POLICY, ask("PUT https://api.example/", origin="https://shop.example")
    ),
    "a malformed origin": decided(POLICY, ask("PUT https://api.example/", origin="x")),
    "an unknown host": decided(POLICY, ask("PUT https://other.example/")),
    "an unknown host in a preflight": decided(POLICY, preflight("PUT https://other.example/", WEB)),
    "a preflight": decided(POLICY, preflight("POST https://api.example/", WEB, "content-type")),
    "another preflight": decided(POLICY, preflight("GET https://api.example/", "https://shop.example")),
    "a refused preflight": decided(POLICY, preflight("PUT https://api.example/", WEB)),
    "a refused preflight of nobody": decided(POLICY, preflight("PUT https://api.example/", EVIL)),
    "a token": decided(POLICY, ask("GET https://acme.tokens.example/v2/a", origin=WEB), CLERK),
    "no token, listed": decided(POLICY, ask("GET https://acme.tokens.example/v2/a", origin=WEB)),
    "no token": decided(POLICY, ask("GET https://acme.tokens.example/v2/a")),
    "a bad token": decided(POLICY, ask("GET https://acme.tokens.example/v2/a"), BAD),
    "no keys, listed": decided(POLICY, ask("GET https://acme.tokens.example/v2/a", origin=WEB), NO_KEYS),
    "no keys": decided(POLICY, ask("GET https://acme.tokens.example/v2/a"), NO_KEYS),
    "a retired version": decided(POLICY, ask("GET https://acme.tokens.example/v1/a", origin=WEB), CLERK),
    "another retired version": decided(POLICY, ask("GET https://acme.tokens.example/v0/a", origin=WEB), CLERK),
    "a guard with words": decided(POLICY, ask("GET https://office.example/", origin=WEB)),
    "another guard with words": decided(POLICY, ask("GET https://office.example/", origin=WEB, source="10.0.0.1")),
    "an open group": decided(POLICY, ask("GET https://open.example/", origin=EVIL)),
    "an open group to no browser": decided(POLICY, ask("GET https://open.example/")),
    "a long path": decided(POLICY, ask("GET https://open.example/" + "a" * 20_000)),
    "shadow": decided(POLICY, ask("GET https://quiet.example/", origin=WEB)),
    "shadow of a refusal": decided(POLICY, ask("POST https://quiet.example/", origin=EVIL)),
    "shadow of a preflight": decided(POLICY, preflight("GET https://quiet.example/", WEB)),
    "shadow of a refused preflight": decided(POLICY, preflight("PUT https://quiet.example/", WEB)),
    "no request": refuse_unread(Reason.REQUEST_MALFORMED),
    "no policy": refuse_unread(Reason.POLICY_UNAVAILABLE),
    "a fault": refuse_unread(Reason.INTERNAL_ERROR),
}


@pytest.mark.parametrize("decision", DECISIONS.values(), ids=DECISIONS)
def test_the_wire_says_what_the_answer_says(decision: Decision) -> None:
    assert answer_on(wire(POLICY, decision)) == whole(decision, DECISION_ID)


def test_an_encoder_that_remembers_says_the_same() -> None:
    encoder = Encoder(POLICY)
    for decision in (*DECISIONS.values(), *reversed(DECISIONS.values())):
        response = CheckResponse.FromString(encoder.encode(decision, DECISION_ID[::-1]))
        assert answer_on(response) == whole(decision, DECISION_ID[::-1])
        alone = MessageToDict(wire(POLICY, decision).dynamic_metadata)
        assert MessageToDict(response.dynamic_metadata) == {**alone, "decision_id": DECISION_ID[::-1]}


class Case(NamedTuple):
    """What Envoy reads first: the gRPC code, which answer is set, the HTTP status."""

    code: int
    kind: str
    status: int


_KINDS = {
    Outcome.ALLOW: "ok_response",
    Outcome.ERROR: "error_response",
    Outcome.DENY: "denied_response",
    Outcome.PREFLIGHT_ALLOW: "denied_response",
    Outcome.PREFLIGHT_DENY: "denied_response",
}


def expected(decision: Decision) -> Case:
    kind = "ok_response" if decision.shadow else _KINDS[decision.outcome]
    codes = {"ok_response": 0, "error_response": 14, "denied_response": 16 if decision.status == 401 else 7}
    return Case(codes[kind], kind, 0 if kind == "ok_response" else decision.status)


@pytest.mark.parametrize("decision", DECISIONS.values(), ids=DECISIONS)
def test_every_answer_has_its_status(decision: Decision) -> None:
    response = wire(POLICY, decision)
    kind = response.WhichOneof("http_response")
    assert kind is not None
    answer = getattr(response, kind)
    said = Case(response.status.code, kind, 0 if kind == "ok_response" else answer.status.code)
    assert response.HasField("status")
    assert said == expected(decision)


STATUSES = {
    "a rule": Case(0, "ok_response", 0),
    "a preflight": Case(7, "denied_response", 204),
    "a refused preflight": Case(7, "denied_response", 403),
    "no token": Case(16, "denied_response", 401),
    "no keys": Case(14, "error_response", 503),
    "a guard with words": Case(7, "denied_response", 404),
    "an unknown host": Case(7, "denied_response", 421),
    "shadow of a refusal": Case(0, "ok_response", 0),
    "no request": Case(7, "denied_response", 400),
    "a fault": Case(14, "error_response", 503),
}


@pytest.mark.parametrize(("name", "then"), STATUSES.items(), ids=STATUSES)
def test_statuses_in_full(name: str, then: Case) -> None:
    assert expected(DECISIONS[name]) == then


@pytest.mark.parametrize("decision", DECISIONS.values(), ids=DECISIONS)
def test_the_status_comes_first_on_the_wire(decision: Decision) -> None:
    assert Encoder(POLICY).encode(decision, DECISION_ID)[0] == 1 << 3 | 2


def test_no_content_has_no_body() -> None:
    response = wire(POLICY, DECISIONS["a preflight"]).denied_response
    assert (response.status.code, response.body) == (204, "")


METADATA = {
    "a rule": {"outcome": "allow", "reason": "rule_allowed", "group": "api", "rule": "api/1"},
    "another rule": {"outcome": "allow", "reason": "rule_allowed", "group": "api", "rule": "api/2"},
    "an unlisted write": {"outcome": "deny", "reason": "origin_not_allowed", "group": "api", "rule": ""},
    "a preflight": {"outcome": "preflight_allow", "reason": "preflight_allowed", "group": "api", "rule": "api/1"},
    "a refused preflight": {"outcome": "preflight_deny", "reason": "method_not_allowed", "group": "api", "rule": ""},
    "an unknown host": {"outcome": "deny", "reason": "host_unknown", "group": "", "rule": ""},
    "no keys": {"outcome": "error", "reason": "keys_unavailable", "group": "tokens", "rule": ""},
    "shadow": {"outcome": "allow", "reason": "rule_allowed", "group": "quiet", "rule": "quiet/1", "shadow": True},
    "shadow of a refusal": {
        "outcome": "deny",
        "reason": "origin_not_allowed",
        "group": "quiet",
        "rule": "",
        "shadow": True,
    },
    "a fault": {"outcome": "error", "reason": "internal_error", "group": "", "rule": ""},
}


@pytest.mark.parametrize(("name", "then"), METADATA.items(), ids=METADATA)
def test_dynamic_metadata(name: str, then: dict[str, object]) -> None:
    said = MessageToDict(wire(POLICY, DECISIONS[name]).dynamic_metadata)
    assert {key: said[key] for key in said.keys() - AWAITED} == {"decision_id": DECISION_ID, "revision": "r1", **then}


AWAITED = {"allow_origin", "allow_credentials", "expose_headers", "vary"}
PREFLIGHT_NAMES = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
BROWSER_NAMES = "Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest"
AWAITED_IN = {
    "a rule": {"allow_origin": WEB, "allow_credentials": "true", "vary": BROWSER_NAMES},
    "another rule": {"allow_origin": "https://shop.example", "expose_headers": "etag", "vary": BROWSER_NAMES},
    "an unlisted read": {"vary": BROWSER_NAMES},
    "an unlisted write": {"vary": BROWSER_NAMES},
    "a listed origin, another method": {"allow_origin": WEB, "allow_credentials": "true", "vary": BROWSER_NAMES},
    "a preflight": {"allow_origin": WEB, "allow_credentials": "true", "vary": PREFLIGHT_NAMES},
    "a refused preflight": {"vary": PREFLIGHT_NAMES},
    "an open group": {"allow_origin": "*", "expose_headers": "etag"},
    "shadow": {"allow_origin": WEB, "vary": BROWSER_NAMES},
    "shadow of a refusal": {"vary": BROWSER_NAMES},
    "no keys": {"vary": BROWSER_NAMES + ", Authorization"},
    "a fault": {"vary": "Origin"},
}


@pytest.mark.parametrize(("name", "then"), AWAITED_IN.items(), ids=AWAITED_IN)
def test_dynamic_metadata_says_what_the_client_should_get(name: str, then: dict[str, str]) -> None:
    said = MessageToDict(wire(POLICY, DECISIONS[name]).dynamic_metadata)
    assert {key: said[key] for key in said.keys() & AWAITED} == then


@pytest.mark.parametrize("decision", DECISIONS.values(), ids=DECISIONS)
def test_what_the_client_should_get_is_what_it_is_sent_where_the_decision_applies(decision: Decision) -> None:
    applied = {header.name: header.value for header in whole(decision._replace(shadow=False), DECISION_ID).to_client}
    said = MessageToDict(wire(POLICY, decision).dynamic_metadata)
    sent = {
        "allow_origin": applied.get("access-control-allow-origin"),
        "allow_credentials": applied.get("access-control-allow-credentials"),
        "expose_headers": applied.get("access-control-expose-headers"),
        "vary": applied.get("vary"),
    }
    assert {key: said[key] for key in said.keys() & AWAITED} == {key: value for key, value in sent.items() if value}


def test_without_a_policy_there_is_no_revision() -> None:
    said = MessageToDict(wire(None, DECISIONS["no policy"]).dynamic_metadata)
    assert (said["reason"], said["revision"]) == ("policy_unavailable", "")


SHADOWS = [name for name in DECISIONS if name.startswith("shadow")]


@pytest.mark.parametrize("name", SHADOWS)
def test_shadow_touches_nothing(name: str) -> None:
    response = wire(POLICY, DECISIONS[name])
    assert response.status.code == 0
    assert answer_on(response) == Answer()


PRETENDING = {
    "a read": ask("GET https://quiet.example/", origin=WEB),
    "a refusal": ask("POST https://quiet.example/", origin=EVIL),
    "a preflight": preflight("PUT https://quiet.example/", WEB),
}


@pytest.mark.parametrize("request_", PRETENDING.values(), ids=PRETENDING)
def test_shadow_takes_off_what_pretends_to_be_ours(request_: Request) -> None:
    names = ("x-cors-authz-roles", "x_cors_authz_tenant")
    response = wire(POLICY, decided(POLICY, request_._replace(spoofed=names)))
    assert (response.status.code, answer_on(response)) == (0, Answer(removed=names))


def test_headers_are_told_what_becomes_of_those_that_are_there() -> None:
    """Vary is merged, the id replaces, what an upstream grants by itself is blanked only where it is."""
    added = wire(POLICY, DECISIONS["its own page"]).ok_response.response_headers_to_add
    said = {option.header.key: (option.header.value, int(option.append_action)) for option in added}
    assert said["vary"][1] == Action.APPEND
    assert said["x-cors-authz-decision-id"] == (DECISION_ID, Action.OVERWRITE)
    assert said["access-control-allow-origin"] == ("", Action.OVERWRITE_IF_EXISTS)
    token_kept = wire(POLICY, DECISIONS["a token"]).ok_response.response_headers_to_add
    assert ("cache-control", "private", Action.ADD_IF_ABSENT) in {
        (option.header.key, option.header.value, int(option.append_action)) for option in token_kept
    }


BROKEN = {"a line break": "a\r\nx-evil: 1", "a lone line feed": "a\nb", "a NUL": "a\0", "a delete": "a\x7f"}


@pytest.mark.parametrize("tenant", BROKEN.values(), ids=BROKEN)
def test_a_value_that_breaks_out_of_its_line_is_never_sent(tenant: str) -> None:
    """Tenants may come from the metadata of a route, where an operator may have written anything."""
    policy = compiled("""
tenants: {routeMetadata: tenant}
resourceGroups:
  api: {match: [{hosts: [api.example]}], allow: []}
""")
    request = ask("GET https://api.example/")._replace(route_metadata={"cors_authz": {"tenant": tenant}})
    decision = decided(policy, request)
    with pytest.raises(ValueError, match="x-cors-authz-tenant"):
        Encoder(policy).encode(decision, DECISION_ID)
    tabbed = decided(policy, request._replace(route_metadata={"cors_authz": {"tenant": "a\tb"}}))
    assert Encoder(policy).encode(tabbed, DECISION_ID)


def test_the_stand_in_is_as_long_as_an_id() -> None:
    assert len(STAND_IN) == len(DECISION_ID)


def test_as_many_constants_as_there_are_kinds_of_answers_are_kept() -> None:
    """Whoever calls with ever new origins must not fill the memory."""
    encoder = Encoder(POLICY)
    sizes = set()
    for number in range(50):
        encoder.encode(
            decided(POLICY, ask("POST https://api.example/", origin=f"https://a{number}.example")), DECISION_ID
        )
        sizes.add(len(encoder._constants))  # noqa: SLF001 - what is kept shows nowhere else
    assert sizes == {1}


def test_a_version_that_the_policy_does_not_name_keeps_nothing_of_its_own() -> None:
    policy = compiled(
        """
guards: {current: {versionIn: [v2]}}
resourceGroups:
  named:
    match: [{hosts: [named.example], paths: ["/{version}/**"]}]
    versions: {v1: {}, v2: {}}
    guards: [current]
    allow: []
  free:
    match: [{hosts: [free.example], paths: ["/{version}/**"]}]
    guards: [current]
    allow: []
"""
    )
    encoder = Encoder(policy)
    decisions = [decided(policy, ask(f"GET https://free.example/v{number}/a")) for number in range(10, 60)]
    assert {decision.reason for decision in decisions} == {Reason.VERSION_RETIRED}
    for decision in decisions:
        encoder.encode(decision, DECISION_ID)
    assert len(encoder._constants) == 1  # noqa: SLF001 - what is kept shows nowhere else


class Group(NamedTuple):
    """A resource group as it differs from another: what stands beside its `match`, and what its rule grants."""

    differs_from: str
    says: str = ""
    grants: str = ""
    origins: str = "web, shop"


OPEN = {"says": "sensitivity: public", "origins": "anyone"}
GROUPS = {
    "plain": Group(""),
    "docs": Group("plain", "docs: https://docs.example/a"),
    "other-docs": Group("docs", "docs: https://docs.example/b"),
    "contact": Group("plain", "contact: desk@a.example"),
    "other-contact": Group("contact", "contact: desk@b.example"),
    "corp": Group("plain", "responseHeaders: {crossOriginResourcePolicy: same-site}"),
    "other-corp": Group("corp", "responseHeaders: {crossOriginResourcePolicy: same-origin}"),
    "timing": Group("plain", "responseHeaders: {timingAllowOrigin: [web]}"),
    "other-timing": Group("timing", "responseHeaders: {timingAllowOrigin: [shop]}"),
    "private": Group("plain", "guards: [home]"),
    "private-elsewhere": Group("private", "guards: [office]"),
    "private-and-hidden": Group("private-elsewhere", "guards: [hidden]"),
    "private-with-words": Group("private-elsewhere", "guards: [worded]"),
    "private-in-preflights": Group("private", "guards: [home-always]"),
    "of-app": Group("plain", "guards: [app]"),
    "of-app-public": Group("of-app", "sensitivity: public, guards: [app]"),
    "of-token": Group("plain", "guards: [clerk]"),
    "of-token-hidden": Group("of-token", "guards: [clerk-hidden]"),
    "of-token-with-words": Group("bearer", "guards: [clerk-worded]", "credentials: [bearer]"),
    "of-staff": Group("of-token", "guards: [staff]"),
    "of-token-or-home": Group("private", "guards: [clerk-or-home]"),
    "unlisted": Group("plain", "unlisted: {reads: deny}"),
    "browser-only": Group("plain", "browserOnly: true"),
    "shadow": Group("plain", "mode: shadow"),
    "version": Group(
        "plain", "versions: {v1: {sunset: 2026-06-01, successor: v2}, v2: {}}, versionFrom: {header: x-v, default: v2}"
    ),
    "other-version": Group(
        "version",
        "versions: {v1: {sunset: 2026-06-01, successor: v2}, v2: {}}, versionFrom: {header: x-w, default: v1}",
    ),
    "version-in-query": Group("plain", "versions: {v1: {}, v2: {}}, versionFrom: {query: v, default: v2}"),
    "cookie": Group("plain", grants="credentials: [cookie]"),
    "bearer": Group("plain", grants="credentials: [bearer]"),
    "cookie-and-bearer": Group("cookie", grants="credentials: [cookie, bearer]"),
    "mtls": Group("plain", grants="credentials: [mtls]"),
    "exposed": Group("plain", grants="exposeHeaders: [etag]"),
    "other-exposed": Group("exposed", grants="exposeHeaders: [x-total]"),
    "age": Group("plain", grants="maxAge: 7m"),
    "types": Group("plain", grants="contentTypes: [application/json]"),
    "asked": Group("plain", grants="headers: [x-a]"),
    "guarded-rule": Group("plain", grants="guards: [home]"),
    "star": Group("of-app-public", "sensitivity: public, guards: [app]", origins="anyone"),
    "star-to-all": Group("plain", **OPEN),
    "star-exposed": Group("star-to-all", **OPEN, grants="exposeHeaders: [etag]"),
    "star-other-exposed": Group("star-exposed", **OPEN, grants="exposeHeaders: [x-total]"),
    "star-age": Group("star-to-all", **OPEN, grants="maxAge: 7m"),
    "star-corp": Group(
        "star-to-all", "sensitivity: public, responseHeaders: {crossOriginResourcePolicy: same-site}", origins="anyone"
    ),
}


def _written(name: str, group: Group) -> str:
    rule = ", ".join(filter(None, (f"origins: [{group.origins}], methods: [GET, POST]", group.grants)))
    match = f'match: [{{hosts: ["{name}.example", "{{tenant}}.{name}.example"]}}]'
    return f"  {name}: {{" + ", ".join(filter(None, (match, f"allow: [{{{rule}}}]", group.says))) + "}\n"


MANY = compiled(
    IDENTITY
    + """
guards:
  clerk: {anyRole: [clerk], provider: main}
  clerk-hidden: {anyRole: [clerk], provider: main, onFail: {status: 404}}
  clerk-worded: {anyRole: [clerk], provider: main, onFail: {message: sign in as a clerk}}
  staff: {anyRole: [clerk], provider: staff}
  home: {sourceIn: [192.168.0.0/16]}
  home-always: {sourceIn: [192.168.0.0/16], phase: both}
  office: {sourceIn: [10.0.0.0/8]}
  hidden: {sourceIn: [10.0.0.0/8], onFail: {status: 404}}
  worded: {sourceIn: [10.0.0.0/8], onFail: {message: not here}}
  app: {header: {name: x-client, equals: app}}
  clerk-or-home: {anyOf: [clerk, home]}
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  shop: {origins: ["https://shop.example"], trust: high}
  anyone: {any: true}
resourceGroups:
"""
    + "".join(_written(name, group) for name, group in GROUPS.items())
)


class Caller(NamedTuple):
    """Who asks: from where, with which tokens, and what else is sent."""

    source: str = ""
    tokens: Mapping[str, TokenReading] = {}
    sent: Mapping[str, str] = {}


HOME = "192.168.0.1"
CALLERS = (
    Caller(),
    Caller(HOME),
    Caller("10.0.0.1"),
    Caller(HOME, CLERK),
    Caller(HOME, {"main": token()}),
    Caller(HOME, BAD),
    Caller(tokens=NO_KEYS),
    Caller(tokens={"staff": token(roles=["clerk"])}),
    Caller(sent={"x-client": "app"}),
    Caller(sent={"x-v": "v1"}),
    Caller(sent={"x-v": "v9"}),
)
CROSS_SITE = {"sec_fetch_site": "cross-site"}


def lines_to(host: str) -> tuple[Request, ...]:
    """Write one request of each kind to a host."""
    url = f"https://{host}/a"
    return (
        ask(f"POST {url}", sec_fetch_site="same-origin"),
        ask(f"GET {url}"),
        ask(f"GET {url}")._replace(spoofed=("x_cors_authz_a",)),
        ask(f"POST {url}"),
        ask(f"GET {url}", origin=WEB),
        ask(f"GET {url}", origin="https://shop.example"),
        ask(f"POST {url}", origin=WEB, content_type="text/plain"),
        ask(f"PUT {url}", origin=WEB),
        ask(f"GET {url}", origin=EVIL),
        ask(f"POST {url}", origin=EVIL),
        ask(f"POST {url}", origin="x"),
        ask(f"GET {url}", **CROSS_SITE, sec_fetch_mode="no-cors", sec_fetch_dest="image"),
        ask(f"GET {url}", **CROSS_SITE, sec_fetch_mode="navigate", sec_fetch_dest="document"),
        preflight(f"POST {url}", WEB),
        preflight(f"POST {url}", WEB, "x-a"),
        preflight(f"PUT {url}", WEB),
        preflight(f"POST {url}", EVIL),
    )


def decisions_of(name: str) -> list[Decision]:
    """Decide every request of every caller to a group, with a tenant and without."""
    lines = [line for host in (f"{name}.example", f"acme.{name}.example") for line in lines_to(host)]
    return [
        decided(MANY, line._replace(source=caller.source, headers={**line.headers, **caller.sent}), caller.tokens)
        for line in lines
        for caller in CALLERS
    ]


BY_GROUP = {name: decisions_of(name) for name in GROUPS}
ONE_BY_ONE = [decision for decisions in BY_GROUP.values() for decision in decisions]
ORDERS = {
    "group by group": ONE_BY_ONE,
    "backwards": ONE_BY_ONE[::-1],
    "request by request": [decision for alike in zip(*BY_GROUP.values(), strict=True) for decision in alike],
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_what_an_encoder_has_answered_before_changes_no_answer(order: list[Decision]) -> None:
    encoder = Encoder(MANY)
    for decision in order:
        assert encoder.encode(decision, DECISION_ID) == Encoder(MANY).encode(decision, DECISION_ID)


@pytest.mark.parametrize("name", [name for name, group in GROUPS.items() if group.differs_from])
def test_each_group_answers_something_as_the_one_it_differs_from_does_not(name: str) -> None:
    """Or the orders above would show nothing of what the group has of its own."""
    pairs = zip(BY_GROUP[name], BY_GROUP[GROUPS[name].differs_from], strict=True)
    assert any((expected(one), whole(one, "")) != (expected(two), whole(two, "")) for one, two in pairs)


UNSENDABLE = {**BROKEN, "a letter beyond ASCII": "https://w\u00e9b.example", "half a surrogate pair": "a\ud800"}


@pytest.mark.parametrize("name", ["a rule", "a preflight", "a listed origin, another method", "no keys, listed"])
@pytest.mark.parametrize("origin", UNSENDABLE.values(), ids=UNSENDABLE)
def test_an_origin_that_no_header_line_carries_is_never_echoed(origin: str, name: str) -> None:
    """No policy lists such an origin; should a decision hold one all the same, no line is broken by it."""
    facts = DECISIONS[name].facts
    assert facts is not None
    with pytest.raises(ValueError, match="an origin that no header line can carry"):
        Encoder(POLICY).encode(DECISIONS[name]._replace(facts=facts._replace(origin=origin)), DECISION_ID)
