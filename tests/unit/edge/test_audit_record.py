"""A record: what a line says of a decision, what it never says, and that it is what the contract has."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any, Final
from weakref import ref

import orjson
import pytest
from google.protobuf.json_format import MessageToDict, Parse

from cors_authz._gen.v1.decision_pb2 import DecisionRecord
from cors_authz.edge.audit import record
from cors_authz.edge.audit.options import NEVER_REVEALED, AuditOptions, WriterOptions
from cors_authz.edge.audit.record import Recorder
from cors_authz.edge.client_text import MAX_TEXT
from cors_authz.edge.observation import Observation, SpanIds
from cors_authz.edge.settings_error import SettingsError
from cors_authz.fetch.request import Request
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Outcome, Reason
from cors_authz.pdp.readings import TokenReading
from cors_authz.policy.compiled import CompiledPolicy
from tests.deciding import DECISION_ID, IDENTITY, NOW, ask, compiled, decided, preflight, token

TEXT: Final = (
    IDENTITY
    + """
originGroups:
  web: {origins: ["https://shop.example"], trust: high}
guards:
  lan: {sourceIn: [10.0.0.0/8], description: "only from the office", phase: both}
  signed-in: {authenticated: true, provider: main}
  clerk: {anyRole: [clerk], provider: main}
resourceGroups:
  api:
    match: [{hosts: [api.shop.example], paths: ["/orders/{id}"]}]
    allow:
    - {name: pages, origins: [web], methods: [GET, PUT], headers: [x-a], description: "the shop's own pages"}
  office:
    match: [{hosts: [office.shop.example]}]
    guards: [lan, signed-in, clerk]
    description: "what clerks need"
    allow:
    - {origins: [web], methods: [GET], credentials: [bearer]}
  try:
    match: [{hosts: [try.shop.example]}]
    mode: shadow
    allow: []
"""
)
POLICY: Final = compiled(TEXT)
WEB: Final = "https://shop.example"
SPAN: Final = SpanIds("a" * 32, "b" * 16)
STDOUT: Final = WriterOptions(targets=("-",))
ALLOWED: Final = ask("GET https://api.shop.example/orders/42", origin=WEB)
TOKEN: Final = {"main": token(sub="u-1", roles=["clerk", "admin"], deep={"er": [1, True]})}


def observed(decision: Decision, tokens: Mapping[str, TokenReading] | None = None) -> Observation:
    return Observation(decision, DECISION_ID, (5.0, 5.000_0505), None, tokens or {})


def recorded(
    request: Request,
    policy: CompiledPolicy = POLICY,
    tokens: Mapping[str, TokenReading] | None = None,
    reveal: tuple[str, ...] = (),
    span: SpanIds | None = None,
) -> dict[str, Any]:
    recorder = Recorder(AuditOptions(writer=STDOUT, reveal=reveal))
    observation = observed(decided(policy, request, tokens), tokens)
    line = recorder.line_of(observation, span)
    # The second line is spliced from what the first one left behind.
    assert recorder.line_of(observation, span) == line
    read: dict[str, Any] = orjson.loads(line)
    assert MessageToDict(Parse(line, DecisionRecord()), preserving_proto_field_name=True) is not None
    return read


def place_of(text: str) -> str:
    """Find the line of the policy's file that holds a text; tests/deciding.py puts three lines of head before it."""
    return f"policy.yaml:{3 + 1 + TEXT[: TEXT.index(text)].count(chr(10))}"


def test_an_allowed_request_is_recorded_whole() -> None:
    request = ask(
        "PUT https://api.shop.example/orders/42?token=s3cret",
        origin=WEB,
        x_request_id="r-1",
        sec_fetch_site="same-site",
        content_type="text/plain",
        cookie="s3cret",
        authorization="Bearer s3cret",
        user_agent="s3cret",
    )
    assert recorded(request, span=SPAN) == {
        "kind": "decision",
        "time": NOW,
        "decision_id": DECISION_ID,
        "latency_us": 50,
        "request_id": "r-1",
        "method": "PUT",
        "host": "api.shop.example",
        "path": "/orders/{id}",
        "origin": WEB,
        "origin_group": "web",
        "erased": ["query"],
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "outcome": "allow",
        "reason": "rule_allowed",
        "status": 0,
        "shadow": False,
        "group": "api",
        "rule": "api/pages",
        "justification": {"text": "the shop's own pages", "at": place_of("- {name: pages")},
        "injected": ["access-control-allow-origin", "vary", "x-cors-authz-decision-id", "x-cors-authz-origin-group"],
        "revision": "r1",
    }


def test_a_preflight_is_recorded_with_what_it_asks_for_and_what_it_got() -> None:
    read = recorded(preflight("PUT https://api.shop.example/orders/42", WEB, "x-a"))
    assert (read["outcome"], read["status"]) == ("preflight_allow", 204)
    assert read["headers"] == {"access-control-request-method": "PUT", "access-control-request-headers": "x-a"}
    assert read["injected"] == [
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "access-control-max-age",
        "vary",
        "x-cors-authz-decision-id",
    ]
    assert (
        "access-control-allow-headers"
        not in recorded(preflight("PUT https://api.shop.example/orders/4", WEB))["injected"]
    )


def test_a_refusal_is_recorded_with_the_headers_that_led_to_it() -> None:
    sent = {"sec_fetch_site": "cross-site", "content_type": "text/plain", "cookie": "s3cret", "user_agent": "s3cret"}
    read = recorded(ask("PUT https://api.shop.example/orders/1", origin="https://evil.example", **sent))
    assert (read["outcome"], read["headers"]) == (
        "deny",
        {"content-type": "text/plain", "sec-fetch-site": "cross-site"},
    )


def test_a_refusal_by_a_guard_quotes_it_and_tells_the_guards_in_their_order() -> None:
    request = ask("GET https://office.shop.example/", origin=WEB, source="10.0.0.1")
    read = recorded(request, tokens={"main": token(sub="u-1")})
    assert read["guards"] == [
        {"name": "lan", "verdict": "passes"},
        {"name": "signed-in", "verdict": "passes"},
        {"name": "clerk", "verdict": "objects"},
    ]
    assert (read["reason"], read["justification"]) == ("role_missing", {"at": place_of("clerk:")})
    outside = recorded(ask("GET https://office.shop.example/", origin=WEB, source="192.0.2.1"))
    assert [guard["verdict"] for guard in outside["guards"]] == ["objects", "not asked", "not asked"]
    assert outside["justification"] == {"text": "only from the office", "at": place_of("lan:")}


def test_a_refusal_without_a_rule_quotes_the_group() -> None:
    read = recorded(ask("POST https://office.shop.example/", origin="https://evil.example"))
    assert read["justification"] == {"text": "what clerks need", "at": place_of("office:")}
    assert ("rule" in read, "guards" in read, "origin_group" in read) == (False, False, False)


def test_what_is_recorded_in_shadow_says_so_and_injects_nothing() -> None:
    read = recorded(ask("POST https://try.shop.example/", origin="https://evil.example"))
    assert (read["outcome"], read["status"], read["shadow"], "injected" in read) == ("deny", 403, True, False)


def test_a_caller_is_recorded_by_roles_and_certificate() -> None:
    request = ask("GET https://office.shop.example/", source="10.0.0.1", principal="spiffe://mesh.example/a")
    read = recorded(request, tokens=TOKEN)
    assert (read["roles"], read["principal"]) == (["clerk", "admin"], "spiffe://mesh.example/a")
    assert "claims" not in read


def test_tenant_and_version_are_recorded() -> None:
    policy = compiled("""
resourceGroups:
  api:
    match: [{hosts: ["{tenant}.shop.example"], paths: ["/{version}/**"]}]
    versions: {v1: {}, v2: {deprecated: 2026-01-01T00:00:00Z, successor: v1}}
    unlisted: {reads: forward}
    allow: []
""")
    read = recorded(ask("GET https://acme.shop.example/v1/a"), policy)
    assert (read["tenant"], read["version"]) == ("acme", "v1")
    assert "x-cors-authz-tenant" in read["injected"]
    assert "deprecation" in recorded(ask("GET https://acme.shop.example/v2/a"), policy)["injected"]


def test_what_could_not_be_read_has_a_line_too() -> None:
    line = Recorder(AuditOptions(writer=STDOUT)).line_of(observed(refuse_unread(Reason.REQUEST_MALFORMED, NOW)), SPAN)
    assert orjson.loads(line) == {
        "kind": "decision",
        "time": NOW,
        "decision_id": DECISION_ID,
        "latency_us": 50,
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "outcome": "deny",
        "reason": "request_malformed",
        "status": 400,
        "shadow": False,
        "injected": ["cache-control", "content-type", "vary", "x-cors-authz-decision-id"],
    }


def test_headers_and_claims_are_revealed_where_that_is_asked_for() -> None:
    request = ask("GET https://office.shop.example/", source="10.0.0.1", x_client="c", x_other="s3cret")
    read = recorded(request, tokens=TOKEN, reveal=("header:x-client", "claim:sub", "claim:deep", "claim:absent"))
    assert (read["headers"], read["claims"]) == ({"x-client": "c"}, {"sub": "u-1", "deep": '{"er":[1,true]}'})


def test_where_two_issuers_are_asked_a_claim_says_whose_it_is() -> None:
    policy = compiled(
        IDENTITY
        + """
guards:
  a: {authenticated: true, provider: main}
  b: {authenticated: true, provider: staff}
  either: {anyOf: [a, b]}
resourceGroups: {api: {match: [{hosts: [api.example]}], guards: [either], allow: []}}
"""
    )
    read = recorded(
        ask("GET https://api.example/", authorization="Bearer t"),
        policy,
        tokens={"main": token(sub="u-1")},
        reveal=("claim:sub",),
    )
    assert read["claims"] == {"main:sub": "u-1"}


def test_a_header_that_carries_a_provider_s_token_is_masked_whatever_is_asked_for() -> None:
    read = recorded(ALLOWED._replace(headers={**ALLOWED.headers, "x-staff": "s3cret"}), reveal=("header:x-staff",))
    assert (read["masked"], "headers" in read) == (["header:x-staff"], False)


REFUSED: Final = {
    **{f"{name}, which holds secrets": f"header:{name}" for name in sorted(NEVER_REVEALED)},
    "our own words": "header:x-cors-authz-exception",
    "a name that is none": "header:x client",
    "a name in upper case, which would never match": "header:X-Client",
    "something else": "cookie:session",
    "nothing": "",
}


@pytest.mark.parametrize("revealed", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_revealed_is_told_at_the_start(revealed: str) -> None:
    with pytest.raises(SettingsError, match="audit-reveal: "):
        AuditOptions(writer=STDOUT, reveal=(revealed,))


@pytest.mark.parametrize("character", ["a", "\n", '"', "\u00e9", "\0", "\ud800", "\r", "\u2028"])
def test_what_a_client_sends_neither_breaks_a_line_nor_fills_the_disk(character: str) -> None:
    text = character * 100_000
    headers = {"origin": text, "x-request-id": text, "content-type": text, "sec-fetch-site": text}
    request = Request(text, "https", text, "/" + text, headers, principal=text)
    decision = decided(POLICY, request)
    line = Recorder(AuditOptions(writer=STDOUT)).line_of(observed(decision), None)
    assert line.splitlines(keepends=True) == [line]
    read = orjson.loads(line)
    kept = character if character != "\ud800" else "?"
    assert read["request_id"] == kept * MAX_TEXT
    assert len(line) < 15_000
    Parse(line, DecisionRecord())


def test_a_token_may_have_thousands_of_roles() -> None:
    roles = [f"clerk{number}" * 100 for number in range(5000)]
    read = recorded(
        ask("GET https://office.shop.example/", source="10.0.0.1"), tokens={"main": token(roles=["clerk", *roles])}
    )
    assert (len(read["roles"]), max(map(len, read["roles"]))) == (32, MAX_TEXT)


def test_another_policy_with_the_same_names_has_words_of_its_own() -> None:
    recorder = Recorder(AuditOptions(writer=STDOUT))
    other = compiled(TEXT.replace("own pages", "other pages"))
    texts = [
        orjson.loads(recorder.line_of(observed(decided(policy, ALLOWED)), None))["justification"]["text"]
        for policy in (POLICY, other, POLICY)
    ]
    assert texts == ["the shop's own pages", "the shop's other pages", "the shop's own pages"]


MANY: Final = """
originGroups:
  web: {origins: ["https://shop.example", "https://a.shop.example"], trust: high}
  all: {origins: ["https://*.shop.example", "https://shop.example:444"], trust: high}
guards:
  lan: {sourceIn: [10.0.0.0/8], phase: both}
  near: {sourceIn: [10.0.0.0/16]}
  here: {header: {name: x-a, equals: b}}
resourceGroups:
  api:
    match: [{hosts: [api.example], paths: ["/{version}/**"]}, {hosts: ["{tenant}.t.example"]}]
    versions:
      v1: {deprecated: 2026-01-01T00:00:00Z, sunset: 2028-01-01T00:00:00Z, successor: v2}
      v2: {deprecated: 2028-01-01T00:00:00Z, successor: v3}
      v3: {}
    versionFrom: {header: x-version, default: v3}
    allow:
    - {origins: [web], methods: [GET], headers: [x-a], exposeHeaders: [x-b]}
    - {origins: [all], methods: [GET, PUT], credentials: [cookie]}
  guarded:
    match: [{hosts: [guarded.example]}]
    guards: [lan, near, here]
    allow: [{origins: [web], methods: [PUT], allowPrivateNetwork: true}]
  try:
    match: [{hosts: [try.example]}]
    mode: shadow
    guards: [lan]
    allow: [{origins: [web], methods: [PUT]}]
"""
VARIETY: Final = [
    *(
        ask(f"{method} https://{host}/{path}", origin=origin, source=source, **headers)
        for method in ("GET", "PUT")
        for host, path in (
            *(("api.example", version) for version in ("v1/a", "v2/a", "v3/a", "v9/a", "v8/a")),
            ("acme.t.example", ""),
            ("guarded.example", ""),
            ("try.example", ""),
        )
        for origin in (
            "https://shop.example",
            "https://a.shop.example",
            "https://b.shop.example",
            "https://evil.test",
            "",
        )
        for source, headers in (("10.0.0.1", {"x_a": "b"}), ("10.0.0.1", {}), ("10.1.0.1", {}), ("192.0.2.1", {}))
    ),
    *(
        preflight(f"PUT https://{host}/{path}", origin, *asked, **headers)
        for origin in ("https://shop.example", "https://evil.test")
        for host, path in (("api.example", "v1/a"), ("guarded.example", ""), ("try.example", ""))
        for asked in ((), ("x-a",))
        for headers in ({}, {"access_control_request_private_network": "true"})
    ),
]


def test_what_is_spliced_on_is_what_would_be_written_anew() -> None:
    policy = compiled(MANY)
    decisions = [decided(policy, request, now=now) for now in (NOW, NOW + 5e7) for request in VARIETY]
    decisions += [each._replace(roles=("clerk",)) for each in decisions if each.outcome is Outcome.ALLOW]
    anew = [Recorder(AuditOptions(writer=STDOUT)).line_of(observed(each), None) for each in decisions]
    for order in (1, -1):
        recorder = Recorder(AuditOptions(writer=STDOUT))
        spliced = [recorder.line_of(observed(each), None) for each in decisions[::order]]
        assert list(map(orjson.loads, spliced[::order])) == list(map(orjson.loads, anew))


ALIKE: Final = """
originGroups:
  web: {origins: ["https://shop.example"], trust: high}
guards:
  clerk: {anyRole: [clerk], provider: main}
resourceGroups:
  private:
    match: [{hosts: [private.example]}]
    allow:
    - {origins: [web], methods: [GET], allowPrivateNetwork: true}
    - {origins: [web], methods: [PUT]}
  unnamed:
    match: [{hosts: [unnamed.example, "{version}.unnamed.example"]}]
    allow: [{origins: [web], methods: [GET]}]
  linked:
    match: [{hosts: [linked.example], paths: ["/{version}/**"]}, {hosts: ["{version}.linked.example"]}]
    versions: {v1: {deprecated: 2026-01-01T00:00:00Z, successor: v2}, v2: {}}
    allow: [{origins: [web], methods: [GET]}]
  roles:
    match: [{hosts: [roles.example]}]
    guards: [clerk]
    allow: [{origins: [web], methods: [GET], credentials: [bearer]}]
"""
ANNOUNCED: Final = {
    "a preflight asks for a private network, or says that it does not": (
        preflight("GET https://private.example/", WEB, access_control_request_private_network="false"),
        preflight("GET https://private.example/", WEB, access_control_request_private_network="true"),
    ),
    "a private network is asked for, and the one rule allows it where the other does not": (
        preflight("GET https://private.example/", WEB, access_control_request_private_network="true"),
        preflight("PUT https://private.example/", WEB, access_control_request_private_network="true"),
    ),
    "a version that no policy names is told, or there is none": (
        ask("GET https://unnamed.example/", origin=WEB),
        ask("GET https://v1.unnamed.example/", origin=WEB),
    ),
    "a version stands in the path, where a link may lead on, or in the host": (
        ask("GET https://v1.linked.example/a", origin=WEB),
        ask("GET https://linked.example/v1/a", origin=WEB),
    ),
    "roles are told, or are too many for that": tuple(
        ask("GET https://roles.example/", origin=WEB, authorization=f"Bearer {name}") for name in ("few", "many")
    ),
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("requests", ANNOUNCED.values(), ids=ANNOUNCED)
def test_checks_that_share_words_set_the_same_headers(requests: tuple[Request, ...], order: int) -> None:
    policy = compiled(IDENTITY + ALIKE)
    recorder = Recorder(AuditOptions(writer=STDOUT))
    roles = {"Bearer many": ["clerk", *(f"r{number:05}" for number in range(900))]}
    seen = []
    for request in (*requests[::order], *requests):
        tokens = {"main": token(roles=roles.get(request.headers.get("authorization", ""), ["clerk"]))}
        decision = decided(policy, request, tokens)
        anew = Recorder(AuditOptions(writer=STDOUT)).line_of(observed(decision), None)
        assert orjson.loads(recorder.line_of(observed(decision), None)) == orjson.loads(anew)
        seen.append(orjson.loads(anew)["injected"])
    assert len(set(map(tuple, seen))) == 2


@pytest.mark.changes_constants
def test_what_is_kept_of_a_policy_s_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_MAX_TEXTS", 3)
    recorder = Recorder(AuditOptions(writer=STDOUT))
    policy = compiled(MANY)
    for request in VARIETY:
        recorder.line_of(observed(decided(policy, request)), None)
        known = recorder._known  # noqa: SLF001 - what nobody else sees
        assert max(len(known.ends), len(known.deciders)) <= 3


def test_the_origin_group_is_the_one_whose_rule_decides() -> None:
    policy = compiled(MANY)
    request = ask("PUT https://api.example/v3/a", origin="https://a.shop.example")
    assert recorded(request, policy)["origin_group"] == "all"
    read = recorded(request._replace(method="DELETE"), policy)
    assert (read["reason"], read["origin_group"]) == ("method_not_allowed", "web")


def test_headers_of_preflights_are_recorded_of_preflights_alone() -> None:
    read = recorded(ask("GET https://api.shop.example/orders/1", origin=WEB, access_control_request_method="PUT"))
    assert ("headers" in read, "erased" in read) == (False, False)


def test_a_claim_is_cut_as_every_other_text() -> None:
    request = ask("GET https://office.shop.example/", source="10.0.0.1")
    read = recorded(request, tokens={"main": token(sub="u" * 1000, roles=["clerk"])}, reveal=("claim:sub",))
    assert read["claims"] == {"sub": "u" * MAX_TEXT}


DEEP: Final[Any] = orjson.loads(b"[" * 400 + b"]" * 400)
UNWRITABLE: Final = {
    "nested too deep": DEEP,
    "nested too deep in an object": {"a": DEEP},
    "a number of more than 64 bits": 2**70,
    "half of a surrogate pair": ["\ud800"],
    "half of a surrogate pair as a name": {"\ud800": 1},
}


@pytest.mark.parametrize("value", UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_claim_that_cannot_be_written_does_not_keep_the_decision_from_its_record(value: object) -> None:
    request = ask("GET https://office.shop.example/", source="10.0.0.1")
    read = recorded(request, tokens={"main": token(sub=value, roles=["clerk"])}, reveal=("claim:sub",))
    assert (read["outcome"], read["claims"]) == ("allow", {"sub": "?"})


def test_a_policy_that_is_replaced_is_not_held_on_to() -> None:
    recorder = Recorder(AuditOptions(writer=STDOUT))
    policy = compiled.__wrapped__(TEXT)
    recorder.line_of(observed(decided(policy, ALLOWED)), None)
    held = ref(policy)
    del policy
    gc.collect()
    assert held() is None


def test_the_share_that_is_kept_is_told_of_what_allows_alone() -> None:
    recorder = Recorder(AuditOptions(writer=STDOUT, sample_allow=0.25))
    requests = (ALLOWED, ask("PUT https://api.shop.example/orders/1", origin="https://evil.example"))
    shares = [orjson.loads(recorder.line_of(observed(decided(POLICY, each)), None)).get("share") for each in requests]
    assert shares == [0.25, None]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_told_at_the_start(share: float) -> None:
    with pytest.raises(SettingsError, match="is no share; write a number from 0 to 1"):
        AuditOptions(writer=STDOUT, sample_allow=share)
