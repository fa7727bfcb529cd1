"""Objects of Envoy Gateway and of the Gateway API: what can be told before Envoy Gateway translates them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from cors_authz.doctor import attached, catalogue, mutation, patches
from cors_authz.doctor.attached import ext_auth
from cors_authz.doctor.finding import Finding, Rule
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import Message, inner, maps, number, texts
from cors_authz.doctor.things import Estate, Thing
from cors_authz.envoy.bootstrap import EXT_AUTHZ_FILTER, JWT_AUTHN_FILTER

_UNESCAPES: Final = frozenset({"UnescapeAndForward", "UnescapeAndRedirect"})


def findings(estate: Estate) -> Iterator[Finding]:
    """Say what is wrong with the objects of Envoy Gateway."""
    for rule in _RULES:
        yield from rule(estate)


def _security(estate: Estate) -> Iterator[Finding]:
    for thing in estate.of("SecurityPolicy"):
        auth = ext_auth(thing)
        if not auth:
            continue
        yield from _security_policy(thing, auth)
        yield from _grants(thing, auth, estate.of("ReferenceGrant"))
        lost = sorted(_lost(auth, estate.reads))
        if lost:
            said = ", ".join(f"`{name}`" for name in lost)
            yield thing.found(catalogue.HEADERS_DROPPED, f"`headersToExtAuth` lacks {said}", auth)


def _security_policy(thing: Thing, auth: Message) -> Iterator[Finding]:
    if auth.get("failOpen") is True:
        yield thing.found(catalogue.FAIL_OPEN, "`failOpen: true`", auth)
    if "http" in auth:
        yield thing.found(catalogue.HTTP_SERVICE, "`extAuth.http`", auth)
    if "bodyToExtAuth" in auth:
        yield thing.found(catalogue.BODY, "`bodyToExtAuth`", auth)
    if auth.get("recomputeRoute") is True:
        yield thing.found(catalogue.ROUTE_CACHE, "`recomputeRoute: true`", auth)
    if "cors" in thing.spec:
        yield thing.found(catalogue.NATIVE_CORS, "`cors`, which Envoy Gateway puts in front of ext_authz")


def _lost(auth: Message, reads: Reads) -> set[str]:
    sent = {name.lower() for name in texts(auth.get("headersToExtAuth"))}
    return set(reads.headers - sent) if sent else set()


def _grants(thing: Thing, auth: Message, grants: Sequence[Thing]) -> Iterator[Finding]:
    service = inner(auth, "grpc")
    for each in [*maps(service.get("backendRefs")), inner(service, "backendRef")]:
        target = str(each.get("namespace", thing.namespace))
        if target != thing.namespace and not any(_allows(grant, thing, target) for grant in grants):
            yield thing.found(
                catalogue.NO_GRANT, f"`backendRefs` names namespace `{target}`, and no ReferenceGrant", auth
            )


def _allows(grant: Thing, thing: Thing, target: str) -> bool:
    return grant.namespace == target and any(
        each.get("kind") == "SecurityPolicy" and each.get("namespace") == thing.namespace
        for each in maps(grant.spec.get("from"))
    )


def _client_traffic(estate: Estate) -> Iterator[Finding]:
    policies = estate.of("ClientTrafficPolicy")
    for thing in policies:
        for rule, said in (*_paths_of_clients(thing.spec), *_headers_of_clients(thing.spec, estate.reads)):
            yield thing.found(rule, said)
    if not policies:
        for thing in filter(ext_auth, estate.things):
            said = "no ClientTrafficPolicy, so `path.escapedSlashesAction` is UnescapeAndRedirect"
            yield thing.found(catalogue.UNESCAPE, said)


def _paths_of_clients(spec: Message) -> Iterator[tuple[Rule, str]]:
    path = inner(spec, "path")
    escaped = str(path.get("escapedSlashesAction", "UnescapeAndRedirect"))
    if escaped in _UNESCAPES:
        yield catalogue.UNESCAPE, f"`path.escapedSlashesAction` is {escaped}"
    if path.get("disableMergeSlashes") is True:
        yield catalogue.MERGE_SLASHES, "`path.disableMergeSlashes: true`"


def _headers_of_clients(spec: Message, reads: Reads) -> Iterator[tuple[Rule, str]]:
    headers = inner(spec, "headers")
    if headers.get("withUnderscoresAction") == "Allow":
        yield catalogue.UNDERSCORES, "`headers.withUnderscoresAction: Allow`"
    if number(inner(spec, "clientIPDetection", "xForwardedFor").get("numTrustedHops"), 0):
        yield catalogue.XFF_TRUST, "`clientIPDetection.xForwardedFor`"
    if names := mutation.changed(patches.early_mutations(inner(headers, "earlyRequestHeaders")), reads):
        yield catalogue.CHANGED_FIRST, f"`headers.earlyRequestHeaders` changes {names}"
    for name in _set_by(inner(headers, "lateResponseHeaders")):
        yield catalogue.STATIC_GRANT, f"`headers.lateResponseHeaders` has `{name}`"


def _proxy_order(estate: Estate) -> Iterator[Finding]:
    for thing in estate.of("EnvoyProxy"):
        for each in maps(thing.spec.get("filterOrder")):
            pair = (each.get("name"), each.get("before"), each.get("after"))
            if pair[:2] == (JWT_AUTHN_FILTER, EXT_AUTHZ_FILTER) or (pair[0], pair[2]) == (
                EXT_AUTHZ_FILTER,
                JWT_AUTHN_FILTER,
            ):
                yield thing.found(catalogue.REFUSES_FIRST, "`filterOrder` puts jwt_authn in front of ext_authz", each)


def _patch_policies(estate: Estate) -> Iterator[Finding]:
    for thing in estate.of("EnvoyPatchPolicy"):
        for each in maps(thing.spec.get("jsonPatches")):
            for rule, said in patches.of_json_patch(inner(each, "operation")):
                yield thing.found(rule, said, each)


def _answers(estate: Estate) -> Iterator[Finding]:
    for kind in ("HTTPRoute", "GRPCRoute"):
        for thing in estate.of(kind):
            for rule in maps(thing.spec.get("rules")):
                for each in (rule, *maps(rule.get("backendRefs"))):
                    yield from _of_route(thing, maps(each.get("filters")))


def _of_route(thing: Thing, filters: Sequence[Message]) -> Iterator[Finding]:
    for each in filters:
        for name in _set_by(inner(each, "responseHeaderModifier")):
            yield thing.found(catalogue.STATIC_GRANT, f"`responseHeaderModifier` has `{name}`", each)
        if "cors" in each:
            yield thing.found(catalogue.NATIVE_CORS, "`cors`, which Envoy Gateway puts in front of ext_authz", each)


def _set_by(modifier: Message) -> Iterator[str]:
    return patches.cors_headers(each.get("name") for how in ("set", "add") for each in maps(modifier.get(how)))


_RULES: Final = (
    _security,
    _client_traffic,
    _proxy_order,
    _patch_policies,
    _answers,
    attached.findings,
)
