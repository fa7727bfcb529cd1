"""How tests decide: the text of a policy, a request on one line, the decision, and the answer as each side sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from textwrap import dedent
from typing import Final
from urllib.parse import urlsplit

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse, HeaderValueOption
from cors_authz.envoy.encode import Encoder
from cors_authz.fetch.request import Request
from cors_authz.pdp.claims import verified
from cors_authz.pdp.decide import decide
from cors_authz.pdp.decision import Decision
from cors_authz.pdp.match import match
from cors_authz.pdp.readings import Readings, TokenReading
from cors_authz.pdp.response import Action, Answer, Header, whole
from cors_authz.policy.compiled import CompiledPolicy
from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.estate import unite
from cors_authz.policy.load import load_policy

DECISION_ID: Final = "0123456789abcdef0123456789abcdef"
NOW: Final = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""

BUNDLE: Final = "apiVersion: cors-authz/v1\nkind: PolicyBundle\nmetadata: {name: p, revision: r1}\n"

IDENTITY: Final = """
identity:
  jwt:
    main:
      issuer: https://id.example
      audiences: [a]
      keys: {jwksUri: "https://id.example/jwks"}
      algorithms: [ES256]
    staff:
      issuer: https://sso.example
      audiences: [a]
      keys: {jwksUri: "https://sso.example/jwks"}
      algorithms: [ES256]
      from: {header: x-staff}
  mtls: {trustDomains: [mesh.example]}
"""
"""Two issuers, `main` by Authorization and `staff` by a header of its own, and certificates of a mesh."""


@cache
def compiled(text: str, environment: str = "prod") -> CompiledPolicy:
    """Compile a policy of one document, whose head is left out."""
    source = Source("policy.yaml", (BUNDLE + dedent(text)).encode())
    return load_policy([source], environment).policy


def ask(line: str, *, source: str = "", principal: str = "", **headers: str) -> Request:
    """Write a request as `GET https://host/path`; `_` in the name of a header stands for `-`."""
    method, _, url = line.partition(" ")
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, parts.scheme, parts.netloc, parts.path + query, named, source=source, principal=principal)


def preflight(line: str, origin: str, *asked: str, **headers: str) -> Request:
    """Write the preflight by which a browser asks for the method on the line, and for these headers."""
    method, _, url = line.partition(" ")
    names = {"access_control_request_headers": ",".join(asked)} if asked else {}
    return ask(f"OPTIONS {url}", origin=origin, access_control_request_method=method, **names, **headers)


def token(path_of_roles: str = "roles", /, **claims: object) -> TokenReading:
    """Give a valid token with these claims."""
    return verified(claims, path_of_roles)


def decided(
    policy: CompiledPolicy, request: Request, tokens: Mapping[str, TokenReading] | None = None, now: float = NOW
) -> Decision:
    """Decide a request; a provider without a reading has seen no token."""
    return decide(match(request, policy), Readings(now, tokens or {}))


def told(policy: CompiledPolicy, request: Request, tokens: Mapping[str, TokenReading] | None = None) -> dict[str, str]:
    """Give the headers that the client is told, blanks left out."""
    answer = whole(decided(policy, request, tokens), DECISION_ID)
    return {header.name: header.value for header in answer.to_client if header.value}


def wire(policy: CompiledPolicy | None, decision: Decision) -> CheckResponse:
    """Encode a decision and read it back with the generated classes."""
    return CheckResponse.FromString(Encoder(policy).encode(decision, DECISION_ID))


def answer_on(response: CheckResponse) -> Answer:
    """Read an answer off the wire, in the terms of the core."""
    kind = response.WhichOneof("http_response")
    if kind == "ok_response":
        ok = response.ok_response
        return Answer(
            tuple(map(_header, ok.response_headers_to_add)),
            tuple(map(_header, ok.headers)),
            tuple(ok.headers_to_remove),
        )
    refused = response.error_response if kind == "error_response" else response.denied_response
    return Answer(tuple(map(_header, refused.headers)), body=refused.body)


def _header(option: HeaderValueOption) -> Header:
    return Header(option.header.key, option.header.value, Action(option.append_action))


def environments_of(sources: Sequence[Source]) -> tuple[str, ...]:
    """Name the environments that a policy declares."""
    estate, _ = unite(read_documents(sources)[0])
    return tuple(estate.environments) if estate else ()
