"""Guards of the caller: each condition, which tokens count, and what a preflight is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from cors_authz.fetch.request import Request
from cors_authz.pdp.decision import Outcome, Reason
from cors_authz.pdp.guards.caller import token_of
from cors_authz.pdp.match import match
from cors_authz.pdp.readings import Readings, TokenReading, TokenState
from cors_authz.pdp.reasons import mend_of
from tests.deciding import IDENTITY, NOW, ask, compiled, decided, preflight, token

WEB = "https://web.example"
GUARDS = """
guards:
  g-authenticated: {authenticated: true, provider: main}
  g-any-role: {anyRole: [clerk, manager], provider: main}
  g-all-roles: {allRoles: [clerk, manager], provider: main}
  g-claim: {claim: {name: licence.kind, equals: psd2}, provider: main}
  g-claims: {claim: {name: level, anyOf: [1, 2]}, provider: main}
  g-flag: {claim: {name: admin, equals: true}, provider: main}
  g-age: {tokenAgeAtMost: 10m, provider: main}
  g-origin: {originInClaim: allowed-origins, provider: main}
  g-principal: {principalIn: ["spiffe://mesh.example/ns/a/sa/b", "spiffe://mesh.example/ns/ci/*"]}
  g-source: {sourceIn: [10.0.0.0/8, "2001:db8::/32"]}
  g-header: {header: {name: X-Client, equals: "app"}}
  g-version: {versionIn: [v2]}
  g-staff: {authenticated: true, provider: staff}
  g-token-or-principal: {anyOf: [g-any-role, g-principal]}
  g-either-token: {anyOf: [g-any-role, g-staff]}
  g-source-or-staff: {anyOf: [g-source, g-staff]}
"""
NAMES = [line.split(":")[0].strip() for line in GUARDS.splitlines() if line.startswith("  g-")]
GROUPS = "".join(
    f"""
  {name}:
    match: [{{hosts: [{name}.example], paths: ["/{{version}}/**"]}}]
    versions: {{v1: {{}}, v2: {{}}}}
    guards: [{name}]
    allow:
    - {{origins: [web], credentials: [bearer, cookie]}}
    - {{origins: [bare]}}
    - {{origins: [certified], credentials: [mtls]}}
"""
    for name in NAMES
)
POLICY = compiled(
    IDENTITY
    + GUARDS
    + """
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  bare: {origins: ["https://bare.example"], trust: high}
  certified: {origins: ["https://certified.example"], trust: high}
resourceGroups:"""
    + GROUPS
)
MISSING = TokenReading(TokenState.MISSING, {})
INVALID = TokenReading(TokenState.INVALID, {})
EXPIRED = TokenReading(TokenState.EXPIRED, {})
UNAVAILABLE = TokenReading(TokenState.UNAVAILABLE, {})


class Case(NamedTuple):
    """A guard, what the caller shows, and why it objects; None where it is silent."""

    guard: str
    then: Reason | None
    main: TokenReading = MISSING
    shown: Mapping[str, str] = {}
    version: str = "v2"
    staff: TokenReading = MISSING


CONDITIONS = {
    "authenticated: a valid token": Case("g-authenticated", None, token()),
    "authenticated: none": Case("g-authenticated", Reason.TOKEN_MISSING),
    "authenticated: an invalid one": Case("g-authenticated", Reason.TOKEN_INVALID, INVALID),
    "authenticated: an expired one": Case("g-authenticated", Reason.TOKEN_EXPIRED, EXPIRED),
    "authenticated: no keys": Case("g-authenticated", Reason.KEYS_UNAVAILABLE, UNAVAILABLE),
    "authenticated: another provider's token": Case("g-authenticated", Reason.TOKEN_MISSING, staff=token()),
    "anyRole: one of them": Case("g-any-role", None, token(roles=["guest", "clerk"])),
    "anyRole: another": Case("g-any-role", Reason.ROLE_MISSING, token(roles=["guest"])),
    "anyRole: none": Case("g-any-role", Reason.ROLE_MISSING, token()),
    "anyRole: no token": Case("g-any-role", Reason.TOKEN_MISSING),
    "allRoles: all and more": Case("g-all-roles", None, token(roles=["manager", "guest", "clerk"])),
    "allRoles: one of them": Case("g-all-roles", Reason.ROLE_MISSING, token(roles=["clerk"])),
    "claim: its value": Case("g-claim", None, token(licence={"kind": "psd2"})),
    "claim: a list that has it": Case("g-claim", None, token(licence={"kind": ["x", "psd2"]})),
    "claim: another value": Case("g-claim", Reason.CLAIM_MISMATCH, token(licence={"kind": "psd"})),
    "claim: absent": Case("g-claim", Reason.CLAIM_MISMATCH, token(licence={})),
    "claim: an empty list": Case("g-claim", Reason.CLAIM_MISMATCH, token(licence={"kind": []})),
    "claim: one of several numbers": Case("g-claims", None, token(level=2)),
    "claim: a number as Envoy has it": Case("g-claims", None, token(level=2.0)),
    "claim: a number as text": Case("g-claims", Reason.CLAIM_MISMATCH, token(level="2")),
    "claim: true is not one": Case("g-claims", Reason.CLAIM_MISMATCH, token(level=True)),
    "claim: true": Case("g-flag", None, token(admin=True)),
    "claim: one is not true": Case("g-flag", Reason.CLAIM_MISMATCH, token(admin=1)),
    "claim: the text is not true": Case("g-flag", Reason.CLAIM_MISMATCH, token(admin="true")),
    "tokenAgeAtMost: as old as may be": Case("g-age", None, token(iat=NOW - 600)),
    "tokenAgeAtMost: older": Case("g-age", Reason.TOKEN_TOO_OLD, token(iat=NOW - 600.5)),
    "tokenAgeAtMost: no time": Case("g-age", Reason.TOKEN_TOO_OLD, token()),
    "tokenAgeAtMost: a time as text": Case("g-age", Reason.TOKEN_TOO_OLD, token(iat=str(NOW))),
    "tokenAgeAtMost: true is no time": Case("g-age", Reason.TOKEN_TOO_OLD, token(iat=True)),
    "tokenAgeAtMost: no number": Case("g-age", Reason.TOKEN_TOO_OLD, token(iat=float("nan"))),
    "originInClaim: no origin": Case("g-origin", None, token()),
    "originInClaim: listed": Case("g-origin", None, token(**{"allowed-origins": [WEB]}), {"origin": WEB}),
    "originInClaim: listed in a tuple, as metadata has it": Case(
        "g-origin", None, token(**{"allowed-origins": ("https://x.example", WEB)}), {"origin": WEB}
    ),
    "originInClaim: another": Case(
        "g-origin", Reason.ORIGIN_NOT_IN_TOKEN, token(**{"allowed-origins": [f"{WEB}.evil"]}), {"origin": WEB}
    ),
    "originInClaim: text that contains it": Case(
        "g-origin", Reason.ORIGIN_NOT_IN_TOKEN, token(**{"allowed-origins": f"{WEB}.evil"}), {"origin": WEB}
    ),
    "originInClaim: absent": Case("g-origin", Reason.ORIGIN_NOT_IN_TOKEN, token(), {"origin": WEB}),
    "principalIn: its name": Case("g-principal", None, shown={"principal": "spiffe://mesh.example/ns/a/sa/b"}),
    "principalIn: below a prefix": Case("g-principal", None, shown={"principal": "spiffe://mesh.example/ns/ci/sa/x"}),
    "principalIn: longer than its name": Case(
        "g-principal", Reason.PRINCIPAL_NOT_ALLOWED, shown={"principal": "spiffe://mesh.example/ns/a/sa/bc"}
    ),
    "principalIn: another": Case(
        "g-principal", Reason.PRINCIPAL_NOT_ALLOWED, shown={"principal": "spiffe://evil.example/ns/ci/sa/x"}
    ),
    "principalIn: none": Case("g-principal", Reason.PRINCIPAL_NOT_ALLOWED),
    "principalIn: a certificate that is not granted": Case(
        "g-principal",
        Reason.PRINCIPAL_NOT_ALLOWED,
        shown={"principal": "spiffe://mesh.example/ns/a/sa/b", "origin": WEB},
    ),
    "principalIn: a certificate that is granted": Case(
        "g-principal",
        None,
        shown={"principal": "spiffe://mesh.example/ns/a/sa/b", "origin": "https://certified.example"},
    ),
    "sourceIn: an address within": Case("g-source", None, shown={"source": "10.255.0.1"}),
    "sourceIn: an IPv6 address within": Case("g-source", None, shown={"source": "2001:db8::1"}),
    "sourceIn: an IPv4 address within IPv6": Case("g-source", None, shown={"source": "::ffff:10.0.0.1"}),
    "sourceIn: an address outside": Case("g-source", Reason.SOURCE_NOT_ALLOWED, shown={"source": "11.0.0.1"}),
    "sourceIn: no address": Case("g-source", Reason.SOURCE_NOT_ALLOWED),
    "sourceIn: a name": Case("g-source", Reason.SOURCE_NOT_ALLOWED, shown={"source": "localhost"}),
    "sourceIn: what a client says is nothing": Case(
        "g-source", Reason.SOURCE_NOT_ALLOWED, shown={"x_forwarded_for": "10.0.0.1"}
    ),
    "header: its value": Case("g-header", None, shown={"x_client": "app"}),
    "header: another case": Case("g-header", Reason.HEADER_MISMATCH, shown={"x_client": "App"}),
    "header: twice": Case("g-header", Reason.HEADER_MISMATCH, shown={"x_client": "app,app"}),
    "header: absent": Case("g-header", Reason.HEADER_MISMATCH),
    "versionIn: one of them": Case("g-version", None),
    "versionIn: another": Case("g-version", Reason.VERSION_RETIRED, version="v1"),
    "anyOf: the first holds": Case("g-token-or-principal", None, token(roles=["clerk"])),
    "anyOf: the second holds": Case(
        "g-token-or-principal", None, shown={"principal": "spiffe://mesh.example/ns/a/sa/b"}
    ),
    "anyOf: the second holds while keys are missing": Case(
        "g-token-or-principal", None, UNAVAILABLE, shown={"principal": "spiffe://mesh.example/ns/a/sa/b"}
    ),
    "anyOf: none, the first one's answer": Case("g-token-or-principal", Reason.ROLE_MISSING, token(roles=["guest"])),
    "anyOf: none, and keys are missing": Case("g-token-or-principal", Reason.KEYS_UNAVAILABLE, UNAVAILABLE),
    "anyOf: none, and the keys of the second are missing": Case(
        "g-source-or-staff", Reason.KEYS_UNAVAILABLE, staff=UNAVAILABLE
    ),
    "anyOf: none of two kinds": Case("g-source-or-staff", Reason.SOURCE_NOT_ALLOWED, staff=INVALID),
    "a provider's own header always travels": Case(
        "g-staff", None, shown={"origin": "https://bare.example"}, staff=token()
    ),
    "a token that is not granted counts as not sent": Case(
        "g-authenticated", Reason.TOKEN_MISSING, token(), {"origin": "https://bare.example"}
    ),
    "an invalid token that is not granted counts as not sent": Case(
        "g-authenticated", Reason.TOKEN_MISSING, INVALID, {"origin": "https://bare.example"}
    ),
    "a token of an unlisted read counts as not sent": Case(
        "g-authenticated", Reason.TOKEN_MISSING, token(), {"origin": "https://evil.example"}
    ),
    "a token of a cross-site read without an origin counts as not sent": Case(
        "g-authenticated", Reason.TOKEN_MISSING, token(), {"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"}
    ),
    "a token of a link travels": Case(
        "g-authenticated",
        None,
        token(),
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"},
    ),
    "a token that is granted travels": Case("g-authenticated", None, token(), {"origin": WEB}),
}


@pytest.mark.parametrize("case", CONDITIONS.values(), ids=CONDITIONS)
def test_a_guard_objects_or_stays_silent(case: Case) -> None:
    request = ask(f"GET https://{case.guard}.example/{case.version}/a", **case.shown)
    decision = decided(POLICY, request, {"main": case.main, "staff": case.staff})
    objection = None if decision.outcome is Outcome.ALLOW else decision.reason
    named = decision.guard.name if decision.guard else None
    assert (objection, named) == (case.then, case.guard if case.then else None)


def test_missing_keys_are_our_fault_and_never_a_refusal() -> None:
    decision = decided(POLICY, ask("GET https://g-authenticated.example/v2/a"), {"main": UNAVAILABLE})
    assert (decision.outcome, decision.status) == (Outcome.ERROR, 503)


def test_a_token_without_a_reading_is_missing() -> None:
    facts = match(ask("GET https://g-authenticated.example/v2/a"), POLICY)
    assert token_of("main", facts, Readings(NOW, {})) == MISSING


ROLES: dict[str, tuple[TokenReading, TokenReading, tuple[str, ...]]] = {
    "of two issuers, each with its own": (
        token(roles=["clerk"]),
        token(roles=["clerk"]),
        ("main:clerk", "staff:clerk"),
    ),
    "of the one that is valid": (MISSING, token(roles=["clerk"]), ("staff:clerk",)),
    "of a token that has none": (token(), token(roles=["clerk"]), ("staff:clerk",)),
}


@pytest.mark.parametrize(("main", "staff", "then"), ROLES.values(), ids=ROLES)
def test_roles_of_the_decision(main: TokenReading, staff: TokenReading, then: tuple[str, ...]) -> None:
    request = ask("GET https://g-either-token.example/v2/a")
    assert decided(POLICY, request, {"main": main, "staff": staff}).roles == then


def test_a_role_says_whose_it_is_though_one_token_alone_travels() -> None:
    """Whether another credential is granted must not change the name by which services know a role."""
    request = ask("GET https://g-either-token.example/v2/a", origin="https://bare.example")
    both = {"main": token(roles=["clerk"]), "staff": token(roles=["clerk"])}
    decision = decided(POLICY, request, both)
    assert (decision.reason, decision.roles) == (Reason.RULE_ALLOWED, ("staff:clerk",))


ON_FAIL = compiled(
    IDENTITY
    + """
guards:
  fresh: {tokenAgeAtMost: 5m, provider: main, onFail: {status: 403, message: sign in again}}
  hidden: {sourceIn: [10.0.0.0/8], phase: both, onFail: {status: 404}}
  plain: {sourceIn: [10.0.0.0/8], phase: both}
  current: {versionIn: [v2], phase: both}
originGroups:
  web: {origins: ["https://web.example"], trust: high}
resourceGroups:
  fresh: {match: [{hosts: [fresh.example]}], guards: [fresh], allow: [{origins: [web], credentials: [bearer]}]}
  hidden: {match: [{hosts: [hidden.example]}], guards: [hidden], allow: [{origins: [web]}]}
  plain: {match: [{hosts: [plain.example]}], guards: [plain], allow: [{origins: [web]}]}
  current:
    match: [{hosts: [current.example]}]
    versions: {v1: {}, v2: {}}
    versionFrom: {header: x-v, default: v1}
    allow: [{origins: [web], guards: [current]}]
  queried:
    match: [{hosts: [queried.example]}]
    versions: {v1: {}, v2: {}}
    versionFrom: {query: v}
    allow: [{origins: [web], guards: [current]}]
"""
)
ANSWERS: dict[str, tuple[Request, TokenReading, tuple[Outcome, Reason, int]]] = {
    "onFail changes the status": (
        ask("GET https://fresh.example/"),
        token(),
        (Outcome.DENY, Reason.TOKEN_TOO_OLD, 403),
    ),
    "onFail speaks for the token too": (
        ask("GET https://fresh.example/"),
        MISSING,
        (Outcome.DENY, Reason.TOKEN_MISSING, 403),
    ),
    "onFail is not for our faults": (
        ask("GET https://fresh.example/"),
        UNAVAILABLE,
        (Outcome.ERROR, Reason.KEYS_UNAVAILABLE, 503),
    ),
    "onFail may hide": (ask("GET https://hidden.example/"), MISSING, (Outcome.DENY, Reason.SOURCE_NOT_ALLOWED, 404)),
    "a preflight is refused by 403 whatever onFail says": (
        preflight("GET https://hidden.example/", WEB),
        MISSING,
        (Outcome.PREFLIGHT_DENY, Reason.SOURCE_NOT_ALLOWED, 403),
    ),
    "a preflight meets a guard of both phases": (
        preflight("GET https://plain.example/", WEB),
        MISSING,
        (Outcome.PREFLIGHT_DENY, Reason.SOURCE_NOT_ALLOWED, 403),
    ),
    "a preflight passes a guard of both phases": (
        preflight("GET https://plain.example/", WEB, source="10.0.0.1"),
        MISSING,
        (Outcome.PREFLIGHT_ALLOW, Reason.PREFLIGHT_ALLOWED, 204),
    ),
    "a preflight meets no other guard": (
        preflight("GET https://fresh.example/", WEB),
        INVALID,
        (Outcome.PREFLIGHT_ALLOW, Reason.PREFLIGHT_ALLOWED, 204),
    ),
    "a preflight without a version passes as some version would": (
        preflight("GET https://current.example/", WEB),
        MISSING,
        (Outcome.PREFLIGHT_ALLOW, Reason.PREFLIGHT_ALLOWED, 204),
    ),
    "the request shows the version": (
        ask("GET https://current.example/", origin=WEB),
        MISSING,
        (Outcome.DENY, Reason.VERSION_RETIRED, 410),
    ),
    "a preflight that shows the version": (
        preflight("GET https://queried.example/?v=v1", WEB),
        MISSING,
        (Outcome.PREFLIGHT_DENY, Reason.VERSION_RETIRED, 403),
    ),
}


@pytest.mark.parametrize(("request_", "reading", "then"), ANSWERS.values(), ids=ANSWERS)
def test_how_a_guard_answers(request_: Request, reading: TokenReading, then: tuple[Outcome, Reason, int]) -> None:
    decision = decided(ON_FAIL, request_, {"main": reading})
    assert (decision.outcome, decision.reason, decision.status) == then


def test_the_guards_own_words_come_first() -> None:
    said = mend_of(decided(ON_FAIL, ask("GET https://fresh.example/"), {"main": token()}))
    named = mend_of(decided(ON_FAIL, ask("GET https://plain.example/")))
    assert (said, named) == ("sign in again", "call from a network that `plain` names")


# --- tenants ------------------------------------------------------------------------------------------------------

TENANTS = compiled(
    IDENTITY
    + """
tenants: {claim: tid}
guards:
  signed-in: {authenticated: true, provider: main}
  badged: {authenticated: true, provider: staff}
originGroups:
  web: {origins: ["https://web.example"], trust: high}
resourceGroups:
  guarded:
    match: [{hosts: ["{tenant}.guarded.example"], paths: ["/**", "/of/{tenant}/**"]}]
    guards: [signed-in]
    allow: [{origins: [web], credentials: [bearer]}]
  by-header:
    match: [{hosts: ["{tenant}.by-header.example"]}]
    guards: [badged]
    allow: []
  open:
    match: [{hosts: ["{tenant}.open.example"]}]
    allow: [{origins: [web], credentials: [bearer]}]
"""
)
OF_TENANTS: dict[str, tuple[Request, dict[str, TokenReading], Reason]] = {
    "the same": (ask("GET https://acme.guarded.example/"), {"main": token(tid="acme")}, Reason.NOT_A_BROWSER),
    "another": (ask("GET https://acme.guarded.example/"), {"main": token(tid="globex")}, Reason.TENANT_MISMATCH),
    "none": (ask("GET https://acme.guarded.example/"), {"main": token()}, Reason.TENANT_MISMATCH),
    "a list is none": (ask("GET https://acme.guarded.example/"), {"main": token(tid=["acme"])}, Reason.TENANT_MISMATCH),
    "no token": (ask("GET https://acme.guarded.example/"), {}, Reason.TOKEN_MISSING),
    "host and path at odds": (
        ask("GET https://acme.guarded.example/of/globex/a"),
        {"main": token(tid="acme")},
        Reason.TENANT_MISMATCH,
    ),
    "host and path that agree": (
        ask("GET https://acme.guarded.example/of/acme/a"),
        {"main": token(tid="acme")},
        Reason.NOT_A_BROWSER,
    ),
    "no token where none is needed": (ask("GET https://acme.open.example/"), {}, Reason.NOT_A_BROWSER),
    "a token where none is needed": (
        ask("GET https://acme.open.example/"),
        {"main": token(tid="globex")},
        Reason.TENANT_MISMATCH,
    ),
    "a token of either provider": (
        ask("GET https://acme.open.example/"),
        {"main": token(tid="acme"), "staff": token(tid="globex")},
        Reason.TENANT_MISMATCH,
    ),
    "a token that nobody can read": (
        ask("GET https://acme.open.example/"),
        {"main": UNAVAILABLE},
        Reason.KEYS_UNAVAILABLE,
    ),
    "a token that nobody can read beside one that agrees": (
        ask("GET https://acme.open.example/"),
        {"main": UNAVAILABLE, "staff": token(tid="acme")},
        Reason.NOT_A_BROWSER,
    ),
    "a token that is taken off": (
        ask("GET https://acme.open.example/", origin="https://evil.example"),
        {"main": token(tid="globex")},
        Reason.UNLISTED_READ,
    ),
    "a token in a header of its own, which travels on from any page": (
        ask("GET https://acme.by-header.example/", origin="https://evil.example"),
        {"staff": token(tid="globex")},
        Reason.TENANT_MISMATCH,
    ),
    "a token in a header of its own that agrees": (
        ask("GET https://acme.by-header.example/", origin="https://evil.example"),
        {"staff": token(tid="acme")},
        Reason.UNLISTED_READ,
    ),
    "a preflight has no token": (
        preflight("GET https://acme.guarded.example/", WEB),
        {"main": token(tid="globex")},
        Reason.PREFLIGHT_ALLOWED,
    ),
}


@pytest.mark.parametrize(("request_", "tokens", "then"), OF_TENANTS.values(), ids=OF_TENANTS)
def test_a_token_names_the_tenant_that_is_called(
    request_: Request, tokens: dict[str, TokenReading], then: Reason
) -> None:
    assert decided(TENANTS, request_, tokens).reason is then


# --- bodies -------------------------------------------------------------------------------------------------------

BODIES = compiled("""
originGroups:
  web: {origins: ["https://web.example"], trust: high}
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    allow: [{origins: [web], methods: [GET, POST, DELETE], contentTypes: [application/json]}]
""")
TYPES = {
    "the type": (ask("POST https://api.example/", origin=WEB, content_type="application/json"), True),
    "the type with parameters": (
        ask("POST https://api.example/", origin=WEB, content_type="Application/JSON ; charset=utf-8"),
        True,
    ),
    "another type": (ask("POST https://api.example/", origin=WEB, content_type="text/plain"), False),
    "two types": (ask("POST https://api.example/", origin=WEB, content_type="application/json,text/plain"), False),
    "two types behind a semicolon": (
        ask("POST https://api.example/", origin=WEB, content_type="text/plain;,application/json"),
        False,
    ),
    "no type": (ask("POST https://api.example/", origin=WEB), False),
    "no type and no body": (ask("POST https://api.example/", origin=WEB, content_length="0"), True),
    "another type and no body": (
        ask("POST https://api.example/", origin=WEB, content_type="text/plain", content_length="0"),
        False,
    ),
    "a read without a body": (ask("GET https://api.example/", origin=WEB), True),
    "a read with a body": (ask("GET https://api.example/", origin=WEB, content_length="1"), False),
    "a read with a body of unknown length": (
        ask("GET https://api.example/", origin=WEB, transfer_encoding="chunked"),
        False,
    ),
    "DELETE without a body": (ask("DELETE https://api.example/", origin=WEB), True),
    "DELETE with a body": (ask("DELETE https://api.example/", origin=WEB, content_length="1"), False),
    "no rule asks its own page": (
        ask("POST https://api.example/", sec_fetch_site="same-origin", content_type="text/plain"),
        True,
    ),
}


@pytest.mark.parametrize(("request_", "then"), TYPES.values(), ids=TYPES)
def test_types_of_bodies(request_: Request, then: bool) -> None:  # noqa: FBT001 - the expectation
    reason = decided(BODIES, request_).reason
    assert (reason is not Reason.CONTENT_TYPE_NOT_ALLOWED) is then
