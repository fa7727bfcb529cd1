"""What the chart asks of a cluster before it installs: an API server that knows some kinds and holds some objects."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final, NamedTuple

import pytest
import yaml

from helm.generated import CHART
from tests.helm.rendering import VALUES, helm, needs_helm

pytestmark = needs_helm

CORE: Final = {"ConfigMap": "configmaps", "Secret": "secrets", "Namespace": "namespaces", "Service": "services"}
ISTIO: Final = {
    "security.istio.io/v1": ("AuthorizationPolicy",),
    "networking.istio.io/v1alpha3": ("EnvoyFilter",),
    "networking.istio.io/v1": ("DestinationRule", "ServiceEntry"),
}
PLURALS: Final = {"GatewayClass": "gatewayclasses", "ServiceEntry": "serviceentries"}
CLUSTER_WIDE: Final = {"Namespace", "GatewayClass"}
GATEWAYS: Final = {
    "gateway.envoyproxy.io/v1alpha1": ("SecurityPolicy", "EnvoyPatchPolicy"),
    "gateway.networking.k8s.io/v1": ("Gateway", "GatewayClass", "HTTPRoute"),
}
MESH: Final = "/api/v1/namespaces/istio-system/configmaps/istio"
NAMESPACE: Final = "/api/v1/namespaces/cors"
DEFAULT: Final = "/api/v1/namespaces/default"
HOST: Final = "shop-cors-authz.cors.svc.cluster.local"
KNOWN: Final = (
    "extensionProviders: [{name: shop-cors-authz-cors,"
    f" envoyExtAuthzGrpc: {{service: {HOST}, port: 9191, timeout: 0.5s, failOpen: false}}}}]"
)
SERVED: Final = "/apis/gateway.networking.k8s.io/v1"
EDGE: Final = f"{SERVED}/namespaces/edge/gateways/edge"
ORDERS: Final = "/api/v1/namespaces/ambient/services/orders"
ROUTE: Final = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/shop"
GATEWAY: Final = "/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways/edge"


Held = Mapping[str, Mapping[str, Any] | None]
"""The data of ConfigMaps and Secrets, and the specifications of others, by their paths."""


class Case(NamedTuple):
    """A file of values with more of them, what the cluster holds by its path, and what is said.

    What is held as None may not be read.
    """

    name: str
    values: str
    held: Held
    said: Sequence[str]
    unsaid: Sequence[str] = ()


PLACES: Final[Mapping[str, Mapping[str, str]]] = {
    **{f"/api/v1/namespaces/{name}": {} for name in ("istio-ingress", "shop", "edge", "ambient")},
    EDGE: {},
    ORDERS: {},
}


def _less(path: str) -> dict[str, Mapping[str, str]]:
    return {each: data for each, data in PLACES.items() if each != path}


FOUND: Final[Mapping[str, Mapping[str, str]]] = {
    f"{NAMESPACE}/configmaps/shop-policy": {"policy.yaml": ""},
    f"{NAMESPACE}/configmaps/shop-jwks": {},
    f"{NAMESPACE}/secrets/cors-authz-tls": {"tls.crt": "", "tls.key": "", "ca.crt": ""},
}
CLASS: Final = (
    "integrations: {istio: {attachments: [{name: a, namespace: istio-system, targetRefs: [{kind: GatewayClass,"
    " name: istio-waypoint}]}, {name: b, namespace: shop, targetRefs: [{kind: ServiceEntry, name: bank}]}]}}"
)
ALL_OF_SHOP: Final = "integrations: {istio: {attachments: [{name: a, namespace: shop}]}}"
MADE: Final = (
    "integrations: {gatewayApi: {enabled: true, namespace: shop, routes: [{name: shop, parentRefs: [{name: edge}],"
    " backendRefs: [{name: c}]}]}}"
)
EXISTING: Final = ("policy.existingConfigMap:", "jwks.existingConfigMap:", "tls.existingSecret:")
CASES: Final = {
    "a mesh that does not know the provider": Case(
        "values-istio",
        "",
        {MESH: {"mesh": "extensionProviders: [{name: other}]"}},
        (
            "integrations.istio: the mesh knows no provider `shop-cors-authz-cors`, and would refuse every request",
            "    service: shop-cors-authz.cors.svc.cluster.local",
        ),
    ),
    "a mesh without any provider": Case("values-istio", "", {MESH: {"mesh": ""}}, ("the mesh knows no provider",)),
    "a mesh whose configuration is empty": Case("values-istio", "", {MESH: {}}, ("the mesh knows no provider",)),
    "a mesh that knows the provider": Case(
        "values-istio", "", {MESH: {"mesh": KNOWN}, DEFAULT: {}, **PLACES}, (), ("knows no provider",)
    ),
    "a mesh that spells it in its own way": Case(
        "values-istio",
        "",
        {
            MESH: {"mesh": KNOWN.replace("envoyExtAuthzGrpc", "envoy_ext_authz_grpc").replace(HOST, f"cors/{HOST}")},
            DEFAULT: {},
            **PLACES,
        },
        (),
        ("integrations.istio",),
    ),
    "a mesh whose provider of this name is another release's": Case(
        "values-istio",
        "",
        {MESH: {"mesh": KNOWN.replace(HOST, "b.cors.svc.cluster.local").replace("9191", "9292")}, DEFAULT: {}},
        (
            "integrations.istio: the mesh's provider `shop-cors-authz-cors` is not this release's: service is `b.",
            f"`, not `{HOST}`; port is 9292, not 9191; where it is another's,",
            f"    service: {HOST}",
        ),
        ("knows no provider", "failOpen lets", "no timeout"),
    ),
    "a mesh whose provider fails open, and waits for ten minutes": Case(
        "values-istio",
        "",
        {
            MESH: {"mesh": KNOWN.replace("failOpen: false", "failOpen: true").replace("timeout: 0.5s, ", "")},
            DEFAULT: {},
            **PLACES,
        },
        ("is not this release's: failOpen lets requests pass without an answer; there is no timeout, and Istio's own",),
    ),
    "a mesh whose provider fails open in snake case": Case(
        "values-istio",
        "",
        {MESH: {"mesh": KNOWN.replace("failOpen: false", "fail_open: true")}, DEFAULT: {}, **PLACES},
        ("is not this release's: failOpen lets requests pass without an answer; where",),
    ),
    "a mesh whose provider is asked by HTTP": Case(
        "values-istio",
        "",
        {MESH: {"mesh": KNOWN.replace("envoyExtAuthzGrpc", "envoyExtAuthzHttp")}, DEFAULT: {}, **PLACES},
        ("is not this release's: it is no envoyExtAuthzGrpc; where",),
    ),
    "what Envoy Gateway attaches to": Case(
        "values-envoy-gateway",
        "",
        {
            DEFAULT: {},
            **PLACES,
            ROUTE: {},
            GATEWAY: {"listeners": [{"name": "http"}, {"name": "https"}]},
        },
        (),
        ("integrations.envoyGateway",),
    ),
    "no route and no Gateway that Envoy Gateway attaches to": Case(
        "values-envoy-gateway",
        "",
        {DEFAULT: {}, **PLACES},
        (
            "integrations.envoyGateway.targetRefs[0]: there is no HTTPRoute `shop` in namespace `shop`, so nothing",
            "integrations.envoyGateway.targetRefs[1]: there is no Gateway `edge` in namespace `shop`, so nothing",
            "integrations.envoyGateway.patch.listeners[1]: there is no Gateway `edge` in namespace `shop`",
        ),
    ),
    "a Gateway without such listeners": Case(
        "values-envoy-gateway",
        "",
        {DEFAULT: {}, **PLACES, ROUTE: {}, GATEWAY: {"listeners": [{"name": "web"}, {"name": "https"}]}},
        (
            "envoyGateway.targetRefs[1]: the Gateway `edge` in namespace `shop` has no listener `http`; write one of: ",
            "envoyGateway.patch.listeners[0]: the Gateway `edge` in namespace `shop` has no listener `http`",
        ),
        ("targetRefs[0]", "listeners[1]"),
    ),
    "no route yet, which the release makes": Case(
        "values-envoy-gateway",
        MADE,
        {DEFAULT: {}, **PLACES, GATEWAY: {"listeners": [{"name": "http"}, {"name": "https"}]}},
        (),
    ),
    "no route, while the release makes its like elsewhere": Case(
        "values-envoy-gateway",
        MADE.replace("namespace: shop", "namespace: edge"),
        {DEFAULT: {}, **PLACES, GATEWAY: {"listeners": [{"name": "http"}, {"name": "https"}]}},
        ("integrations.envoyGateway.targetRefs[0]: there is no HTTPRoute `shop` in namespace `shop`, so nothing",),
    ),
    "a Gateway API that is too old for a target": Case(
        "values-envoy-gateway",
        "integrations: {envoyGateway: {targetRefs: [{kind: GRPCRoute, name: shop}], patch: {enabled: false}}}",
        {DEFAULT: {}, **PLACES},
        ("integrations.envoyGateway.targetRefs[0]: the cluster knows no GRPCRoute of gateway.networking.k8s.io/v1",),
    ),
    "a mesh whose configuration lies elsewhere": Case(
        "values-istio",
        "",
        {DEFAULT: {}, **PLACES},
        ("integrations.istio.meshConfigMap: there is no ConfigMap `istio-system/istio`, so nothing tells whether",),
        ("integrations.istio.attachments", "knows no provider"),
    ),
    "a mesh that nobody is to ask": Case(
        "values-istio",
        "integrations: {istio: {meshConfigMap: ''}}",
        {MESH: {"mesh": "extensionProviders: [{name: other}]"}, DEFAULT: {}, **PLACES},
        (),
        ("knows no provider",),
    ),
    "no Gateway that Istio is attached to, but one of its name elsewhere": Case(
        "values-istio",
        "",
        {MESH: {"mesh": KNOWN}, DEFAULT: {}, **_less(EDGE), GATEWAY: {}},
        (
            "attachments[2].targetRefs[0]: there is no Gateway `edge` in namespace `edge`, so nothing would be",
            "name one that is there, and its namespace by integrations.istio.attachments[2].namespace\n",
        ),
        ("attachments[3]",),
    ),
    "a Service that Istio is attached to, which is not there": Case(
        "values-istio",
        "",
        {MESH: {"mesh": KNOWN}, DEFAULT: {}, **_less(ORDERS)},
        ("integrations.istio.attachments[3].targetRefs[0]: there is no Service `orders` in namespace `ambient`, so",),
        ("attachments[2]",),
    ),
    "a class of gateways and a host of others, which Istio is attached to": Case(
        "values-istio",
        CLASS,
        {
            MESH: {"mesh": KNOWN},
            DEFAULT: {},
            **PLACES,
            "/api/v1/namespaces/istio-system": {},
            f"{SERVED}/gatewayclasses/istio-waypoint": {},
            "/apis/networking.istio.io/v1/namespaces/shop/serviceentries/bank": {},
        },
        (),
    ),
    "no class of gateways and no host of others, which Istio is attached to": Case(
        "values-istio",
        CLASS,
        {MESH: {"mesh": KNOWN}, DEFAULT: {}, **PLACES, "/api/v1/namespaces/istio-system": {}},
        (
            "targetRefs[0]: there is no GatewayClass `istio-waypoint`, so nothing would be attached; name one that is",
            "attachments[1].targetRefs[0]: there is no ServiceEntry `bank` in namespace `shop`, so nothing",
        ),
        ("its namespace by integrations.istio.attachments[0]",),
    ),
    "a mesh whose root namespace is another": Case(
        "values-istio",
        ALL_OF_SHOP,
        {MESH: {"mesh": f"rootNamespace: shop\n{KNOWN}"}, DEFAULT: {}, **PLACES},
        ("attachments[0]: `shop` is Istio's root namespace, whence all workloads of the mesh would ask the service",),
    ),
    "a mesh whose root namespace is its own": Case(
        "values-istio", ALL_OF_SHOP, {MESH: {"mesh": KNOWN}, DEFAULT: {}, **PLACES}, ()
    ),
    "no namespace that an attachment is for": Case(
        "values-istio",
        "",
        {MESH: {"mesh": KNOWN}, NAMESPACE: {}, **dict(list(PLACES.items())[1:])},
        (
            "attachments[0].namespace: there is no namespace `istio-ingress`; name another, or make it first:\n",
            "  kubectl create namespace istio-ingress\n",
        ),
        ("integrations.istio.attachments[1].namespace",),
    ),
    "no namespace for dashboards": Case(
        "values-deployment",
        "metrics: {dashboards: {enabled: true, namespace: monitoring}}",
        {NAMESPACE: {}},
        ("metrics.dashboards.namespace: there is no namespace `monitoring`",),
    ),
    "nothing of what is named": Case(
        "values-existing",
        "",
        {NAMESPACE: {}},
        (
            "policy.existingConfigMap: there is no ConfigMap `shop-policy` in namespace `cors`; make it first:\n",
            "  kubectl --namespace cors create configmap shop-policy --from-file=FOLDER\n",
            "jwks.existingConfigMap: there is no ConfigMap `shop-jwks` in namespace `cors`; make it first:\n",
            "tls.existingSecret: there is no Secret `cors-authz-tls` in namespace `cors`; make it first:\n",
            "  kubectl --namespace cors create secret generic cors-authz-tls --from-file=tls.crt=FILE --from-file=",
        ),
        ("create namespace",),
    ),
    "all of what is named": Case("values-existing", "", {NAMESPACE: {}, **FOUND}, (), EXISTING),
    "a Secret without the authority": Case(
        "values-existing",
        "",
        {NAMESPACE: {}, **FOUND, f"{NAMESPACE}/secrets/cors-authz-tls": {"tls.crt": "", "tls.key": ""}},
        ("tls.existingSecret: the Secret `cors-authz-tls` in namespace `cors` has no `ca.crt`; add it",),
        (*EXISTING[:2], "has no `tls"),
    ),
    "a namespace that is yet to be made": Case(
        "values-existing",
        "audit: {targets: ['-'], keySecret: signer}",
        {DEFAULT: {}},
        (
            "policy.existingConfigMap: there is no ConfigMap `shop-policy` in namespace `cors`; make it first:\n",
            "  kubectl create namespace cors\n  kubectl --namespace cors create configmap shop-policy",
            "audit.keySecret: there is no Secret `signer` in namespace `cors`; make it first:\n",
            "  kubectl --namespace cors create secret generic signer --from-file=audit.key=FILE\n",
        ),
    ),
    "namespaces that one may not read, and all of what is named": Case(
        "values-existing", "", {NAMESPACE: None, DEFAULT: None, **FOUND}, (), EXISTING
    ),
    "namespaces but its own that one may not read": Case(
        "values-existing",
        "",
        {NAMESPACE: {}, DEFAULT: None},
        ("jwks.existingConfigMap: there is no ConfigMap `shop-jwks` in namespace `cors`; make it first",),
    ),
    "namespaces that one may not read, and nothing of what is named": Case(
        "values-existing", "", {NAMESPACE: None, DEFAULT: None}, ("`cors` is forbidden",)
    ),
    "a certificate that cert-manager is yet to write": Case(
        "values-cert-manager", "", {NAMESPACE: {}}, ("tls.certManager: the cluster knows no Certificate",), EXISTING
    ),
    "whoever may not ask": Case("values-existing", "clusterChecks: false", {NAMESPACE: {}}, (), EXISTING),
}


def _plural(kind: str) -> str:
    return PLURALS.get(kind, f"{kind.lower()}s")


def _groups() -> dict[str, Any]:
    groups: dict[str, list[dict[str, str]]] = {}
    for version in ISTIO | GATEWAYS:
        group, _, number = version.partition("/")
        groups.setdefault(group, []).append({"groupVersion": version, "version": number})
    listed = [
        {"name": name, "versions": versions, "preferredVersion": versions[0]} for name, versions in groups.items()
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def _kinds(version: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    resources = [
        {
            "name": name,
            "singularName": "",
            "namespaced": kind not in CLUSTER_WIDE,
            "kind": kind,
            "verbs": ["get", "list"],
        }
        for kind, name in kinds.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


PAGES: Final[dict[str, dict[str, Any]]] = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": _groups(),
    "/api/v1": _kinds("v1", CORE),
    **{
        f"/apis/{version}": _kinds(version, {each: _plural(each) for each in kinds})
        for version, kinds in (ISTIO | GATEWAYS).items()
    },
}


def _failure(code: int, reason: str, message: str) -> tuple[int, dict[str, Any]]:
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
    return code, {**status, "code": code, "reason": reason, "message": message}


def _object(path: str, held: Held) -> tuple[int, dict[str, Any]]:
    *_, plural, name = path.split("/")
    if path not in held:
        return _failure(404, "NotFound", f"`{name}` is not found")
    data = held[path]
    if data is None:
        return _failure(403, "Forbidden", f"`{name}` is forbidden")
    kind = next((kind for kind, each in CORE.items() if each == plural), "")
    if kind:
        return 200, {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": dict(data)}
    (version, kind), *_ = [
        (version, each) for version, kinds in (ISTIO | GATEWAYS).items() for each in kinds if _plural(each) == plural
    ]
    return 200, {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": dict(data)}


@contextmanager
def _cluster(folder: Path, held: Held) -> Iterator[Path]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            status, page = (200, PAGES[path]) if path in PAGES else _object(path, held)
            body = json.dumps(page)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the overridden one
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield _kubeconfig(folder, f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


def _kubeconfig(folder: Path, server: str) -> Path:
    file = folder / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "fake",
                "clusters": [{"name": "fake", "cluster": {"server": server}}],
                "users": [{"name": "fake", "user": {}}],
                "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            }
        )
    )
    return file


def test_notes_do_not_ask_for_a_provider_that_the_mesh_knows(tmp_path: Path) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    # Notes are printed for what the API server would take, and this one knows few kinds.
    shutil.rmtree(chart / "templates" / "tests")
    for path in (chart / "templates").glob("*.yaml"):
        path.unlink()
    flags = ("--namespace", "cors", "--dry-run=server", "--values", VALUES["values-istio"], "--set=clusterChecks=true")
    with _cluster(tmp_path, {MESH: {"mesh": KNOWN}, DEFAULT: {}, **PLACES}) as kubeconfig:
        said = helm("install", "shop", chart, *flags, kubeconfig=kubeconfig)
    assert "The mesh knows the provider `shop-cors-authz-cors`. Attached: istio-ingress/ingress," in said.stdout, said
    assert "meshConfig" not in said.stdout


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_cluster_with(case: Case, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"clusterChecks": True, **(yaml.safe_load(case.values) or {})}))
    with _cluster(tmp_path, case.held) as kubeconfig:
        flags = ("--namespace", "cors", "--dry-run=server", "--values", VALUES[case.name], "--values", values)
        said = helm("install", "shop", CHART, *flags, kubeconfig=kubeconfig).stderr
    assert [text for text in case.said if text not in said] == [], said
    assert [text for text in case.unsaid if text in said] == [], said
    assert ("refusals.yaml" in said) == bool(case.said)
