"""What the chart asks of a cluster before it installs: an API server that knows some kinds and holds some objects."""

from __future__ import annotations

import json
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

CORE: Final = {"ConfigMap": "configmaps", "Secret": "secrets", "Namespace": "namespaces"}
ISTIO: Final = {
    "security.istio.io/v1": ("AuthorizationPolicy",),
    "networking.istio.io/v1alpha3": ("EnvoyFilter",),
    "networking.istio.io/v1": ("DestinationRule",),
}
MESH: Final = "/api/v1/namespaces/istio-system/configmaps/istio"
NAMESPACE: Final = "/api/v1/namespaces/cors"
KNOWN: Final = "extensionProviders: [{name: shop-cors-authz-cors}]"


class Case(NamedTuple):
    """A file of values with more of them, what the cluster holds by its path, and what is said."""

    name: str
    values: str
    held: Mapping[str, Mapping[str, str]]
    said: Sequence[str]
    unsaid: Sequence[str] = ()


EXISTING: Final = ("policy.existingConfigMap", "jwks.existingConfigMap", "tls.existingSecret")
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
    "a mesh that knows the provider": Case("values-istio", "", {MESH: {"mesh": KNOWN}}, (), ("provider",)),
    "a mesh whose configuration lies elsewhere": Case("values-istio", "", {}, (), ("provider",)),
    "a mesh that nobody is to ask": Case(
        "values-istio",
        "integrations: {istio: {meshConfigMap: ''}}",
        {MESH: {"mesh": "extensionProviders: [{name: other}]"}},
        (),
        ("provider",),
    ),
    "nothing of what is named": Case(
        "values-existing",
        "",
        {NAMESPACE: {}},
        (
            "policy.existingConfigMap: there is no ConfigMap `shop-policy` in namespace `cors`; make it first",
            "jwks.existingConfigMap: there is no ConfigMap `shop-jwks` in namespace `cors`; make it first",
            "tls.existingSecret: there is no Secret `cors-authz-tls` in namespace `cors`; make it first",
        ),
    ),
    "all of what is named": Case(
        "values-existing",
        "",
        {
            NAMESPACE: {},
            f"{NAMESPACE}/configmaps/shop-policy": {"policy.yaml": ""},
            f"{NAMESPACE}/configmaps/shop-jwks": {},
            f"{NAMESPACE}/secrets/cors-authz-tls": {},
        },
        (),
        EXISTING,
    ),
    "a namespace that is yet to be made": Case("values-existing", "", {}, (), EXISTING),
    "a certificate that cert-manager is yet to write": Case(
        "values-cert-manager", "", {NAMESPACE: {}}, ("tls.certManager: the cluster knows no Certificate",), EXISTING
    ),
    "whoever may not ask": Case("values-existing", "clusterChecks: false", {NAMESPACE: {}}, (), EXISTING),
}


def _groups() -> dict[str, Any]:
    groups: dict[str, list[dict[str, str]]] = {}
    for version in ISTIO:
        group, _, number = version.partition("/")
        groups.setdefault(group, []).append({"groupVersion": version, "version": number})
    listed = [
        {"name": name, "versions": versions, "preferredVersion": versions[0]} for name, versions in groups.items()
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def _kinds(version: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    resources = [
        {"name": name, "singularName": "", "namespaced": kind != "Namespace", "kind": kind, "verbs": ["get", "list"]}
        for kind, name in kinds.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


NOT_FOUND: Final = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
PAGES: Final[dict[str, dict[str, Any]]] = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": _groups(),
    "/api/v1": _kinds("v1", CORE),
    **{
        f"/apis/{version}": _kinds(version, {each: f"{each.lower()}s" for each in kinds})
        for version, kinds in ISTIO.items()
    },
}


def _object(path: str, data: Mapping[str, str]) -> dict[str, Any]:
    *_, plural, name = path.split("/")
    kind = next(kind for kind, each in CORE.items() if each == plural)
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": dict(data)}


@contextmanager
def _cluster(folder: Path, held: Mapping[str, Mapping[str, str]]) -> Iterator[Path]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            page = PAGES.get(path) or (_object(path, held[path]) if path in held else None)
            body = json.dumps(
                page or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            )
            self.send_response(200 if page else 404)
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


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_cluster_with(case: Case, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump({"clusterChecks": True, **(yaml.safe_load(case.values) or {})}))
    with _cluster(tmp_path, case.held) as kubeconfig:
        flags = ("--namespace", "cors", "--dry-run=server", "--values", VALUES[case.name], "--values", values)
        said = helm("install", "shop", CHART, *flags, kubeconfig=kubeconfig).stderr
    assert [text for text in case.said if text not in said] == [], said
    assert [text for text in case.unsaid if f"{text}:" in said or f"no {text}" in said] == [], said
    assert ("refusals.yaml" in said) == bool(case.said)
