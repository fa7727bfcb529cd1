"""Decisions to CheckResponse bytes, read back with the generated classes."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from google.protobuf.json_format import MessageToDict

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from cors_authz.envoy.encode import Encoder
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
        assert MessageToDict(response.dynamic_metadata)["decision_id"] == DECISION_ID[::-1]


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
    assert said == {"decision_id": DECISION_ID, "revision": "r1", **then}


def test_without_a_policy_there_is_no_revision() -> None:
    said = MessageToDict(wire(None, DECISIONS["no policy"]).dynamic_metadata)
    assert (said["reason"], said["revision"]) == ("policy_unavailable", "")


SHADOWS = [name for name in DECISIONS if name.startswith("shadow")]


@pytest.mark.parametrize("name", SHADOWS)
def test_shadow_touches_nothing(name: str) -> None:
    response = wire(POLICY, DECISIONS[name])
    assert response.status.code == 0
    assert answer_on(response) == Answer()


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
