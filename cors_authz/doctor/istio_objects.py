"""Objects of Istio: what can be told before istiod translates them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cors_authz.doctor import catalogue, gate, patches
from cors_authz.doctor.finding import Finding
from cors_authz.doctor.lined import UnreadableError, documents
from cors_authz.doctor.setup import Message, inner, maps
from cors_authz.doctor.spelling import Routing, object_to
from cors_authz.doctor.things import Estate, Thing

_LOOSE: Final = frozenset({"NONE", "BASE", "DEFAULT", ""})
_REFUSALS: Final = frozenset({"", "403", "200"})


def findings(estate: Estate) -> Iterator[Finding]:
    """Say what is wrong with the objects of Istio."""
    for rule in _RULES:
        yield from rule(estate)


def custom(thing: Thing) -> bool:
    """Tell whether an AuthorizationPolicy has Envoys ask a service."""
    return thing.kind == "AuthorizationPolicy" and thing.spec.get("action") == "CUSTOM"


def mesh_of(thing: Thing) -> Message:
    """Give the mesh configuration that an object holds; an empty one for none."""
    if thing.kind == "ConfigMap":
        text = inner(thing.body, "data").get("mesh")
        return _parsed(text) if isinstance(text, str) else {}
    return inner(thing.spec, "meshConfig") if thing.kind == "IstioOperator" else {}


def _parsed(text: str) -> Message:
    try:
        read = documents("mesh", text.encode())
    except UnreadableError:
        return {}
    return inner(read[0]) if read else {}


def _policies(estate: Estate) -> Iterator[Finding]:
    meshes = [mesh for thing in estate.things if (mesh := mesh_of(thing))]
    known = {str(each.get("name")) for mesh in meshes for each in maps(mesh.get("extensionProviders"))}
    for thing in filter(custom, estate.things):
        provider = str(inner(thing.spec, "provider").get("name", ""))
        if meshes and provider not in known:
            yield thing.found(catalogue.UNKNOWN_PROVIDER, f"`provider: {{name: {provider}}}`")
        rules = maps(thing.spec.get("rules"))
        if not rules:
            yield thing.found(catalogue.NOT_ASKED, "no `rules`, which match nothing; write `rules: [{}]`")
            continue
        rule, detail = object_to(gate.of_rules(rules), Routing(), "`rules` take some requests only")
        if rule is catalogue.GONE_AROUND or not any(map(_takes_all_of_its_hosts, rules)):
            yield thing.found(rule, detail, thing.spec)


def _takes_all_of_its_hosts(rule: Message) -> bool:
    """Tell whether a rule narrows by nothing but hosts, which name what is protected as routes do."""
    operations = [inner(each, "operation") for each in maps(rule.get("to"))]
    return not rule.keys() - {"to"} and all(not operation.keys() - {"hosts"} for operation in operations)


def _providers(estate: Estate) -> Iterator[Finding]:
    used = {str(inner(thing.spec, "provider").get("name", "")) for thing in filter(custom, estate.things)}
    for thing in estate.things:
        for each in maps(mesh_of(thing).get("extensionProviders")):
            if not used or each.get("name") in used:
                yield from _provider(thing, each)


def _provider(thing: Thing, provider: Message) -> Iterator[Finding]:
    grpc, name = inner(provider, "envoyExtAuthzGrpc"), f"provider `{provider.get('name', '')}`"
    if "envoyExtAuthzHttp" in provider:
        yield thing.found(catalogue.HTTP_SERVICE, f"{name} has `envoyExtAuthzHttp`")
    if "envoyExtAuthzGrpc" not in provider:
        return
    if grpc.get("failOpen") is True:
        yield thing.found(catalogue.FAIL_OPEN, f"{name} has `failOpen: true`")
    if "timeout" not in grpc:
        yield thing.found(catalogue.ENDLESS, f"{name} has no `timeout`, which is 600 s")
    if str(grpc.get("statusOnError", "")) in _REFUSALS:
        yield thing.found(
            catalogue.STATUS_ON_ERROR, f"`statusOnError` of {name} is {grpc.get('statusOnError', 'not set')}"
        )
    if "includeRequestBodyInCheck" in grpc:
        yield thing.found(catalogue.BODY, f"{name} has `includeRequestBodyInCheck`")
    if grpc.get("clearRouteCache") is True:
        yield thing.found(catalogue.ROUTE_CACHE, f"{name} has `clearRouteCache: true`")


def _mesh_paths(estate: Estate) -> Iterator[Finding]:
    for thing in estate.things:
        mesh = mesh_of(thing)
        if not mesh or not any(map(custom, estate.things)):
            continue
        how = str(inner(mesh, "pathNormalization").get("normalization", ""))
        said = f"`pathNormalization` is {how or 'not set'}"
        if how == "NONE":
            yield thing.found(catalogue.NORMALIZE, said)
        if how in _LOOSE:
            yield thing.found(catalogue.MERGE_SLASHES, said)
        if how == "DECODE_AND_MERGE_SLASHES":
            yield thing.found(catalogue.UNESCAPE, said)


def _filters(estate: Estate) -> Iterator[Finding]:
    for thing in estate.of("EnvoyFilter"):
        for each in maps(thing.spec.get("configPatches")):
            for rule, said in patches.of_envoy_filter(each):
                yield thing.found(rule, said, each)


def _answers(estate: Estate) -> Iterator[Finding]:
    """Judge what routes set; a `corsPolicy` acts behind ext_authz, and what it grants is blanked as the upstream's."""
    for thing in estate.of("VirtualService"):
        for route in maps(thing.spec.get("http")):
            for each in (route, *maps(route.get("route"))):
                response = inner(each, "headers", "response")
                for name in patches.cors_headers(key for how in ("set", "add") for key in inner(response, how)):
                    yield thing.found(catalogue.STATIC_GRANT, f"`headers.response` has `{name}`", each)


_RULES: Final = (_policies, _providers, _mesh_paths, _filters, _answers)
