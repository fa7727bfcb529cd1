"""Rendered Kubernetes objects of Istio and Envoy Gateway: what can be told before a control plane translates them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from cors_authz.doctor import catalogue, gate, mutation, patches
from cors_authz.doctor.finding import Finding, Rule, Where
from cors_authz.doctor.hosts import RoutedHost
from cors_authz.doctor.lined import UnreadableError, documents, line_of
from cors_authz.doctor.plane import Plane
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import Message, inner, maps, number, texts
from cors_authz.doctor.spelling import Routing, object_to
from cors_authz.envoy.bootstrap import CORS_RESPONSE_HEADERS

_OF_ISTIO: Final = frozenset({"AuthorizationPolicy", "ConfigMap", "EnvoyFilter", "IstioOperator"})
_LOOSE: Final = frozenset({"NONE", "BASE", "DEFAULT", ""})
_UNESCAPES: Final = frozenset({"UnescapeAndForward", "UnescapeAndRedirect"})
_REFUSALS: Final = frozenset({"", "403", "200"})
_JWT: Final = "envoy.filters.http.jwt_authn"
_EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"


class Thing(NamedTuple):
    """An object and the file that it stands in."""

    source: str
    body: Message

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.body.get("kind", ""))

    @property
    def api(self) -> str:
        """Its API group."""
        return str(self.body.get("apiVersion", "")).partition("/")[0]

    @property
    def name(self) -> str:
        """Its name."""
        return str(inner(self.body, "metadata").get("name", ""))

    @property
    def namespace(self) -> str:
        """Its namespace; "" where the one who applies it says so."""
        return str(inner(self.body, "metadata").get("namespace", ""))

    @property
    def spec(self) -> Message:
        """What it asks for."""
        return inner(self.body, "spec")

    def found(self, rule: Rule, detail: str, part: object = None) -> Finding:
        """Say that it breaks a rule, at one of its parts if one is given."""
        line = line_of(part) or line_of(self.body)
        plane = Plane.ISTIO if self.kind in _OF_ISTIO else Plane.ENVOY_GATEWAY
        return Finding(rule, Where(self.source, line, f"{self.kind} {self.name}"), detail, plane)


class _Estate(NamedTuple):
    things: Sequence[Thing]
    reads: Reads

    def of(self, kind: str) -> list[Thing]:
        return [thing for thing in self.things if thing.kind == kind]


def things_in(source: str, parsed: Iterable[Any]) -> Iterator[Thing]:
    """Give the objects of a file's documents; those of a List one by one."""
    for document in parsed:
        body = inner(document)
        items = maps(body.get("items")) if body.get("kind") == "List" else [body]
        yield from (Thing(source, each) for each in items if "kind" in each)


def judges(things: Iterable[Thing]) -> bool:
    """Tell whether there is any object here by which Envoys come to ask a service."""
    return any(_custom(thing) or _ext_auth(thing) or _mesh_of(thing) for thing in things)


def findings(things: Sequence[Thing], reads: Reads) -> Iterator[Finding]:
    """Say what is wrong with the objects."""
    estate = _Estate(things, reads)
    for rule in _RULES:
        yield from rule(estate)


def routed(things: Iterable[Thing]) -> Iterator[RoutedHost]:
    """Give the hosts that routes and gateways name."""
    for thing in things:
        for name in _hosts_of(thing):
            # Istio writes `namespace/host`.
            yield RoutedHost(name.rpartition("/")[2].lower(), thing.found(catalogue.UNGOVERNED, "").where)


def _hosts_of(thing: Thing) -> Iterator[str]:
    spec = thing.spec
    if thing.kind in {"HTTPRoute", "GRPCRoute", "TLSRoute"}:
        yield from texts(spec.get("hostnames"))
    elif thing.kind == "VirtualService":
        yield from texts(spec.get("hosts"))
    elif thing.kind == "Gateway":
        yield from (host for server in maps(spec.get("servers")) for host in texts(server.get("hosts")))
        yield from (str(each["hostname"]) for each in maps(spec.get("listeners")) if "hostname" in each)


# --- Istio ------------------------------------------------------------------------------------------------------------


def _custom(thing: Thing) -> bool:
    return thing.kind == "AuthorizationPolicy" and thing.spec.get("action") == "CUSTOM"


def _mesh_of(thing: Thing) -> Message:
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


def _policies(estate: _Estate) -> Iterator[Finding]:
    meshes = [mesh for thing in estate.things if (mesh := _mesh_of(thing))]
    known = {str(each.get("name")) for mesh in meshes for each in maps(mesh.get("extensionProviders"))}
    for thing in filter(_custom, estate.things):
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


def _providers(estate: _Estate) -> Iterator[Finding]:
    used = {str(inner(thing.spec, "provider").get("name", "")) for thing in filter(_custom, estate.things)}
    for thing in estate.things:
        for each in maps(_mesh_of(thing).get("extensionProviders")):
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


def _mesh_paths(estate: _Estate) -> Iterator[Finding]:
    for thing in estate.things:
        mesh = _mesh_of(thing)
        if not mesh or not any(map(_custom, estate.things)):
            continue
        how = str(inner(mesh, "pathNormalization").get("normalization", ""))
        said = f"`pathNormalization` is {how or 'not set'}"
        if how == "NONE":
            yield thing.found(catalogue.NORMALIZE, said)
        if how in _LOOSE:
            yield thing.found(catalogue.MERGE_SLASHES, said)
        if how == "DECODE_AND_MERGE_SLASHES":
            yield thing.found(catalogue.UNESCAPE, said)


def _filters(estate: _Estate) -> Iterator[Finding]:
    for thing in estate.of("EnvoyFilter"):
        for each in maps(thing.spec.get("configPatches")):
            for rule, said in patches.of_envoy_filter(each):
                yield thing.found(rule, said, each)


# --- Envoy Gateway ----------------------------------------------------------------------------------------------------


def _ext_auth(thing: Thing) -> Message:
    return inner(thing.spec, "extAuth") if thing.kind == "SecurityPolicy" else {}


def _security(estate: _Estate) -> Iterator[Finding]:
    for thing in estate.of("SecurityPolicy"):
        auth = _ext_auth(thing)
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


def _client_traffic(estate: _Estate) -> Iterator[Finding]:
    policies = estate.of("ClientTrafficPolicy")
    for thing in policies:
        for rule, said in (*_paths_of_clients(thing.spec), *_headers_of_clients(thing.spec, estate.reads)):
            yield thing.found(rule, said)
    if not policies:
        for thing in filter(_ext_auth, estate.things):
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


def _proxy_order(estate: _Estate) -> Iterator[Finding]:
    for thing in estate.of("EnvoyProxy"):
        for each in maps(thing.spec.get("filterOrder")):
            pair = (each.get("name"), each.get("before"), each.get("after"))
            if pair[:2] == (_JWT, _EXT_AUTHZ) or (pair[0], pair[2]) == (_EXT_AUTHZ, _JWT):
                yield thing.found(catalogue.REFUSES_FIRST, "`filterOrder` puts jwt_authn in front of ext_authz", each)


def _patch_policies(estate: _Estate) -> Iterator[Finding]:
    for thing in estate.of("EnvoyPatchPolicy"):
        for each in maps(thing.spec.get("jsonPatches")):
            for rule, said in patches.of_json_patch(inner(each, "operation")):
                yield thing.found(rule, said, each)


def _overridden(estate: _Estate) -> Iterator[Finding]:
    """Look for a SecurityPolicy that takes the place of one further out, the check with it."""
    outer = [
        (thing, target)
        for thing in filter(_ext_auth, estate.things)
        for target in _targets(thing)
        if target.get("kind") == "Gateway"
    ]
    for thing in estate.of("SecurityPolicy"):
        if _ext_auth(thing) or "mergeType" in thing.spec:
            continue
        for target in _targets(thing):
            lost = next((one for one, wide in outer if _is_within(estate, (thing, target), (one, wide))), None)
            if lost:
                said = f"for {target.get('kind')} `{target.get('name', '*')}` it takes the place of `{lost.name}`"
                yield thing.found(catalogue.OVERRIDDEN, said, thing.spec)


def _targets(thing: Thing) -> list[Message]:
    """Give what a policy is for; one chosen by labels has no name."""
    spec = thing.spec
    return [*maps(spec.get("targetRefs")), *maps([spec.get("targetRef")]), *maps(spec.get("targetSelectors"))]


def _is_within(estate: _Estate, policy: tuple[Thing, Message], wide: tuple[Thing, Message]) -> bool:
    """Tell whether what a policy is for is part of a Gateway; a route whose object is not given is taken to be."""
    (thing, target), (outer, gateway) = policy, wide
    name, kind = target.get("name"), target.get("kind")
    if kind == "Gateway":
        is_same = (name, thing.namespace) == (gateway.get("name"), outer.namespace)
        return is_same and "sectionName" in target and "sectionName" not in gateway
    routes = [each for each in estate.of(str(kind)) if (each.name, each.namespace) == (name, thing.namespace)]
    return all(_is_attached(each, gateway, outer.namespace) for each in routes)


def _is_attached(route: Thing, gateway: Message, namespace: str) -> bool:
    parents = maps(route.spec.get("parentRefs"))
    names = [(each.get("name"), each.get("namespace", route.namespace)) for each in parents]
    return not parents or "name" not in gateway or (gateway["name"], namespace) in names


# --- both -------------------------------------------------------------------------------------------------------------


def _strips(estate: _Estate) -> Iterator[Finding]:
    """Look for a part of any object that takes the upstream's headers off; which routes it serves is not judged."""
    removed = {text for thing in estate.things for text in _removed(thing.body)}
    lacking = [name for name in CORS_RESPONSE_HEADERS if name not in removed]
    for thing in estate.things:
        if lacking and (_custom(thing) or _ext_auth(thing)):
            said = ", ".join(f"`{name}`" for name in lacking)
            yield thing.found(catalogue.NO_STRIP, f"no object here removes {said} from answers")


def _removed(value: Any) -> Iterator[str]:  # noqa: ANN401 -- YAML
    """Give the headers that any `remove` in a value names, in the ways of Envoy, Istio and the Gateway API."""
    return (text.lower() for each in patches.messages(value) for named in _removals(each) for text in named)


def _removals(each: Message) -> Iterator[list[str]]:
    for key in ("remove", "response_headers_to_remove"):
        value = each.get(key)
        yield [value] if isinstance(value, str) else texts(value)
    # A JSON patch, as EnvoyPatchPolicy has it.
    if str(each.get("path", "")).endswith("/response_headers_to_remove"):
        yield texts(each.get("value"))


_RULES: Final = (
    _policies,
    _providers,
    _mesh_paths,
    _filters,
    _security,
    _client_traffic,
    _proxy_order,
    _patch_policies,
    _overridden,
    _strips,
)
