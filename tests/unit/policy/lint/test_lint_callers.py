"""Guards and tenants: what each finding says, and how little mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import pytest

from cors_authz.policy.finding import Finding
from cors_authz.policy.lint import callers
from cors_authz.policy.subject import Subject

Rule = Callable[[Subject], Iterator[Finding]]

ONE: Final = """\
identity:
  jwt:
    main: {issuer: "https://id.x", audiences: [a], keys: {jwksUri: "https://id.x/k"}, algorithms: [ES256]}
  mtls: {trustDomains: [mesh.x]}
guards:
"""
TWO: Final = ONE.replace(
    "  mtls:",
    '    staff: {issuer: "https://s.x", audiences: [b], keys: {jwksFile: /k}, algorithms: [ES256]}\n  mtls:',
)
NONE: Final = "guards:\n"
GROUPS: Final = """\
  new: {versionIn: [v2]}
  either: {anyOf: [new, office]}
  office: {sourceIn: [10.0.0.0/8]}
resourceGroups:
  orders:
    match: [{hosts: [api.x], paths: ["/{version}/**"]}]
    versions: {v1: {}, v2: {}}
    guards: [either]
    allow: []
"""
TENANTS: Final = """\
originGroups:
  web: {origins: ["https://x.example"]}
  partners: {perTenant: {maxOrigins: 2}}
resourceGroups:
  orders:
    match: [{hosts: ["{tenant}.api.x"]}, {hosts: [api.x], paths: ["/t/{tenant}/**"]}]
    allow: [{origins: [web, partners]}]
"""


class Case(NamedTuple):
    """A rule, a policy without a mistake, the one edit that makes it, and what the rule then says."""

    rule: Rule
    text: str
    edit: tuple[str, str]
    said: str


CASES: Final = {
    "roles are not known in a preflight": Case(
        callers.identity_in_a_preflight,
        ONE + "  clerk: {anyRole: [clerk], phase: actual}\n",
        ("actual", "both"),
        "E policy.yaml:9:36: CX015 `clerk` reads roles and a preflight carries no identity; drop `phase: both`",
    ),
    "a claim is not known in a preflight": Case(
        callers.identity_in_a_preflight,
        ONE + "  psd2: {originInClaim: origins, phase: actual}\n",
        ("actual", "both"),
        "E policy.yaml:9:41: CX015 `psd2` reads a claim and a preflight carries no identity; drop `phase: both`",
    ),
    "a token is not known in a preflight, be its age none": Case(
        callers.identity_in_a_preflight,
        ONE + "  fresh: {tokenAgeAtMost: 0s, phase: actual}\n",
        ("actual", "both"),
        "E policy.yaml:9:38: CX015 `fresh` reads a token and a preflight carries no identity; drop `phase: both`",
    ),
    "a header's value is not known in a preflight": Case(
        callers.identity_in_a_preflight,
        NONE + "  app: {header: {name: x-app, equals: shop}, phase: actual}\n",
        ("actual", "both"),
        "E policy.yaml:5:53: CX015 `app` reads a header's value and a preflight carries names of headers only;"
        " drop `phase: both`",
    ),
    "what anyOf leads to is read, too": Case(
        callers.identity_in_a_preflight,
        ONE
        + "  batch: {principalIn: [spiffe://mesh.x/a]}\n  deep: {anyOf: [office, batch]}\n"
        + "  office: {sourceIn: [10.0.0.0/8]}\n  some: {anyOf: [office, deep], phase: actual}\n",
        ("actual", "both"),
        "E policy.yaml:12:40: CX015 `some` reads the certificate by way of `batch` and a preflight carries no"
        " identity; drop `phase: both`",
    ),
    "the address is known in a preflight": Case(
        callers.identity_in_a_preflight,
        NONE + "  office: {sourceIn: [10.0.0.0/8], phase: both}\n  some: {anyOf: [office, office], phase: both}\n",
        ("sourceIn: [10.0.0.0/8]", "authenticated: true"),
        "E policy.yaml:5:40: CX015 `office` reads a token and a preflight carries no identity; drop `phase: both`\n"
        "E policy.yaml:6:42: CX015 `some` reads a token by way of `office` and a preflight carries no identity;"
        " drop `phase: both`",
    ),
    "of two providers one is named": Case(
        callers.tokens_of_no_provider,
        TWO + "  fresh: {tokenAgeAtMost: 10m, provider: main}\n",
        (", provider: main", ""),
        "E policy.yaml:10:10: CX047 `fresh` reads a token and there are two providers; add provider: main | staff",
    ),
    "without a provider no token is read": Case(
        callers.tokens_of_no_provider,
        NONE + "  known: {sourceIn: [10.0.0.0/8]}\n",
        ("sourceIn: [10.0.0.0/8]", "authenticated: true"),
        "E policy.yaml:5:10: CX047 `known` reads a token and identity.jwt names no provider; say there who issues it",
    ),
    "a provider is one of identity.jwt": Case(
        callers.unknown_providers,
        TWO + "  clerk: {anyRole: [clerk], provider: staff}\n",
        ("provider: staff", "provider: stuff"),
        "E policy.yaml:10:39: CX046 `stuff` is no token provider; did you mean `staff`?",
    ),
    "a provider stands where a token is read": Case(
        callers.providers_without_a_token,
        ONE + "  office: {sourceIn: [10.0.0.0/8]}\n",
        ("8]", "8], provider: main"),
        "E policy.yaml:9:46: CX047 `office` has a provider and reads no token; leave it out",
    ),
    "a provider stands on the guards in anyOf": Case(
        callers.providers_without_a_token,
        ONE + "  a: {authenticated: true, provider: main}\n  b: {anyOf: [a, a]}\n",
        ("a, a]", "a, a], provider: main"),
        "E policy.yaml:10:32: CX047 `b` has a provider and reads no token; name it on the guards in anyOf",
    ),
    "a circle is said once, at its first guard": Case(
        callers.guards_in_a_circle,
        NONE + "  top: {anyOf: [a, b]}\n  a: {anyOf: [b, x]}\n  b: {anyOf: [x, x]}\n  x: {sourceIn: ['::/0']}\n",
        ("b: {anyOf: [x, x]}", "b: {anyOf: [x, a]}"),
        "E policy.yaml:6:14: CX047 `a` stands on itself by way of `b`; take it out of one anyOf",
    ),
    "a guard does not name itself": Case(
        callers.guards_in_a_circle,
        NONE + "  a: {anyOf: [x, x]}\n  x: {sourceIn: ['::/0']}\n",
        ("[x, x]", "[x, a]"),
        "E policy.yaml:5:14: CX047 `a` stands on itself; take it out of one anyOf",
    ),
    "anyOf names guards": Case(
        callers.unknown_guards_in_any_of,
        ONE + "  clerk: {anyRole: [clerk]}\n  some: {anyOf: [clerk, clerk]}\n",
        ("[clerk, clerk]", "[clerk, clerc]"),
        "E policy.yaml:10:25: CX046 `clerc` is no guard; did you mean `clerk`?",
    ),
    "a group names guards": Case(
        callers.unknown_guards_of_groups,
        NONE + GROUPS,
        ("guards: [either]", "guards: [either, eiter]"),
        "E policy.yaml:12:22: CX046 `eiter` is no guard; did you mean `either`?",
    ),
    "a principal is a SPIFFE ID": Case(
        callers.bad_principals,
        ONE + '  batch: {principalIn: ["spiffe://mesh.x/ns/a/*", spiffe://mesh.x/ns/b]}\n',
        ("mesh.x/ns/a/*", "mesh.x/*/a"),
        "E policy.yaml:9:25: CX047 `spiffe://mesh.x/*/a` is no SPIFFE ID; write spiffe://domain/path, with `*` at"
        " most at its end",
    ),
    "a principal's path has no dots": Case(
        callers.bad_principals,
        ONE + "  batch: {principalIn: [spiffe://mesh.x/ns/a]}\n",
        ("/ns/a", "/ns/../a"),
        "E policy.yaml:9:25: CX047 `spiffe://mesh.x/ns/../a` is no SPIFFE ID; write spiffe://domain/path, with `*` at"
        " most at its end",
    ),
    "a principal is of a trust domain that counts": Case(
        callers.foreign_principals,
        ONE + "  batch: {principalIn: [spiffe://mesh.x/ns/a, spiffe://mesh.x/ns/b]}\n",
        ("mesh.x/ns/b", "mesh.y/ns/b"),
        "E policy.yaml:9:47: CX047 `spiffe://mesh.y/ns/b`: `mesh.y` is not among identity.mtls.trustDomains"
        " (mesh.x); add it there, or mend it here",
    ),
    "certificates count where trust domains are named": Case(
        callers.certificates_of_nobody,
        ONE + "  batch: {principalIn: [spiffe://mesh.x/ns/a, spiffe://mesh.x/ns/b]}\n",
        ("  mtls: {trustDomains: [mesh.x]}\n", ""),
        "E policy.yaml:8:10: CX047 `batch` reads the certificate and there is no identity.mtls; add mtls:"
        " {trustDomains: [mesh.x]}",
    ),
    "a network has no bits beyond its prefix": Case(
        callers.bad_networks,
        NONE + '  office: {sourceIn: [10.0.0.0/8, "fe80::/10"]}\n',
        ("10.0.0.0/8", "10.1.2.3/8"),
        "E policy.yaml:5:23: CX047 `10.1.2.3/8` has bits beyond its prefix; write `10.0.0.0/8`",
    ),
    "a network has its number of bits": Case(
        callers.bad_networks,
        NONE + "  office: {sourceIn: [10.1.2.3/32]}\n",
        ("/32", ""),
        "E policy.yaml:5:23: CX047 `10.1.2.3` is not how a network is written; write `10.1.2.3/32`",
    ),
    "a network is no name": Case(
        callers.bad_networks,
        NONE + "  office: {sourceIn: [10.1.2.3/32]}\n",
        ("10.1.2.3/32", "office.x"),
        "E policy.yaml:5:23: CX047 `office.x` is no network; write an address and a number of bits, such as"
        " `10.0.0.0/8`",
    ),
    "a version guard names versions of what it guards": Case(
        callers.versions_that_no_group_has,
        NONE + GROUPS,
        ("versionIn: [v2]", "versionIn: [v2, v9]"),
        "E policy.yaml:5:25: CX047 `v9` is a version of no group that `new` guards; they have `v1`, `v2`",
    ),
    "a version guard guards what has versions": Case(
        callers.versions_that_no_group_has,
        NONE + GROUPS,
        ("    versions: {v1: {}, v2: {}}\n", ""),
        "E policy.yaml:5:21: CX047 `v2` is a version of no group that `new` guards; they have no versions",
    ),
    "a header guard reads what callers set": Case(
        callers.headers_that_no_caller_sets,
        NONE + "  app: {header: {name: X-App, equals: shop}}\n",
        ("X-App", "Cookie"),
        "E policy.yaml:5:24: CX008 `Cookie` is set by the browser or the connection, never by a script; choose a"
        " header that callers set",
    ),
    "a header guard reads what requests carry": Case(
        callers.headers_that_no_caller_sets,
        NONE + "  app: {header: {name: x-app, equals: shop}}\n",
        ("x-app", "etag"),
        "E policy.yaml:5:24: CX008 `etag` is carried by responses, never by requests; choose a request header",
    ),
    "a header guard holds no secret": Case(
        callers.headers_that_no_caller_sets,
        NONE + "  app: {header: {name: x-app, equals: shop}}\n",
        ("x-app", "Authorization"),
        "E policy.yaml:5:24: CX008 `Authorization` is a credential, and a policy holds no secrets; say"
        " `authenticated: true`, or which role",
    ),
    "a header guard reads none of ours": Case(
        callers.headers_that_no_caller_sets,
        NONE + "  app: {header: {name: x-app, equals: shop}}\n",
        ("x-app", "x-cors-authz-tenant"),
        "E policy.yaml:5:24: CX008 `x-cors-authz-tenant` is taken off every request before guards are asked; choose"
        " another name",
    ),
    "a token does not travel in a header that browsers own": Case(
        callers.token_headers_that_carry_none,
        "identity: {jwt: {a: {issuer: https://x, audiences: [x], keys: {envoyMetadata: x}, from: {header: x-tk}}}}\n",
        ("x-tk", "cookie"),
        "E policy.yaml:4:98: CX008 `cookie` is set by the browser or the connection, never by a script; choose a"
        " header that callers set",
    ),
    "nor in one of ours": Case(
        callers.token_headers_that_carry_none,
        "identity: {jwt: {a: {issuer: https://x, audiences: [x], keys: {envoyMetadata: x}, from: {header: x-tk}}}}\n",
        ("x-tk", "x-cors-authz-roles"),
        "E policy.yaml:4:98: CX008 `x-cors-authz-roles` is taken off every request before guards are asked; choose"
        " another name",
    ),
    "a token has an age": Case(
        callers.tokens_of_no_age,
        ONE + "  fresh: {tokenAgeAtMost: 1s}\n",
        ("1s", "0s"),
        "E policy.yaml:9:27: CX047 `fresh`: no token has an age of at most `0s`; write how old it may be, such as 10m",
    ),
    "the tenant is named in one place": Case(
        callers.tenants_named_twice,
        "tenants: {routeMetadata: tenant, claim: org}\n",
        ("claim: org", 'principal: "spiffe://mesh.x/{tenant}"'),
        "E policy.yaml:4:11: CX047 `routeMetadata` beside `principal`: one of them names the tenant; leave the"
        " other out",
    ),
    "the tenant is a whole element of the principal": Case(
        callers.bad_tenant_principals,
        ONE.replace("guards:\n", 'tenants: {principal: "spiffe://mesh.x/ns/{tenant}/*"}\n'),
        ("{tenant}", "t-{tenant}"),
        "E policy.yaml:8:22: CX047 `spiffe://mesh.x/ns/t-{tenant}/*`: `{tenant}` is one whole element of the path,"
        " once, as in spiffe://mesh/ns/{tenant}/*",
    ),
    "the tenant is one element of the principal": Case(
        callers.bad_tenant_principals,
        ONE.replace("guards:\n", 'tenants: {principal: "spiffe://mesh.x/ns/{tenant}/*"}\n'),
        ("/ns/{tenant}", "/{tenant}/{tenant}"),
        "E policy.yaml:8:22: CX047 `spiffe://mesh.x/{tenant}/{tenant}/*`: `{tenant}` is one whole element of the path,"
        " once, as in spiffe://mesh/ns/{tenant}/*",
    ),
    "the tenant is no trust domain": Case(
        callers.bad_tenant_principals,
        ONE.replace("guards:\n", 'tenants: {principal: "spiffe://mesh.x/{tenant}"}\n'),
        ("mesh.x/{tenant}", "{tenant}/ns"),
        "E policy.yaml:8:22: CX047 `spiffe://{tenant}/ns`: `{tenant}` is one whole element of the path, once, as in"
        " spiffe://mesh/ns/{tenant}/*",
    ),
    "the tenant's principal is a SPIFFE ID": Case(
        callers.bad_tenant_principals,
        ONE.replace("guards:\n", 'tenants: {principal: "spiffe://mesh.x/{tenant}/*"}\n'),
        ("/*", "/*/a"),
        "E policy.yaml:8:22: CX047 `spiffe://mesh.x/{tenant}/*/a` is no SPIFFE ID; write spiffe://domain/path, with"
        " `*` at most at its end",
    ),
    "the tenant's principal is of a trust domain that counts": Case(
        callers.bad_tenant_principals,
        ONE.replace("guards:\n", 'tenants: {principal: "spiffe://mesh.x/{tenant}/*"}\n'),
        ("[mesh.x]", "[mesh.y]"),
        "E policy.yaml:8:22: CX047 `spiffe://mesh.x/{tenant}/*`: `mesh.x` is not among identity.mtls.trustDomains"
        " (mesh.y); add it there, or mend it here",
    ),
    "the tenant's principal needs trust domains": Case(
        callers.bad_tenant_principals,
        ONE.replace("guards:\n", 'tenants: {principal: "spiffe://mesh.x/{tenant}/*"}\n'),
        ("  mtls: {trustDomains: [mesh.x]}\n", ""),
        "E policy.yaml:7:22: CX047 `spiffe://mesh.x/{tenant}/*` reads the certificate and there is no identity.mtls"
        "; add mtls: {trustDomains: [mesh.x]}",
    ),
    "the tenant's claim is one of a token": Case(
        callers.tenant_claims_of_no_provider,
        "tenants: {routeMetadata: org}\n",
        ("routeMetadata", "claim"),
        "E policy.yaml:4:18: CX047 `org` is read from a token and identity.jwt names no provider; say there who"
        " issues it",
    ),
    "every route of per-tenant origins names the tenant": Case(
        callers.per_tenant_origins_without_a_tenant,
        TENANTS,
        ("/t/{tenant}/**", "/t/**"),
        "E policy.yaml:10:29: CX032 `partners` is per tenant, and `api.x/t/**` names none before a token is read;"
        " put {tenant} into its host or path, or say where it stands in tenants",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_finding_is_one_edit_away(case: Case, lint: Callable[..., list[str]]) -> None:
    assert case.edit[0] in case.text
    assert lint([case.rule], case.text) == []
    assert lint([case.rule], case.text.replace(*case.edit)) == case.said.splitlines()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_mistake_hides_no_other_rule(case: Case, lint: Callable[..., list[str]]) -> None:
    assert set(case.said.splitlines()) <= set(lint(callers.RULES, case.text.replace(*case.edit)))


QUIET: Final = {
    "a token of the only provider": (callers.tokens_of_no_provider, ONE + "  a: {authenticated: true}\n"),
    "a provider that goes without saying": (callers.unknown_providers, ONE + "  a: {authenticated: true}\n"),
    "a principal that is none, as foreign": (callers.foreign_principals, ONE + "  a: {principalIn: [mesh.y]}\n"),
    "a version guard that guards nothing": (callers.versions_that_no_group_has, NONE + "  a: {versionIn: [v1]}\n"),
    "a tenant that only the certificate names": (
        callers.tenants_named_twice,
        'tenants: {principal: "spiffe://mesh.x/{tenant}"}\n',
    ),
    "a tenant's claim in a token of the provider": (
        callers.tenant_claims_of_no_provider,
        ONE.replace("guards:", "tenants: {claim: org}"),
    ),
    "origins of tenants that the certificate names": (
        callers.per_tenant_origins_without_a_tenant,
        'tenants: {principal: "spiffe://mesh.x/{tenant}"}\n' + TENANTS.replace("/t/{tenant}/**", "/t/**"),
    ),
}


@pytest.mark.parametrize(("rule", "text"), QUIET.values(), ids=QUIET)
def test_nothing_is_said_of(
    rule: Callable[[Subject], Iterator[Finding]], text: str, lint: Callable[..., list[str]]
) -> None:
    assert lint([rule], text) == []


def test_a_tenant_beyond_the_route_serves_every_route(lint: Callable[..., list[str]]) -> None:
    text = TENANTS.replace("/t/{tenant}/**", "/t/**")
    rules = [callers.per_tenant_origins_without_a_tenant]
    assert lint(rules, f"tenants: {{routeMetadata: org}}\n{text}") == []
    assert len(lint(rules, f"tenants: {{claim: org}}\n{text}")) == 1


def test_a_policy_of_unknown_names_is_linted_to_the_end(lint: Callable[..., list[str]]) -> None:
    text = """
    guards:
      a: {anyOf: [b, nobody], phase: both, provider: nobody}
      b: {anyOf: [a, nobody], phase: both}
    resourceGroups:
      orders:
        match: [{hosts: [api.x]}]
        guards: [a, nobody]
        sensitivity: nothing
        allow: [{origins: [nobody], guards: [nobody]}]
    """
    assert {line.split()[2] for line in lint(callers.RULES, text)} == {"CX046", "CX047"}
