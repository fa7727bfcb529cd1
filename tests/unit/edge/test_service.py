"""One check: whatever comes in and whatever breaks inside, an answer says its status, and no fault allows."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Mapping
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cors_authz._gen.wire.external_auth_pb2 import AttributeContext, CheckRequest, CheckResponse, HeaderValue
from cors_authz.edge.jwks import KeyRing, KeySource
from cors_authz.edge.observation import STAGES, NotRecordedError, Observation, Parent, SpanIds
from cors_authz.edge.policy_store import ActivePolicy
from cors_authz.edge.service import CheckService, Watch
from cors_authz.edge.tokens import TokenReader
from cors_authz.envoy.encode import Encoder
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Reason
from tests.deciding import DECISION_ID, NOW, compiled

POLICY = """
identity:
  jwt:
    main:
      issuer: "https://id.shop.example"
      audiences: [shop]
      keys: {jwksUri: "https://id.shop.example/jwks"}
      algorithms: [RS256]
guards:
  signed-in: {authenticated: true, provider: main}
originGroups:
  web: {origins: ["https://shop.example"], trust: high}
resourceGroups:
  api:
    match:
    - {hosts: [api.shop.example]}
    allow:
    - {origins: [web], methods: [GET, POST], headers: [content-type], credentials: [cookie]}
  own:
    match:
    - {hosts: [own.shop.example]}
    guards: [signed-in]
    allow: []
"""
WEB = "https://shop.example"
OK, UNAVAILABLE = 0, 14
MOST_SECONDS = 5.0


def active(encoder: object = None, tokens: object = None) -> ActivePolicy:
    policy = compiled(POLICY)
    no_keys = cast("KeySource", SimpleNamespace(current=lambda: KeyRing({}), ask=lambda: None))
    reader = tokens or TokenReader(policy.providers, {"main": no_keys})
    return ActivePolicy(policy, cast("Encoder", encoder or Encoder(policy)), cast("TokenReader", reader))


def broken(*_args: object) -> Any:  # noqa: ANN401 - it returns nothing at all
    raise RuntimeError("injected")


def service(
    policy: Callable[[], ActivePolicy] = active,
    clock: Callable[[], float] = lambda: NOW,
    watch: Watch = Watch(),  # noqa: B008 - a value
) -> CheckService:
    times = count(5.0, 0.25)
    return CheckService(policy, clock, lambda: next(times), lambda: DECISION_ID, watch)


def asked(host: str = "api.shop.example", method: str = "GET", path: str = "/", **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(host, method, path, named)


def request(host: str, method: str, path: str, headers: Mapping[str, str]) -> bytes:
    http = AttributeContext.HttpRequest(method=method, scheme="https", host=host, path=path, headers=headers)
    attributes = AttributeContext(request=AttributeContext.Request(http=http))
    return CheckRequest(attributes=attributes).SerializeToString()


def raw_lines(count: int) -> bytes:
    """Write a request as Envoy does with `encode_raw_headers`, with so many lines of one name."""
    check = CheckRequest.FromString(asked())
    line = HeaderValue(key="x-a", raw_value=b"v" * 90)
    check.attributes.request.http.ClearField("headers")
    check.attributes.request.http.header_map.headers.extend([line] * count)
    return check.SerializeToString()


def answer(raw: bytes, to: CheckService | None = None) -> CheckResponse:
    """Ask, and hold what every answer keeps: a status that was set, and an envelope that says the same."""
    response = CheckResponse.FromString((to or service()).check(raw, ()))
    assert response.HasField("status")
    envelopes = {"ok_response"} if response.status.code == OK else {"denied_response", "error_response"}
    assert response.WhichOneof("http_response") in envelopes
    return response


def reason(response: CheckResponse) -> str:
    return response.dynamic_metadata.fields["reason"].string_value


def test_what_the_policy_allows_is_allowed() -> None:
    response = answer(asked(origin=WEB))
    assert (response.status.code, reason(response)) == (OK, "rule_allowed")


MALFORMED = {
    "no bytes": b"",
    "garbage": b"\xff" * 64,
    "a message cut short": asked(origin=WEB)[:-3],
    "attributes without a request": CheckRequest(attributes=AttributeContext()).SerializeToString(),
    "a request without http": CheckRequest(
        attributes=AttributeContext(request=AttributeContext.Request())
    ).SerializeToString(),
    "text that is not UTF-8": asked(path="/QQ").replace(b"/QQ", b"/\xff\xfe"),
    "megabytes of zeros": bytes(4 * 1024 * 1024),
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_request_is_refused(raw: bytes) -> None:
    response = answer(raw)
    assert (response.status.code, reason(response)) == (7, "request_malformed")


HOSTILE = {
    "an origin of 8 KB": asked(origin="https://" + "a" * 8192),
    "an origin of 8 KB that begins like ours": asked(origin=WEB + "." + "a" * 8192),
    "NUL in an origin": asked(origin=WEB + "\0"),
    "CR and LF in an origin": asked(origin=WEB + "\r\nset-cookie: a=b"),
    "LF alone in an origin": asked(origin=WEB + "\n"),
    "two origins": asked(origin=f"{WEB},{WEB}"),
    "a blank before an origin": asked(origin=" " + WEB),
    "an origin in upper case": asked(origin=WEB.upper()),
    "an origin that is not ASCII": asked(origin="https://shop\u3002example"),
    "no host": asked(host="", origin=WEB),
    "CR and LF in a host": asked(host="api.shop.example\r\nx: y", origin=WEB),
    "a path that climbs": asked(path="/a/../../b", origin=WEB),
    "10,000 names asked in a preflight": asked(
        method="OPTIONS",
        origin=WEB,
        access_control_request_method="GET",
        access_control_request_headers=",".join(f"x-{n}" for n in range(10_000)),
    ),
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_what_is_hostile_is_refused_and_not_as_a_fault(raw: bytes) -> None:
    response = answer(raw)
    assert response.status.code not in {OK, UNAVAILABLE}
    told = [option.header for option in response.denied_response.headers]
    assert not [header for header in told if header.key.lower().startswith("access-control-")]
    assert not [header for header in told if {"\r", "\n", "\0"} & set(header.value)]


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("", "request_malformed"),
        ("GET\r\n", "request_malformed"),
        ("GET\0", "request_malformed"),
        ("g" * 8192, "method_not_allowed"),
    ],
)
def test_a_method_that_is_none_is_refused(method: str, why: str) -> None:
    response = answer(asked(method=method, origin=WEB))
    assert (response.status.code, reason(response)) == (7, why)


HUGE = {
    "1 MB in one header": asked(origin=WEB, x_long="a" * 1_000_000),
    "1 MB in a cookie": asked(origin=WEB, cookie="a=b; " * 200_000),
    "1 MB in a bearer token": asked(host="own.shop.example", authorization="Bearer " + "a" * 1_000_000),
    "1 MB of dots in a bearer token": asked(host="own.shop.example", authorization="Bearer " + "." * 1_000_000),
    "10,000 headers": request(
        "api.shop.example", "GET", "/", {"origin": WEB} | {f"x-{n}": "v" * 90 for n in range(10_000)}
    ),
    "10,000 headers with names like ours": request(
        "api.shop.example", "GET", "/", {"origin": WEB} | {f"x-cors-authz-{n}": "v" for n in range(10_000)}
    ),
    "10,000 raw lines of one name": raw_lines(10_000),
    "1 MB of path": asked(path="/a" * 500_000, origin=WEB),
    "1 MB of asked headers": asked(
        method="OPTIONS", origin=WEB, access_control_request_method="GET", access_control_request_headers="a," * 500_000
    ),
    "1 MB of origin": asked(origin="https://" + "a." * 500_000),
}


@pytest.mark.parametrize("raw", HUGE.values(), ids=HUGE)
def test_what_is_huge_is_answered_in_bounded_time_and_memory(raw: bytes) -> None:
    checks = service()
    tracemalloc.start()
    began = time.perf_counter()
    response = answer(raw, checks)
    took, (_, peak) = time.perf_counter() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert response.status.code != UNAVAILABLE
    assert took < MOST_SECONDS
    assert peak < 32 * len(raw) + 4_000_000


FAULTS: dict[str, Callable[[], CheckService]] = {
    "the policy cannot be had": lambda: service(policy=broken),
    "the clock fails": lambda: service(clock=broken),
    "the token reader fails": lambda: service(policy=lambda: active(tokens=SimpleNamespace(read=broken))),
    "the encoder fails": lambda: service(policy=lambda: active(encoder=SimpleNamespace(encode=broken))),
}


@pytest.mark.parametrize("faulty", FAULTS.values(), ids=FAULTS)
def test_a_fault_inside_never_allows(faulty: Callable[[], CheckService], caplog: pytest.LogCaptureFixture) -> None:
    host = "own.shop.example"
    response = answer(asked(host=host, authorization="Bearer a.b.c"), faulty())
    assert (response.status.code, reason(response)) == (UNAVAILABLE, "internal_error")
    assert response.WhichOneof("http_response") == "error_response"
    assert f"decision {DECISION_ID} failed" in caplog.text


def test_a_fault_is_observed_as_what_was_answered() -> None:
    seen: list[Observation] = []
    answer(asked(), service(policy=broken, watch=Watch(observe=seen.append)))
    assert seen == [Observation(refuse_unread(Reason.INTERNAL_ERROR, NOW), DECISION_ID, [5.0, 5.25])]


def test_a_check_is_observed_with_its_stages_and_the_span_that_it_belongs_to() -> None:
    seen: list[Observation] = []
    metadata: tuple[tuple[str, str | bytes], ...] = (("traceparent", "x"),)
    parent = Parent(SpanIds("1" * 32, "2" * 16), is_sampled=True)
    parents = {metadata: parent}
    to = service(watch=Watch(lambda found: parents[tuple(found)], seen.append))
    to.check(asked(origin=WEB), metadata)
    [observation] = seen
    assert observation.decision.reason is Reason.RULE_ALLOWED
    assert observation[1:] == (DECISION_ID, [5.0, 5.25, 5.5, 5.75, 6.0, 6.25], parent, {})
    assert len(observation.laps) == len(STAGES) + 1


def test_what_must_be_recorded_and_cannot_be_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    def observe(_seen: Observation) -> None:
        raise NotRecordedError

    response = answer(asked(origin=WEB), service(watch=Watch(observe=observe)))
    assert (response.status.code, reason(response)) == (UNAVAILABLE, "audit_unavailable")
    assert response.WhichOneof("http_response") == "error_response"
    assert not caplog.records


@pytest.mark.parametrize(("origin", "code"), [(WEB, OK), ("https://evil.example\0", 7)])
@pytest.mark.parametrize("watch", [Watch(observe=broken), Watch(parent_of=broken)], ids=["observe", "parent_of"])
def test_an_observer_that_fails_changes_no_answer(
    watch: Watch, origin: str, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    response = answer(asked(origin=origin), service(watch=watch))
    assert response == answer(asked(origin=origin))
    assert response.status.code == code
    assert f"decision {DECISION_ID} was made, and could not be recorded" in caplog.text


@given(st.binary(max_size=400))
@settings(max_examples=150)
def test_random_bytes_never_allow(raw: bytes) -> None:
    assert answer(raw).status.code != OK


@given(st.data())
@settings(max_examples=150)
def test_a_request_with_a_damaged_byte_is_answered_and_is_no_fault(data: st.DataObject) -> None:
    raw = bytearray(asked(origin=WEB, cookie="a=b"))
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert answer(bytes(raw)).status.code != UNAVAILABLE


@given(st.dictionaries(st.sampled_from(["origin", "cookie", "authorization", "sec-fetch-site", "x-a"]), st.text()))
@settings(max_examples=200)
def test_whatever_headers_say_is_no_fault(headers: dict[str, str]) -> None:
    encodable = {name: value.encode("utf-8", "ignore").decode() for name, value in headers.items()}
    for host in ("api.shop.example", "own.shop.example"):
        assert answer(request(host, "POST", "/", encodable)).status.code != UNAVAILABLE
