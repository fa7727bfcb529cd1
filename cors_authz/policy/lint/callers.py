"""Findings about callers: guards that cannot hold or cannot be asked, and tenants that nothing names."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from ipaddress import ip_interface, ip_network
from typing import Final

from cors_authz.fetch.fields import RESPONSE_ONLY_HEADERS, is_forbidden_request_header
from cors_authz.fetch.request import OWN_PREFIX
from cors_authz.policy import schema
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding, shown, ticked
from cors_authz.policy.lint.any_of import Guards, guards_outside_circles
from cors_authz.policy.lint.rule_at import rules_at
from cors_authz.policy.lint.wording import unknown_name_text
from cors_authz.policy.subject import RouteAt, Subject

_OF_TOKENS: Final[Mapping[str, str]] = {
    "authenticated": "a token",
    "any_role": "roles",
    "all_roles": "roles",
    "claim": "a claim",
    "token_age_at_most": "a token",
    "origin_in_claim": "a claim",
}
_NO_IDENTITY: Final = "a preflight carries no identity"
_UNKNOWN_IN_A_PREFLIGHT: Final[Mapping[str, tuple[str, str]]] = {
    **{condition: (said, _NO_IDENTITY) for condition, said in _OF_TOKENS.items()},
    "principal_in": ("the certificate", _NO_IDENTITY),
    "header": ("a header's value", "a preflight carries names of headers only"),
}
_COUNTS: Final[Mapping[int, str]] = {2: "two", 3: "three", 4: "four"}


def _condition(guard: schema.Guard) -> str:
    """The attribute of its one condition. Not by truth: `tokenAgeAtMost: 0s` is a condition, too."""
    return next(iter(guard.model_fields_set & _CONDITIONS))


_CONDITIONS: Final = frozenset(
    attribute for attribute, field in schema.Guard.model_fields.items() if field.alias in schema.CONDITIONS
)


def _guards(subject: Subject) -> Iterable[Named[schema.Guard]]:
    return subject.estate.guards.values()


# --- guards and what they read --------------------------------------------------------------------------------------


def identity_in_a_preflight(subject: Subject) -> Iterator[Finding]:
    """CX015: browsers send a preflight without token, certificate and header values, so the guard would never hold.

    Spec: https://fetch.spec.whatwg.org/#cors-preflight-fetch.
    """
    for guard in _guards(subject):
        if guard.model.phase != "both":
            continue
        way = _way(subject.estate.guards, guard.name, _is_unknown_in_a_preflight)
        if way:
            read, reason = _UNKNOWN_IN_A_PREFLIGHT[_condition(subject.estate.guards[way[-1]].model)]
            by_way = f" by way of `{way[-1]}`" if len(way) > 1 else ""
            text = f"`{guard.name}` reads {read}{by_way} and {reason}; drop `phase: both`"
            yield Finding(guard.place("phase"), "CX015", text, about=guard.about)


def _is_unknown_in_a_preflight(guard: Named[schema.Guard]) -> bool:
    return _condition(guard.model) in _UNKNOWN_IN_A_PREFLIGHT


def _way(guards: Guards, start: str, is_meant: Callable[[Named[schema.Guard]], bool]) -> tuple[str, ...]:
    """Follow `anyOf`, breadth first, to a guard that is meant; () where none is. Circles and unknown names are fine."""
    came_from: dict[str, str | None] = {start: None}
    waiting = deque([start])
    while waiting:
        name = waiting.popleft()
        if is_meant(guards[name]):
            return _walked(came_from, name)
        for member in guards[name].model.any_of:
            if member in guards and member not in came_from:
                came_from[member] = name
                waiting.append(member)
    return ()


def _walked(came_from: Mapping[str, str | None], end: str) -> tuple[str, ...]:
    way = [end]
    while (before := came_from[way[-1]]) is not None:
        way.append(before)
    return tuple(reversed(way))


def tokens_of_no_provider(subject: Subject) -> Iterator[Finding]:
    """CX047: without one provider that is meant, one issuer's role would open another's door."""
    providers = subject.estate.providers
    for guard in _guards(subject):
        if _condition(guard.model) not in _OF_TOKENS or guard.model.provider or len(providers) == 1:
            continue
        if providers:
            count = _COUNTS.get(len(providers), str(len(providers)))
            said = f"there are {count} providers; add provider: {' | '.join(providers)}"
        else:
            said = "identity.jwt names no provider; say there who issues it"
        yield Finding(guard.place(), "CX047", f"`{guard.name}` reads a token and {said}", about=guard.about)


def unknown_providers(subject: Subject) -> Iterator[Finding]:
    """CX046: the guard would read the token of nobody."""
    providers = subject.estate.providers
    for guard in _guards(subject):
        name = guard.model.provider
        if name and name not in providers:
            text = unknown_name_text(name, "token provider", providers)
            yield Finding(guard.place("provider"), "CX046", text, about=guard.about)


def providers_without_a_token(subject: Subject) -> Iterator[Finding]:
    """CX047: who reads it would believe that the guard checks a token."""
    for guard in _guards(subject):
        if guard.model.provider and _condition(guard.model) not in _OF_TOKENS:
            mend = "name it on the guards in anyOf" if guard.model.any_of else "leave it out"
            text = f"`{guard.name}` has a provider and reads no token; {mend}"
            yield Finding(guard.place("provider"), "CX047", text, about=guard.about)


def guards_in_a_circle(subject: Subject) -> Iterator[Finding]:
    """CX047: a guard that stands on itself has no answer; each circle is said once, at its first guard."""
    guards = subject.estate.guards
    order = {name: index for index, name in enumerate(guards)}
    clear = {guard.name for guard in guards_outside_circles(guards)}
    for guard in (guard for guard in _guards(subject) if guard.name not in clear):
        way = _way_back(guards, guard.name)
        if way and min(way, key=order.__getitem__) == guard.name:
            by_way = f" by way of {ticked(way[1:])}" if way[1:] else ""
            text = f"`{guard.name}` stands on itself{by_way}; take it out of one anyOf"
            yield Finding(guard.place("anyOf"), "CX047", text, about=guard.about)


def _way_back(guards: Guards, start: str) -> tuple[str, ...]:
    """Give the shortest way from a guard to one that names it in `anyOf`; () where there is none."""
    return _way(guards, start, lambda guard: start in guard.model.any_of)


def unknown_guards_in_any_of(subject: Subject) -> Iterator[Finding]:
    """CX046: a misspelled guard is none."""
    for guard in _guards(subject):
        for index, name in enumerate(guard.model.any_of):
            if name not in subject.estate.guards:
                text = unknown_name_text(name, "guard", subject.estate.guards)
                yield Finding(guard.place("anyOf", index), "CX046", text, about=guard.about)


def unknown_guards_of_groups(subject: Subject) -> Iterator[Finding]:
    """CX046: a group would be open where its owner believes it guarded."""
    for group in subject.estate.resource_groups.values():
        for index, name in enumerate(group.model.guards):
            if name not in subject.estate.guards:
                text = unknown_name_text(name, "guard", subject.estate.guards)
                yield Finding(group.place("guards", index), "CX046", text, about=group.about)


# --- guards that cannot hold ----------------------------------------------------------------------------------------

_SPIFFE_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})(?:/[A-Za-z0-9._-]+)+(?:/?\*)?")


def _trust_domain(principal: str) -> str | None:
    """Give the trust domain of a SPIFFE ID, or of a prefix with `*` at its end; None for anything else.

    Spec: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#2-spiffe-identity.
    """
    found = _SPIFFE_ID.fullmatch(principal)
    if found is None or {".", ".."} & set(principal.removesuffix("*").split("/")):
        return None
    return found[1]


def bad_principals(subject: Subject) -> Iterator[Finding]:
    """CX047: no certificate says it, so the guard refuses everyone.

    Spec: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#2-spiffe-identity.
    """
    for guard in _guards(subject):
        for index, principal in enumerate(guard.model.principal_in):
            if _trust_domain(principal) is None:
                text = f"`{shown(principal)}` is no SPIFFE ID; write spiffe://domain/path, with `*` at most at its end"
                yield Finding(guard.place("principalIn", index), "CX047", text, about=guard.about)


def foreign_principals(subject: Subject) -> Iterator[Finding]:
    """CX047: certificates of other trust domains do not count, so the guard refuses those whom it names."""
    domains = _trust_domains(subject)
    for guard in _guards(subject) if domains else ():
        for index, principal in enumerate(guard.model.principal_in):
            domain = _trust_domain(principal)
            if domain and domain not in domains:
                text = f"`{shown(principal)}`: {_foreign_text(domain, domains)}"
                yield Finding(guard.place("principalIn", index), "CX047", text, about=guard.about)


def certificates_of_nobody(subject: Subject) -> Iterator[Finding]:
    """CX047: while no trust domain is named, no certificate counts."""
    for guard in _guards(subject) if not _trust_domains(subject) else ():
        if guard.model.principal_in:
            text = f"`{guard.name}` reads the certificate and there is no identity.mtls; {_mtls_mend(guard.model)}"
            yield Finding(guard.place(), "CX047", text, about=guard.about)


def _mtls_mend(guard: schema.Guard) -> str:
    domains = dict.fromkeys(filter(None, map(_trust_domain, guard.principal_in)))
    return f"add mtls: {{trustDomains: [{', '.join(domains)}]}}" if domains else "say there whose certificates count"


def _trust_domains(subject: Subject) -> tuple[str, ...]:
    identity = subject.estate.bundle.model.identity
    return identity.mtls.trust_domains if identity and identity.mtls else ()


def _foreign_text(domain: str, domains: tuple[str, ...]) -> str:
    return f"`{domain}` is not among identity.mtls.trustDomains ({', '.join(domains)}); add it there, or mend it here"


def bad_networks(subject: Subject) -> Iterator[Finding]:
    """CX047: an address with bits beyond its prefix may mean the network or the address, and a guard is no riddle.

    Spec: https://www.rfc-editor.org/rfc/rfc4632#section-3.1.
    """
    for guard in _guards(subject):
        for index, text in enumerate(guard.model.source_in):
            said = _objection_to_network(text)
            if said:
                yield Finding(guard.place("sourceIn", index), "CX047", f"`{shown(text)}` {said}", about=guard.about)


def _objection_to_network(text: str) -> str | None:
    network = _network_around(text)
    if network is None:
        return "is no network; write an address and a number of bits, such as `10.0.0.0/8`"
    if text == network:
        return None
    try:
        ip_network(text)
    except ValueError:
        return f"has bits beyond its prefix; write `{network}`"
    return f"is not how a network is written; write `{network}`"


def _network_around(text: str) -> str | None:
    try:
        return str(ip_interface(text).network)
    except ValueError:
        return None


def versions_that_no_group_has(subject: Subject) -> Iterator[Finding]:
    """CX047: a version that no group serves is never asked for, so that part of the guard says nothing."""
    served = _versions_served(subject)
    for guard in _guards(subject):
        versions = served.get(guard.name, {})
        for index, version in enumerate(guard.model.version_in if guard.name in served else ()):
            if version not in versions:
                there = f"they have {ticked(versions)}" if versions else "they have no versions"
                text = f"`{shown(version)}` is a version of no group that `{guard.name}` guards; {there}"
                yield Finding(guard.place("versionIn", index), "CX047", text, about=guard.about)


def _versions_served(subject: Subject) -> Mapping[str, Mapping[str, schema.VersionData]]:
    """Give, for each guard of a group, the versions of all groups that it guards."""
    served: dict[str, dict[str, schema.VersionData]] = {}
    for group in subject.estate.resource_groups.values():
        for name in _guards_of(subject, group):
            served.setdefault(name, {}).update(group.model.versions)
    return served


def _guards_of(subject: Subject, group: Named[schema.ResourceGroup]) -> Iterable[str]:
    """Name the guards of a group: its own, those of its class and of its rules, and all that those stand on."""
    of_rules = (name for rule in group.model.allow for name in rule.guards)
    waiting = deque((*group.model.guards, *subject.class_of(group).guards, *of_rules))
    names: dict[str, None] = {}
    while waiting:
        name = waiting.popleft()
        if name in subject.estate.guards and name not in names:
            names[name] = None
            waiting.extend(subject.estate.guards[name].model.any_of)
    return names


def headers_that_no_caller_sets(subject: Subject) -> Iterator[Finding]:
    """CX008: what the browser or the connection writes, or what a response carries, says nothing of who calls.

    Spec: https://fetch.spec.whatwg.org/#forbidden-request-header.
    """
    for guard in _guards(subject):
        if guard.model.header:
            said = _objection_to_header(guard.model.header.name)
            if said:
                text = f"`{guard.model.header.name}` {said}"
                yield Finding(guard.place("header", "name"), "CX008", text, about=guard.about)


def token_headers_that_carry_none(subject: Subject) -> Iterator[Finding]:
    """CX008: no caller can send a token in a header that browsers own, or that is ours."""
    bundle = subject.estate.bundle
    for name, provider in subject.estate.providers.items():
        header = provider.from_.header if provider.from_ else None
        said = _objection_to_header(header) if header and header.lower() != "authorization" else None
        if said:
            yield Finding(
                bundle.place("identity", "jwt", name, "from", "header"), "CX008", f"`{header}` {said}", about="identity"
            )


def _objection_to_header(written: str) -> str | None:
    name = written.lower()
    if name == "authorization":
        return "is a credential, and a policy holds no secrets; say `authenticated: true`, or which role"
    if name.startswith(OWN_PREFIX):
        return "is taken off every request before guards are asked; choose another name"
    if name in RESPONSE_ONLY_HEADERS:
        return "is carried by responses, never by requests; choose a request header"
    if is_forbidden_request_header(name):
        return "is set by the browser or the connection, never by a script; choose a header that callers set"
    return None


def tokens_of_no_age(subject: Subject) -> Iterator[Finding]:
    """CX047: no token is younger than an instant, so the guard refuses everyone."""
    for guard in _guards(subject):
        if guard.model.token_age_at_most == timedelta(0):
            text = f"`{guard.name}`: no token has an age of at most `0s`; write how old it may be, such as 10m"
            yield Finding(guard.place("tokenAgeAtMost"), "CX047", text, about=guard.about)


# --- tenants --------------------------------------------------------------------------------------------------------


def tenants_named_twice(subject: Subject) -> Iterator[Finding]:
    """CX047: if certificate and route named two tenants, which of them would it be?"""
    bundle = subject.estate.bundle
    tenants = bundle.model.tenants
    if tenants and tenants.principal and tenants.route_metadata:
        text = "`routeMetadata` beside `principal`: one of them names the tenant; leave the other out"
        place = bundle.document.key_place("tenants", "routeMetadata")
        yield Finding(place, "CX047", text, about="tenants")


def bad_tenant_principals(subject: Subject) -> Iterator[Finding]:
    """CX047: where `{tenant}` is only a part of an element, one tenant's name could reach into another's.

    Spec: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md#22-path.
    """
    bundle = subject.estate.bundle
    principal = (bundle.model.tenants.principal if bundle.model.tenants else None) or ""
    said = _objection_to_tenant_principal(subject, principal) if principal else None
    if said:
        text = f"`{shown(principal)}`{said}"
        yield Finding(bundle.place("tenants", "principal"), "CX047", text, about="tenants")


def _objection_to_tenant_principal(subject: Subject, principal: str) -> str | None:
    elements = principal.removeprefix("spiffe://").split("/")
    if principal.count("{tenant}") != 1 or "{tenant}" not in elements[1:]:
        return ": `{tenant}` is one whole element of the path, once, as in spiffe://mesh/ns/{tenant}/*"
    domain, domains = _trust_domain(principal.replace("{tenant}", "tenant")), _trust_domains(subject)
    if domain is None:
        return " is no SPIFFE ID; write spiffe://domain/path, with `*` at most at its end"
    if not domains:
        return f" reads the certificate and there is no identity.mtls; add mtls: {{trustDomains: [{domain}]}}"
    return f": {_foreign_text(domain, domains)}" if domain not in domains else None


def tenant_claims_of_no_provider(subject: Subject) -> Iterator[Finding]:
    """CX047: without a provider no token is read, and the claim would agree with nothing."""
    bundle = subject.estate.bundle
    tenants = bundle.model.tenants
    if tenants and tenants.claim and not subject.estate.providers:
        text = (
            f"`{shown(tenants.claim)}` is read from a token and identity.jwt names no provider; say there who issues it"
        )
        yield Finding(bundle.place("tenants", "claim"), "CX047", text, about="tenants")


def per_tenant_origins_without_a_tenant(subject: Subject) -> Iterator[Finding]:
    """CX032: a preflight carries no token, so whose origins count must be known from the route or the connection."""
    nameless = _routes_without_a_tenant(subject)
    for at in rules_at(subject):
        for index, origins in at.admitted(subject) if at.group.name in nameless else ():
            if origins.model.per_tenant:
                route = nameless[at.group.name]
                text = (
                    f"`{origins.name}` is per tenant, and `{route.host.text}{route.path.text}` names none before a"
                    " token is read; put {tenant} into its host or path, or say where it stands in tenants"
                )
                yield at.finding("CX032", text, "origins", index)


def _routes_without_a_tenant(subject: Subject) -> Mapping[str, RouteAt]:
    """Give, by group, the first route that names no tenant."""
    tenants = subject.estate.bundle.model.tenants
    if tenants and (tenants.principal or tenants.route_metadata):
        return {}
    first: dict[str, RouteAt] = {}
    for route in subject.routes:
        if not (route.host.tenant or route.path.tenant):
            first.setdefault(route.group.name, route)
    return first


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    identity_in_a_preflight,
    tokens_of_no_provider,
    unknown_providers,
    providers_without_a_token,
    guards_in_a_circle,
    unknown_guards_in_any_of,
    unknown_guards_of_groups,
    bad_principals,
    foreign_principals,
    certificates_of_nobody,
    bad_networks,
    versions_that_no_group_has,
    headers_that_no_caller_sets,
    token_headers_that_carry_none,
    tokens_of_no_age,
    tenants_named_twice,
    bad_tenant_principals,
    tenant_claims_of_no_provider,
    per_tenant_origins_without_a_tenant,
)
