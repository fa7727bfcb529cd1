"""What asks the service: a plain Envoy, a gateway of Istio, a gateway of Envoy Gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from tests.deploy.cluster import AbsentError
from tests.deploy.probes import HOST
from tests.deploy.site import HEADLESS, NAMESPACE, Site

_HTTP: Final = 80


class DataPlane(NamedTuple):
    """One that asks: where it is reached from within the cluster, and the values that attach it.

    Where all of it is attached, the chart has it remove the upstream's own CORS headers (`strips`).
    """

    name: str
    url: str
    values: Mapping[str, Any] | None = None
    note: str = ""
    strips: bool = False
    is_disturbed: bool = True


class Istio(NamedTuple):
    """Where the gateway of a mesh is: its namespace, labels and port, and its URL from within the cluster."""

    namespace: str
    labels: Mapping[str, str]
    port: int
    url: str


class EnvoyGateway(NamedTuple):
    """The class of gateways, and the URL of one from within the cluster; empty is that of its Service."""

    gateway_class: str
    url: str


def plain(site: Site) -> list[DataPlane]:
    """Give the Envoy with the configuration that `cors-authz export envoy` prints."""
    return [DataPlane("plain Envoy", site.envoy("envoy", "--authz", HEADLESS), strips=True)]


def istio(place: Istio) -> Callable[[Site], list[DataPlane]]:
    """Give what makes a route of the mesh's gateway; with and without EnvoyFilter, then all hosts."""

    def made(site: Site) -> list[DataPlane]:
        _require(site, "authorizationpolicies.security.istio.io", "Istio")
        site.apply("istio.yaml", selector=dict(place.labels), port=place.port)
        everything = {"name": "verify", "namespace": place.namespace, "selector": dict(place.labels)}
        attachment = {**everything, "rules": [{"to": [{"operation": {"hosts": [HOST]}}]}]}
        values = {"enabled": True, "attachments": [attachment]}
        return [
            DataPlane("Istio", place.url, {"istio": values}),
            DataPlane(
                "Istio without EnvoyFilter",
                place.url,
                {"istio": {**values, "envoyFilter": {"enabled": False}}},
                note="Istio's API has no timeout for each try, no retries and no health checks for a provider",
            ),
            DataPlane(
                "Istio, the whole gateway",
                place.url,
                {"istio": {"enabled": True, "attachments": [everything], "envoyFilter": {"enabled": True}}},
                strips=True,
                is_disturbed=False,
            ),
        ]

    return made


def envoy_gateway(place: EnvoyGateway) -> Callable[[Site], list[DataPlane]]:
    """Give what makes a route of a Gateway; with and without EnvoyPatchPolicy, then all of it."""

    def made(site: Site) -> list[DataPlane]:
        _require(site, "securitypolicies.gateway.envoyproxy.io", "Envoy Gateway")
        site.apply("envoy-gateway.yaml", gateway_class=place.gateway_class)
        url = place.url or _url_of_gateway(site)
        values = {"enabled": True, "targetRefs": [{"kind": "HTTPRoute", "name": "verify"}]}
        listener = {"name": "http", "port": _HTTP, "protocol": "HTTP"}
        patch = {"enabled": True, "gateway": "verify", "listeners": [listener]}
        return [
            DataPlane("Envoy Gateway, patched", url, {"envoyGateway": {**values, "patch": patch}}),
            DataPlane(
                "Envoy Gateway",
                url,
                {"envoyGateway": {**values, "patch": {"enabled": False}}},
                note="its API has no timeout for each try and no retries of checks",
            ),
            DataPlane(
                "Envoy Gateway, the whole Gateway",
                url,
                {"envoyGateway": {**values, "targetRefs": [{"kind": "Gateway", "name": "verify"}], "patch": patch}},
                strips=True,
                is_disturbed=False,
            ),
        ]

    return made


def _require(site: Site, kind: str, name: str) -> None:
    if not site.cluster.has(kind):
        raise AbsentError(f"the cluster has no {name}")


def _url_of_gateway(site: Site) -> str:
    label = (
        f"gateway.envoyproxy.io/owning-gateway-namespace={NAMESPACE},gateway.envoyproxy.io/owning-gateway-name=verify"
    )
    words = ("get", "service", "--all-namespaces", f"--selector={label}", "--output=json")
    for service in json.loads(site.cluster.kubectl(*words))["items"]:
        return f"http://{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    raise AbsentError("Envoy Gateway made no Service for the Gateway: name its URL by --envoy-gateway-url")
