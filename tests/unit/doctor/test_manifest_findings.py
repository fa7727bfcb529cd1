"""What Kubernetes objects tell of how Envoys will ask the service, one thing wrong at a time."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from cors_authz.doctor.finding import Finding
from cors_authz.doctor.lined import documents
from cors_authz.doctor.manifests import findings, judges, routed, things_in
from cors_authz.doctor.reads import ALWAYS, Reads
from cors_authz.doctor.things import Thing
from cors_authz.envoy.bootstrap import CORS_RESPONSE_HEADERS

_STRIP: Final = f"[{', '.join(CORS_RESPONSE_HEADERS)}]"

ISTIO: Final = f"""\
kind: ConfigMap
metadata: {{name: istio, namespace: istio-system}}
data:
  mesh: |-
    pathNormalization: {{normalization: MERGE_SLASHES}}
    extensionProviders:
    - name: cors-authz
      envoyExtAuthzGrpc:
        service: cors-authz.cors-authz.svc.cluster.local
        port: 9191
        timeout: 0.5s
        statusOnError: "503"
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: cors, namespace: shop}}
spec:
  action: CUSTOM
  provider: {{name: cors-authz}}
  rules:
  - {{}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop, namespace: shop}}
spec:
  hosts: [api.shop.example]
  http:
  - headers:
     response:
      remove: {_STRIP}
"""

GATEWAY: Final = f"""\
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {{name: cors, namespace: shop}}
spec:
  targetRefs: [{{kind: HTTPRoute, name: shop}}]
  extAuth:
    failOpen: false
    grpc:
      backendRefs: [{{name: cors-authz, namespace: cors-authz, port: 9191}}]
---
kind: ReferenceGrant
metadata: {{name: cors, namespace: cors-authz}}
spec:
  from: [{{group: gateway.envoyproxy.io, kind: SecurityPolicy, namespace: shop}}]
  to: [{{group: "", kind: Service}}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {{name: edge, namespace: shop}}
spec:
  path: {{escapedSlashesAction: KeepUnchanged}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: shop, namespace: shop}}
spec:
  hostnames: [api.shop.example]
  rules:
  - filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier:
       remove: {_STRIP}
"""


def things(text: str) -> tuple[Thing, ...]:
    return tuple(things_in("all.yaml", documents("all.yaml", text.encode())))


def found(text: str, reads: Reads | None = None) -> list[Finding]:
    return list(findings(things(text), reads or Reads()))


class Broken(NamedTuple):
    """Objects, a text in them, what stands there instead, the finding, and where it is."""

    text: str
    old: str
    new: str
    code: str
    part: str


_POLICY, _MESH, _SECURITY = "AuthorizationPolicy cors", "ConfigMap istio", "SecurityPolicy cors"
_ADDS: Final = "{responseHeaderModifier: {add: [{name: access-control-max-age, value: 5}]}}"
_SERVICE: Final = "VirtualService shop"
BROKEN: Final = {
    "Istio: a provider that the mesh lacks": Broken(
        ISTIO, "provider: {name: c", "provider: {name: d", "DR100", _POLICY
    ),
    "Istio: no rules": Broken(ISTIO, "  rules:\n  - {}\n", "", "DR001", _POLICY),
    "Istio: rules for some paths": Broken(
        ISTIO, "  - {}\n", "  - to: [{operation: {paths: [/api/*]}}]\n", "DR004", _POLICY
    ),
    "Istio: rules for some callers": Broken(
        ISTIO, "  - {}\n", "  - from: [{source: {namespaces: [a]}}]\n", "DR004", _POLICY
    ),
    "Istio: fail open": Broken(
        ISTIO, "        port: 9191", "        port: 9191\n        failOpen: true", "DR010", _MESH
    ),
    "Istio: no timeout": Broken(ISTIO, "        timeout: 0.5s\n", "", "DR031", _MESH),
    "Istio: no status for errors": Broken(ISTIO, '        statusOnError: "503"\n', "", "DR011", _MESH),
    "Istio: by HTTP": Broken(ISTIO, "envoyExtAuthzGrpc", "envoyExtAuthzHttp", "DR007", _MESH),
    "Istio: bodies": Broken(
        ISTIO, "        port: 9191", "        port: 9191\n        includeRequestBodyInCheck: {}", "DR021", _MESH
    ),
    "Istio: another route": Broken(
        ISTIO, "        port: 9191", "        port: 9191\n        clearRouteCache: true", "DR055", _MESH
    ),
    "Istio: slashes as they come": Broken(ISTIO, "MERGE_SLASHES", "BASE", "DR061", _MESH),
    "Istio: slashes decoded": Broken(ISTIO, "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES", "DR062", _MESH),
    "Istio: the upstream's headers pass": Broken(ISTIO, "access-control-max-age", "x", "DR080", _POLICY),
    "Istio: a patch that fails open": Broken(
        ISTIO,
        "kind: VirtualService",
        "kind: EnvoyFilter\nmetadata: {name: patch}\nspec:\n  configPatches:\n  - patch:\n      value:\n"
        "        typed_config: {failure_mode_allow: true}\n---\nkind: VirtualService",
        "DR010",
        "EnvoyFilter patch",
    ),
    "Istio: a route grants": Broken(
        ISTIO, "     response:\n", "     response:\n      set: {Access-Control-Allow-Origin: x}\n", "DR081", _SERVICE
    ),
    "Istio: one of the destinations of a route grants": Broken(
        ISTIO,
        "  - headers:",
        "  - route: [{headers: {response: {add: {access-control-max-age: 5}}}}]\n    headers:",
        "DR081",
        _SERVICE,
    ),
    "Gateway: a route grants": Broken(
        GATEWAY,
        "       remove: [",
        "       set: [{name: Access-Control-Allow-Origin, value: x}]\n       remove: [",
        "DR081",
        "HTTPRoute shop",
    ),
    "Gateway: one of the backends of a route grants": Broken(
        GATEWAY,
        "  - filters:\n",
        f"  - backendRefs: [{{filters: [{_ADDS}]}}]\n    filters:\n",
        "DR081",
        "HTTPRoute shop",
    ),
    "Gateway: a route of gRPC grants": Broken(
        GATEWAY,
        "kind: ReferenceGrant",
        f"kind: GRPCRoute\nmetadata: {{name: a}}\nspec: {{rules: [{{filters: [{_ADDS}]}}]}}\n---\nkind: ReferenceGrant",
        "DR081",
        "GRPCRoute a",
    ),
    "Gateway: a route has CORS of its own": Broken(
        GATEWAY, "  - filters:\n", "  - filters:\n    - {type: CORS, cors: {}}\n", "DR052", "HTTPRoute shop"
    ),
    "Gateway: all answers grant": Broken(
        GATEWAY,
        "  path: {e",
        "  headers: {lateResponseHeaders: {set: [{name: access-control-allow-origin}]}}\n  path: {e",
        "DR081",
        "ClientTrafficPolicy edge",
    ),
    "Gateway: fail open": Broken(GATEWAY, "failOpen: false", "failOpen: true", "DR010", _SECURITY),
    "Gateway: by HTTP": Broken(GATEWAY, "    grpc:", "    http:", "DR007", _SECURITY),
    "Gateway: bodies": Broken(GATEWAY, "failOpen: false", "bodyToExtAuth: {maxRequestBytes: 9}", "DR021", _SECURITY),
    "Gateway: another route": Broken(GATEWAY, "failOpen: false", "recomputeRoute: true", "DR055", _SECURITY),
    "Gateway: headers are left out": Broken(
        GATEWAY, "failOpen: false", "headersToExtAuth: [origin]", "DR020", _SECURITY
    ),
    "Gateway: its own CORS": Broken(GATEWAY, "  extAuth:", "  cors: {}\n  extAuth:", "DR052", _SECURITY),
    "Gateway: no grant": Broken(GATEWAY, "kind: ReferenceGrant", "kind: Other", "DR101", _SECURITY),
    "Gateway: a grant for another namespace": Broken(
        GATEWAY, "namespace: shop}]", "namespace: other}]", "DR101", _SECURITY
    ),
    "Gateway: a grant in another namespace": Broken(
        GATEWAY,
        "metadata: {name: cors, namespace: cors-authz}",
        "metadata: {name: cors, namespace: b}",
        "DR101",
        _SECURITY,
    ),
    "Gateway: a grant for other policies": Broken(
        GATEWAY,
        "kind: SecurityPolicy, namespace: shop}]",
        "kind: HTTPRoute, namespace: shop}]",
        "DR101",
        _SECURITY,
    ),
    "Gateway: slashes decoded": Broken(
        GATEWAY, "KeepUnchanged", "UnescapeAndForward", "DR062", "ClientTrafficPolicy edge"
    ),
    "Gateway: slashes decoded by default": Broken(
        GATEWAY, "  path: {escapedSlashesAction: KeepUnchanged}\n", "  path: {}\n", "DR062", "ClientTrafficPolicy edge"
    ),
    "Gateway: no word on paths at all": Broken(GATEWAY, "kind: ClientTrafficPolicy", "kind: Other", "DR062", _SECURITY),
    "Gateway: slashes as they come": Broken(
        GATEWAY, "KeepUnchanged}", "KeepUnchanged, disableMergeSlashes: true}", "DR061", "ClientTrafficPolicy edge"
    ),
    "Gateway: underscores": Broken(
        GATEWAY,
        "  path: {e",
        "  headers: {withUnderscoresAction: Allow}\n  path: {e",
        "DR064",
        "ClientTrafficPolicy edge",
    ),
    "Gateway: the upstream's headers pass": Broken(GATEWAY, "access-control-max-age", "x", "DR080", _SECURITY),
    "Gateway: the check behind tokens": Broken(
        GATEWAY,
        "kind: ReferenceGrant",
        "kind: EnvoyProxy\nmetadata: {name: p}\nspec:\n  filterOrder:\n"
        "  - {name: envoy.filters.http.ext_authz, after: envoy.filters.http.jwt_authn}\n---\nkind: ReferenceGrant",
        "DR050",
        "EnvoyProxy p",
    ),
    "Gateway: tokens first": Broken(
        GATEWAY,
        "kind: ReferenceGrant",
        "kind: EnvoyProxy\nmetadata: {name: p}\nspec:\n  filterOrder:\n"
        "  - {name: envoy.filters.http.jwt_authn, before: envoy.filters.http.ext_authz}\n---\nkind: ReferenceGrant",
        "DR050",
        "EnvoyProxy p",
    ),
}


@pytest.mark.parametrize("text", [ISTIO, GATEWAY], ids=["Istio", "Gateway"])
def test_objects_that_are_right_have_no_finding(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_one_thing_wrong_is_that_finding(case: Broken) -> None:
    assert case.text.count(case.old) == 1
    said = found(case.text.replace(case.old, case.new))
    assert [(each.rule.code, each.where.source, each.where.part) for each in said] == [
        (case.code, "all.yaml", case.part)
    ]
    assert all(each.where.line > 0 for each in said)


RIGHT: Final = {
    "Istio: a route sets another header": (ISTIO, "     response:\n", "     response:\n      set: {x-a: b}\n"),
    # Its filter stands behind the check, which blanks what it grants as it does the upstream's grants.
    "Istio: a route has CORS of its own": (ISTIO, "  - headers:", "  - corsPolicy: {}\n    headers:"),
    "Gateway: a route sets another header": (
        GATEWAY,
        "       remove: [",
        "       set: [{name: x-a}]\n       remove: [",
    ),
}


@pytest.mark.parametrize("sentence", RIGHT)
def test_what_grants_nothing_is_no_finding(sentence: str) -> None:
    text, old, new = RIGHT[sentence]
    assert text.count(old) == 1
    assert found(text.replace(old, new)) == []


def test_headers_that_all_are_sent_are_enough() -> None:
    listed = f"headersToExtAuth: [{', '.join(ALWAYS)}]"
    assert found(GATEWAY.replace("failOpen: false", listed)) == []
    (finding,) = found(GATEWAY.replace("failOpen: false", listed), Reads(frozenset({*ALWAYS, "x-tenant"})))
    assert (finding.rule.code, finding.detail) == ("DR020", "`headersToExtAuth` lacks `x-tenant`")


STRIPS: Final = {
    "a patch of a virtual host by Istio": f"{{value: {{response_headers_to_remove: {_STRIP}}}}}",
    "a JSON patch of Envoy Gateway": f"{{op: add, path: /virtual_hosts/0/response_headers_to_remove, value: {_STRIP}}}",
    "names in capitals": f"{{remove: {_STRIP.upper()}}}",
    "one by one": "[" + ", ".join(f"{{remove: {name}}}" for name in CORS_RESPONSE_HEADERS) + "]",
}


@pytest.mark.parametrize("sentence", STRIPS)
def test_ways_to_take_the_upstreams_headers_off(sentence: str) -> None:
    without = GATEWAY.replace(_STRIP, "[]")
    assert [each.rule.code for each in found(without)] == ["DR080"]
    assert found(f"{without}---\nkind: Patch\nspec: {STRIPS[sentence]}\n") == []


RULES: Final = {
    "a host, also with any port": ("to: [{operation: {hosts: [a.example, 'a.example:*']}}]", ""),
    "hosts by how they begin": ("to: [{operation: {hosts: [a.*]}}]", ""),
    "any host": ("to: [{operation: {hosts: ['*']}}]", ""),
    "a host without a port": (
        "to: [{operation: {hosts: [a.example]}}]",
        "DR009 `Host: a.example:1`, `Host: a.example:`",
    ),
    "one of two hosts without a port": (
        "to: [{operation: {hosts: [a.example, 'a.example:*', B.example]}}]",
        "DR009 `Host: B.example:1`, `Host: B.example:`",
    ),
    "a host with one port": (
        "to: [{operation: {hosts: ['a.example:443']}}]",
        "DR009 `Host: a.example`, `Host: a.example:1`, `Host: a.example:`",
    ),
    "hosts by how they end": (
        "to: [{operation: {hosts: ['*.example']}}]",
        "DR009 `Host: x.example:1`, `Host: x.example:`",
    ),
    "hosts that are left out by how they end": (
        "to: [{operation: {notHosts: ['*.internal']}}]",
        "DR009 `Host: x.example:.internal`",
    ),
    "a host that is left out": ("to: [{operation: {notHosts: [a.example]}}]", "DR004"),
    "some paths of a host without a port": (
        "to: [{operation: {hosts: [a.example], paths: [/api/*]}}]",
        "DR009 `Host: a.example:1`, `Host: a.example:`",
    ),
    "a host, and with a port for some callers": (
        """to: [{operation: {hosts: [a.example]}}]
  - {to: [{operation: {hosts: ['a.example:*']}}], from: [{source: {namespaces: [a]}}]}""",
        "DR009 `Host: a.example:1`, `Host: a.example:`",
    ),
    "a host, and with a port for some paths": (
        "to: [{operation: {hosts: [a.example]}}, {operation: {hosts: ['a.example:*'], paths: [/api]}}]",
        "DR009 `Host: a.example:1`, `Host: a.example:`",
    ),
    "some paths": ("to: [{operation: {paths: [/api]}}]", "DR004"),
    "some paths of some hosts": ("to: [{operation: {hosts: [a.*], paths: [/api]}}]", "DR004"),
    "some callers": ("from: [{source: {namespaces: [a]}}]", "DR004"),
    "some addresses": ("when: [{key: remote.ip, values: [10.0.0.1]}]", "DR004"),
    "requests with a header": (
        "when: [{key: 'request.headers[X-Check]', values: ['*']}]",
        "DR009 requests with any `x-check` or none",
    ),
    "requests without a value of a header": (
        "when: [{key: 'request.headers[x-skip]', notValues: [yes please]}]",
        "DR009 requests with any `x-skip` or none",
    ),
    "the host by a header, which Istio compares with its case": (
        "when: [{key: 'request.headers[host]', values: [a.example, 'a.example:*']}]",
        "DR009 `Host: A.EXAMPLE`",
    ),
    "a path by a header, which has the query": (
        "when: [{key: 'request.headers[:path]', values: [/a]}]",
        "DR009 `/a?x`",
    ),
}


@pytest.mark.parametrize("sentence", RULES)
def test_rules_of_istio_for_some_requests(sentence: str) -> None:
    rule, expected = RULES[sentence]
    said = found(ISTIO.replace("  - {}\n", f"  - {rule}\n"))
    told = [f"{each.rule.code} {each.detail.partition('unasked: ')[2]}".strip() for each in said]
    assert told == [expected] if expected else told == []


def test_istio_checks_before_it_verifies_tokens() -> None:
    assert found(ISTIO + "---\nkind: RequestAuthentication\nmetadata: {name: jwt}\n") == []


OPERATOR: Final = """\
kind: IstioOperator
metadata: {name: mesh}
spec:
  meshConfig:
    extensionProviders:
    - {name: other, envoyExtAuthzGrpc: {}}
"""


def test_the_mesh_may_stand_in_an_operators_object() -> None:
    _, policy, service = ISTIO.split("---\n")
    said = found(f"{OPERATOR}---\n{policy}---\n{service}")
    assert [(each.rule.code, each.where.part) for each in said] == [
        ("DR100", "AuthorizationPolicy cors"),
        ("DR061", "IstioOperator mesh"),
    ]


def test_a_provider_that_no_policy_names_is_judged_where_no_policy_is_given() -> None:
    said = found(OPERATOR)
    assert sorted(each.rule.code for each in said) == ["DR011", "DR031"]


def test_without_the_mesh_the_provider_is_not_judged() -> None:
    _, policy, service = ISTIO.split("---\n")
    assert found("---\n".join((policy.replace("name: cors-authz", "name: other"), service))) == []


def test_a_line_is_that_of_the_part() -> None:
    (finding,) = found(GATEWAY.replace("failOpen: false", "failOpen: true"))
    assert GATEWAY.splitlines()[finding.where.line - 1].strip() == "failOpen: false"


def test_the_objects_of_a_list_are_judged() -> None:
    items = [dict(thing.body) for thing in things(GATEWAY.replace("failOpen: false", "failOpen: true"))]
    listed = things_in("l.yaml", [{"kind": "List", "items": items}])
    assert [each.rule.code for each in findings(tuple(listed), Reads())] == ["DR010"]


JUDGED: Final = {
    "Istio's policy": (ISTIO, True),
    "Envoy Gateway's policy": (GATEWAY, True),
    "a deployment": ("kind: Deployment\n", False),
    "another AuthorizationPolicy": ("kind: AuthorizationPolicy\nspec: {action: DENY}\n", False),
    "no objects": ("- 1\n--- 7\n", False),
    "nothing": ("", False),
}


@pytest.mark.parametrize("sentence", JUDGED)
def test_whether_there_is_anything_to_judge(sentence: str) -> None:
    text, expected = JUDGED[sentence]
    assert judges(things(text)) is expected


HOSTS: Final = """\
kind: HTTPRoute
spec: {hostnames: [a.example]}
---
kind: VirtualService
spec: {hosts: [b.example]}
---
kind: Gateway
spec:
  servers: [{hosts: [ns/c.example, "*.d.example"]}]
  listeners: [{hostname: E.example}, {port: 80}]
"""


def test_the_hosts_of_routes_and_gateways() -> None:
    hosts = [each.name for each in routed(things(HOSTS))]
    assert hosts == ["a.example", "b.example", "c.example", "*.d.example", "e.example"]


WRONG_SHAPES: Final = {
    "a spec that is a list": "kind: AuthorizationPolicy\nspec: []\n",
    "a mesh that is no YAML": "kind: ConfigMap\ndata: {mesh: 'a: ['}\n",
    "a mesh that is a number": "kind: ConfigMap\ndata: {mesh: '7'}\n",
    "rules that are a text": "kind: AuthorizationPolicy\nspec: {action: CUSTOM, rules: all}\n",
    "extAuth that is a text": "kind: SecurityPolicy\nspec: {extAuth: cors}\n",
    "a list without items": "kind: List\n",
    "a list whose items are a number": "kind: List\nitems: 7\n",
    "metadata that is null": "kind: SecurityPolicy\nmetadata:\nspec: {extAuth: {grpc: 7}}\n",
}


@pytest.mark.parametrize("text", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_a_wrong_shape_breaks_nothing(text: str) -> None:
    all_of_them = things(text)
    assert isinstance(list(findings(all_of_them, Reads())), list)
    assert isinstance(list(routed(all_of_them)), list)
