"""The decisions of a policy through a real Envoy: what clients get, and what reaches the upstream."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from cors_authz.demo.upstream import Seen, Upstream
from cors_authz.edge.jwks import KeysError, KeySource, KeySources
from cors_authz.edge.policy_store import ActivePolicy
from cors_authz.edge.service import CheckService, Watch
from cors_authz.edge.tokens import TokenReader
from cors_authz.envoy.bootstrap import Config
from cors_authz.envoy.encode import Encoder
from cors_authz.policy.compiled import CompiledPolicy
from cors_authz.policy.document import Source
from cors_authz.policy.load import load_policy
from tests.integration.conftest import Answer, Mesh, MeshFactory

DECISION_ID = "0123456789abcdef0123456789abcdef"
NOW = 1_790_000_000.0  # September 2026

POLICY = """
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: answers}
originGroups:
  web:    {origins: ["https://web.example"], trust: high}
  reader: {origins: ["https://reader.example"], trust: medium}
  anyone: {any: true}
identity:
  jwt:
    main:
      issuer: https://id.example
      audiences: [api]
      keys: {jwksUri: "https://id.example/jwks"}
      algorithms: [ES256]
guards:
  signed-in: {authenticated: true}
resourceGroups:
  api:
    match:
    - {hosts: [api.example], paths: ["/{version}/**"]}
    versions:
      v1: {deprecated: 2026-01-01, sunset: 2026-02-01, successor: v2}
      v2: {deprecated: 2026-06-01, sunset: 2030-01-01, successor: v3}
      v3: {}
    allow:
    - origins: [web]
      methods: [GET, PUT, POST]
      headers: [content-type, x-trace]
      exposeHeaders: [etag]
      credentials: [cookie]
    - {origins: [reader]}
  private:
    match:
    - {hosts: [api.example], paths: ["/private/**"]}
    sensitivity: confidential
    guards: [signed-in]
    allow:
    - {origins: [web], credentials: [bearer]}
  live:
    match:
    - {hosts: [api.example], paths: [/live]}
    protocols: [websocket]
    allow:
    - {origins: [web]}
  rpc:
    match:
    - {hosts: [api.example], paths: ["/rpc.Service/*"]}
    protocols: [grpc-web]
    allow:
    - {origins: [web]}
  assets:
    match:
    - {hosts: [cdn.example]}
    sensitivity: public
    responseHeaders: {crossOriginResourcePolicy: cross-origin}
    allow:
    - {origins: [anyone]}
  trial:
    match:
    - {hosts: [trial.example]}
    mode: shadow
    allow: []
"""

OWN_CORS = (
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("access-control-allow-methods", "GET, DELETE"),
    ("vary", "Accept-Encoding"),
)
"""What an upstream that speaks CORS of its own sends."""

TOKEN = "eyJhbGciOiJFUzI1NiJ9.e30." + "A" * 86
"""A token that nobody can judge without keys: ES256, no claims, a signature of zeros."""

WEB = ("origin", "https://web.example")
EVIL = ("origin", "https://evil.example")


def _service() -> Callable[[bytes], bytes]:
    policy = load_policy((Source("policy.yaml", POLICY.encode()),), "prod").policy
    active = ActivePolicy(policy, Encoder(policy), TokenReader(policy.providers, _no_keys(policy)))
    service = CheckService(lambda: active, lambda: NOW, lambda: 0.0, lambda: DECISION_ID, Watch())
    return lambda raw: service.check(raw, ())


def _no_keys(policy: CompiledPolicy) -> Mapping[str, KeySource]:
    """The keys of issuers that never answer."""

    def fetch(_url: str) -> bytes:
        raise KeysError("nobody answers")

    return KeySources(fetch, lambda: 0.0).of(policy.providers.values())


@pytest.fixture(scope="module")
def plain(mesh: MeshFactory) -> Mesh:
    """The bootstrap that we generate."""
    return mesh(_service(), upstream=Upstream(extra_headers={"/v3/cors": OWN_CORS}))


@pytest.fixture(scope="module")
def unstripped(mesh: MeshFactory) -> Mesh:
    """A mesh whose operator forgot to strip the upstream's headers: the service alone must hold."""

    def keep_headers(config: Config) -> None:
        (virtual_host,) = _find(config, "virtual_hosts")
        del virtual_host["response_headers_to_remove"]

    upstream = Upstream(extra_headers={"/v3/cors": OWN_CORS})
    return mesh(_service(), upstream=upstream, alter=keep_headers)


def _find(node: object, name: str) -> Any:  # noqa: ANN401 - a part of the configuration
    """Find the first value of a key, anywhere in a configuration."""
    if isinstance(node, Mapping):
        if name in node:
            return node[name]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            if (found := _find(child, name)) is not None:
                return found
    return None


@dataclass(frozen=True)
class Case:
    """A request, and all that its answer says about CORS, caches and reasons."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    status: int
    answer: Mapping[str, list[str]] = field(default_factory=dict)
    reaches: bool = False
    host: str = "api.example"


SITE_VARY = "Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest"
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

CASES = {
    "a listed origin reads, with its credentials and what the rule exposes": Case(
        "GET",
        "/v3/a",
        (WEB,),
        200,
        {
            "access-control-allow-origin": ["https://web.example"],
            "access-control-allow-credentials": ["true"],
            "access-control-expose-headers": ["etag"],
            "vary": [SITE_VARY],
        },
        reaches=True,
    ),
    "an unlisted origin's read goes on, and names no origin": Case(
        "GET", "/v3/a", (EVIL,), 200, {"vary": [SITE_VARY]}, reaches=True
    ),
    "an unlisted origin's write is stopped and learns an id": Case(
        "POST", "/v3/a", (EVIL,), 403, {"vary": [SITE_VARY], "cache-control": ["no-store"]}
    ),
    "a preflight is answered 204 with what it asks for, and no body": Case(
        "OPTIONS",
        "/v3/a",
        (WEB, ("access-control-request-method", "PUT"), ("access-control-request-headers", "content-type,x-trace")),
        204,
        {
            "access-control-allow-origin": ["https://web.example"],
            "access-control-allow-credentials": ["true"],
            "access-control-allow-methods": ["PUT"],
            "access-control-allow-headers": ["content-type,x-trace"],
            "access-control-max-age": ["600"],
            "vary": [PREFLIGHT_VARY],
            "content-length": [],
        },
    ),
    "a preflight for a method that is not granted is refused bare": Case(
        "OPTIONS",
        "/v3/a",
        (WEB, ("access-control-request-method", "DELETE")),
        403,
        {"vary": [PREFLIGHT_VARY], "cache-control": ["no-store"], "content-length": ["0"]},
    ),
    "a preflight needs no identity": Case(
        "OPTIONS",
        "/private/a",
        (WEB, ("access-control-request-method", "GET"), ("access-control-request-headers", "authorization")),
        204,
        {
            "access-control-allow-origin": ["https://web.example"],
            "access-control-allow-methods": ["GET"],
            "access-control-allow-headers": ["authorization"],
            "access-control-max-age": ["600"],
            "vary": [PREFLIGHT_VARY],
        },
    ),
    "a preflight of an unlisted origin never reaches the upstream": Case(
        "OPTIONS",
        "/v3/a",
        (EVIL, ("access-control-request-method", "PUT")),
        403,
        {"vary": [PREFLIGHT_VARY], "cache-control": ["no-store"]},
    ),
    "a fault of ours is 503, readable by a listed origin, and never passes": Case(
        "GET",
        "/private/a",
        (WEB, ("authorization", f"Bearer {TOKEN}")),
        503,
        {
            "access-control-allow-origin": ["https://web.example"],
            "retry-after": ["1"],
            "content-type": ["application/problem+json"],
            "cache-control": ["no-store"],
            "vary": [f"{SITE_VARY}, Authorization"],
        },
    ),
    "a deprecated version announces its end and its successor": Case(
        "GET",
        "/v2/a",
        (),
        200,
        {
            "deprecation": ["@1780272000"],
            "sunset": ["Tue, 01 Jan 2030 00:00:00 GMT"],
            "link": ['</v3/a>; rel="successor-version"'],
            "vary": [SITE_VARY],
        },
        reaches=True,
    ),
    "a retired version is gone, and a listed origin reads why": Case(
        "GET",
        "/v1/a",
        (WEB,),
        410,
        {
            "access-control-allow-origin": ["https://web.example"],
            "access-control-allow-credentials": ["true"],
            "access-control-expose-headers": ["etag"],
            "deprecation": ["@1767225600"],
            "sunset": [],
            "link": ['</v2/a>; rel="successor-version"'],
            "cache-control": ["no-store"],
            "content-type": ["application/problem+json"],
            "vary": [SITE_VARY],
        },
    ),
    "a version that is not there is not found": Case(
        "GET", "/v9/a", (), 404, {"cache-control": ["no-store"], "vary": [SITE_VARY]}
    ),
    "public assets say * to everyone and vary on nothing": Case(
        "GET",
        "/font",
        (),
        200,
        {"access-control-allow-origin": ["*"], "cross-origin-resource-policy": ["cross-origin"]},
        reaches=True,
        host="cdn.example",
    ),
    "a host that no group lists is misdirected": Case(
        "GET", "/v3/a", (), 421, {"vary": ["Origin"], "cache-control": ["no-store"]}, host="rebound.example"
    ),
    "a path that no group covers is refused": Case(
        "GET", "/", (), 403, {"vary": ["Origin"], "cache-control": ["no-store"]}
    ),
    "an encoded slash is refused": Case(
        "GET", "/v3/a%2Fb", (), 400, {"vary": [SITE_VARY], "cache-control": ["no-store"]}
    ),
    "two origins in one header are malformed": Case(
        "GET", "/v3/a", (WEB, EVIL), 403, {"vary": [SITE_VARY], "cache-control": ["no-store"]}
    ),
    "an image on another site is not embedded": Case(
        "GET",
        "/v3/a",
        (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")),
        403,
        {"vary": [SITE_VARY], "cache-control": ["no-store"]},
    ),
    "in shadow a preflight is forwarded and nothing is touched": Case(
        "OPTIONS",
        "/a",
        (EVIL, ("access-control-request-method", "PUT")),
        200,
        {"x-cors-authz-decision-id": []},
        reaches=True,
        host="trial.example",
    ),
}

TOLD = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "deprecation",
    "sunset",
    "link",
    "vary",
    "cache-control",
    "retry-after",
    "cross-origin-resource-policy",
)


@pytest.mark.parametrize("sentence", CASES)
def test_what_a_client_gets(plain: Mesh, sentence: str) -> None:
    case = CASES[sentence]
    plain.upstream.clear()
    answer = plain.request(case.method, case.path, host=case.host, headers=case.headers)
    wanted: dict[str, list[str]] = {name: [] for name in TOLD}
    wanted |= {"x-cors-authz-decision-id": [DECISION_ID]} | dict(case.answer)
    assert {"status": answer.status} | {name: answer.all(name) for name in wanted} == {"status": case.status} | wanted
    assert bool(plain.upstream.requests()) is case.reaches


def test_an_unlisted_origin_learns_the_id_and_nothing_else(plain: Mesh) -> None:
    answer = plain.request("POST", "/v3/a", headers=(EVIL,))
    assert json.loads(answer.body) == {"decision_id": DECISION_ID}


def test_a_listed_origin_reads_how_to_mend_its_request(plain: Mesh) -> None:
    answer = plain.request("DELETE", "/v3/a", headers=(WEB,))
    assert json.loads(answer.body) == {
        "type": "urn:cors-authz:reason:method_not_allowed",
        "title": "the origin may not use this method here, or not in this version",
        "status": 403,
        "detail": "use a method that the rule of this origin lists: GET, HEAD, POST, PUT",
        "decision_id": DECISION_ID,
        "reason": "method_not_allowed",
    }


def _reached(mesh: Mesh, headers: tuple[tuple[str, str], ...], path: str = "/v3/a") -> Seen:
    mesh.upstream.clear()
    answer = mesh.request("GET", path, headers=headers)
    assert answer.status == 200, answer
    (seen,) = mesh.upstream.requests()
    return seen


def test_credentials_that_the_rule_does_not_grant_are_taken_off(plain: Mesh) -> None:
    seen = _reached(plain, (WEB, ("cookie", "a=1"), ("authorization", "Bearer t")))
    assert (seen.header("cookie"), seen.header("authorization")) == ("a=1", None)


def test_an_unlisted_read_travels_without_credentials(plain: Mesh) -> None:
    seen = _reached(plain, (EVIL, ("cookie", "a=1"), ("authorization", "Bearer t")))
    assert (seen.header("cookie"), seen.header("authorization")) == (None, None)


def test_the_upstream_is_told_the_facts_of_the_decision(plain: Mesh) -> None:
    seen = _reached(plain, (WEB,))
    told = {name: value for name, value in seen.headers if name.startswith("x-cors-authz-")}
    assert told == {
        "x-cors-authz-decision-id": DECISION_ID,
        "x-cors-authz-origin-group": "web",
        "x-cors-authz-api-version": "v3",
    }


def test_words_that_a_client_puts_into_our_mouth_never_reach_the_upstream(plain: Mesh) -> None:
    lies = (
        ("x-cors-authz-roles", "admin"),
        ("x-cors-authz-tenant", "acme"),
        ("X-Cors-Authz-Origin-Group", "web"),
        ("x-cors-authz-decision-id", "mine"),
        ("x-cors-authz-anything", "else"),
        ("x_cors_authz_roles", "admin"),
        ("x-cors_authz-roles", "admin"),
    )
    seen = _reached(plain, lies)
    told = {name: value for name, value in seen.headers if "authz" in name.lower()}
    assert told == {"x-cors-authz-decision-id": DECISION_ID, "x-cors-authz-api-version": "v3"}


def _grants(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers if name.startswith("access-control-")}


def test_an_upstream_does_not_widen_what_a_listed_origin_gets(unstripped: Mesh) -> None:
    answer = unstripped.request("GET", "/v3/cors", headers=(("origin", "https://reader.example"),))
    assert _grants(answer) == {
        "access-control-allow-origin": "https://reader.example",
        "access-control-allow-credentials": "",
        "access-control-allow-methods": "",
    }


def test_an_upstream_does_not_let_an_unlisted_origin_read(unstripped: Mesh) -> None:
    answer = unstripped.request("GET", "/v3/cors", headers=(EVIL,))
    assert set(_grants(answer).values()) == {""}


def test_the_upstreams_own_vary_is_kept(unstripped: Mesh) -> None:
    answer = unstripped.request("GET", "/v3/cors", headers=(WEB,))
    assert ",".join(answer.all("vary")).replace(" ", "") == f"Accept-Encoding,{SITE_VARY}".replace(" ", "")


def test_headers_that_are_blanked_are_not_sent_where_the_upstream_sent_none(unstripped: Mesh) -> None:
    assert _grants(unstripped.request("GET", "/v3/a", headers=(EVIL,))) == {}


HANDSHAKE = (
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param((*HANDSHAKE, WEB), 101, id="a WebSocket of a listed origin opens"),
        pytest.param((*HANDSHAKE, EVIL), 403, id="a WebSocket of a foreign origin does not"),
        pytest.param((*HANDSHAKE, ("origin", "null")), 403, id="a WebSocket of an opaque origin does not"),
        pytest.param(HANDSHAKE, 101, id="a WebSocket of no browser opens"),
        pytest.param((WEB,), 403, id="plain HTTP is not served where only WebSockets are"),
    ],
)
def test_7_1_websockets(plain: Mesh, headers: tuple[tuple[str, str], ...], status: int) -> None:
    assert plain.request("GET", "/live", headers=headers).status == status


def test_7_2_a_connect_is_refused_and_does_not_harm(plain: Mesh) -> None:
    answer = plain.raw(b"CONNECT api.example:443 HTTP/1.1\r\nhost: api.example:443\r\nconnection: close\r\n\r\n")
    assert b" 40" in answer.split(b"\r\n")[0]
    assert plain.request("GET", "/v3/a").status == 200


def test_7_3_a_grpc_web_client_is_told_what_it_may_read(plain: Mesh) -> None:
    preflight = (
        WEB,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-grpc-web,x-user-agent"),
    )
    assert plain.request("OPTIONS", "/rpc.Service/Call", headers=preflight).status == 204
    call = (WEB, ("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1"))
    answer = plain.request("POST", "/rpc.Service/Call", headers=call, body=b"")
    assert answer.all("access-control-expose-headers") == ["grpc-status,grpc-message,grpc-status-details-bin"]


def test_7_3_grpc_web_of_a_foreign_origin_is_stopped(plain: Mesh) -> None:
    call = (EVIL, ("content-type", "application/grpc-web-text+proto"), ("x-grpc-web", "1"))
    plain.upstream.clear()
    assert plain.request("POST", "/rpc.Service/Call", headers=call, body=b"").status == 403
    assert not plain.upstream.requests()


def test_a_host_with_the_right_name_and_another_case_is_the_same(plain: Mesh) -> None:
    assert plain.request("GET", "/v3/a", host="API.Example:10000").status == 200
