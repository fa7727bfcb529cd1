"""The chart refuses attachments that attach nothing, that the service would ask itself by, or that answer nobody.

Each row is one edit away from one that renders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import pytest
import yaml

from cors_authz.doctor.catalogue import GONE_AROUND
from cors_authz.doctor.manifests import findings, things_in
from cors_authz.doctor.reads import Reads
from tests.helm.rendering import needs_helm, of_values

pytestmark = needs_helm


class Row(NamedTuple):
    """Values, the lines that refuse them, and the edit after which nothing does."""

    values: str
    refused: tuple[str, ...]
    wrong: str
    right: str


ISTIO: Final = "integrations: {stripUpstreamHeaders: false, istio: {enabled: true, attachments: [%s]}}"
GATEWAY: Final = ISTIO % "{name: a, namespace: b, selector: {c: d}}"
RULE: Final = ISTIO % "{name: a, namespace: b, selector: {c: d}, rules: [%s]}"
TLS: Final = "\ntls: {enabled: true, existingSecret: a}"
ROUTE: Final = (
    "integrations: {stripUpstreamHeaders: false, gatewayApi: {enabled: true, externalAuth: false,"
    " routes: [{name: a, parentRefs: [{name: b}], backendRefs: [{name: c}]}]}, envoyGateway: {enabled: %s}}"
)
ROUTED: Final = ROUTE % "true, targetRefs: [%s]"

TARGETED: Final = (
    "integrations: {stripUpstreamHeaders: false, envoyGateway: {enabled: true,"
    " targetRefs: [{kind: Gateway, name: edge}]%s}}"
)

RULES: Final = {
    "hosts that a request with a port, another one or an empty one would not match": Row(
        RULE % "{to: [{operation: {hosts: ['b.example:443', 'b.example:', 'b.example:8*', 'b.example:http', '[::1]:80',"
        " '::1']}}]}",
        tuple(
            f"attachments[0].rules[0].to[0].operation.hosts: `{host}` leaves out requests that name another port"
            for host in ("b.example:443", "b.example:", "b.example:8*", "b.example:http", "[::1]:80", "::1")
        ),
        "['b.example:443', 'b.example:', 'b.example:8*', 'b.example:http', '[::1]:80', '::1']",
        "[b.example, 'b.example:*', 'www.*', '*', '[::1]', '[::1]:*']",
    ),
    "a host whose end alone is told, so that no port may follow": Row(
        RULE % "{to: [{operation: {hosts: ['*.b.example']}}]}",
        ("attachments[0].rules[0].to[0].operation.hosts: `*.b.example` leaves out requests",),
        "*.b.example",
        "a.b.example",
    ),
    "a host with a star that Istio takes at its word": Row(
        RULE % "{}, {to: [{operation: {}}, {operation: {hosts: ['api.*.example']}}]}",
        ("attachments[0].rules[1].to[1].operation.hosts: `api.*.example` matches no host, since a `*` counts at the",),
        "api.*.example",
        "api.b.example",
    ),
    "a condition that clients need not meet": Row(
        RULE % "{when: [{key: source.ip, values: [10.0.0.1]}, {key: 'request.headers[x-check]', values: ['1']}]}",
        ("attachments[0].rules[0].when[1].key: `request.headers[x-check]` is what the client writes, who so would",),
        "request.headers[x-check]",
        "connection.sni",
    ),
}
WORKLOADS: Final = {
    "the whole mesh, which holds the service": Row(
        ISTIO % "{name: a, namespace: istio-system}",
        ("attachments[0]: `istio-system` is Istio's root namespace, whence all workloads of the mesh would ask",),
        "istio-system",
        "istio-system, selector: {istio: ingressgateway}",
    ),
    "the whole mesh, whose configuration lies elsewhere": Row(
        ISTIO.replace("true", "true, meshConfigMap: mesh/istio-canary") % "{name: a, namespace: mesh}",
        ("attachments[0]: `mesh` is Istio's root namespace, whence",),
        "mesh/istio-canary",
        "''",
    ),
    "the service's namespace": Row(
        ISTIO % "{name: a, namespace: cors}",
        ("attachments[0]: the whole of `cors` holds the service too, which would ask itself; add a selector",),
        "cors}",
        "cors, targetRefs: [{kind: Gateway, name: b}]}",
    ),
    "the service's pods among others of its namespace": Row(
        ISTIO % "{name: a, namespace: cors, selector: {team: web}}" + "\npodLabels: {team: web, tier: a}",
        ("attachments[0].selector: the service's own pods have these labels, and would ask themselves; name a label",),
        "selector: {team: web}",
        "selector: {team: web, tier: b}",
    ),
    "the service's pods among others of the mesh": Row(
        ISTIO % "{name: a, namespace: istio-system, selector: {app.kubernetes.io/name: cors-authz}}",
        ("attachments[0].selector: the service's own pods have these labels",),
        "istio-system",
        "elsewhere",
    ),
    "the service behind a waypoint": Row(
        ISTIO % "{name: a, namespace: cors, targetRefs: [{kind: Service, name: shop-cors-authz-headless}]}",
        ("attachments[0].targetRefs[0]: this is the service itself, whose waypoint would ask it about each check",),
        "shop-cors-authz-headless",
        "shop",
    ),
    "a class of gateways outside of the root namespace": Row(
        ISTIO % "{name: a, namespace: b, targetRefs: [{kind: GatewayClass, name: istio-waypoint}]}",
        ("attachments[0].targetRefs[0]: Istio heeds a GatewayClass in its root namespace `istio-system` alone, so",),
        "namespace: b",
        "namespace: istio-system",
    ),
    "a class of gateways that Istio does not heed": Row(
        ISTIO % "{name: a, namespace: istio-system, targetRefs: [{kind: GatewayClass, name: istio}]}",
        ("attachments[0].targetRefs[0]: Istio heeds no GatewayClass but `istio-waypoint`, so nothing would be",),
        "name: istio}",
        "name: istio-waypoint}",
    ),
    "a Gateway as if it were a sidecar": Row(
        ISTIO % "{name: a, namespace: b, context: SIDECAR_INBOUND, targetRefs: [{kind: Gateway, name: c}]}",
        ("attachments[0].targetRefs[0]: a Gateway is no sidecar, and the EnvoyFilter would change nothing; leave",),
        "SIDECAR_INBOUND",
        "GATEWAY",
    ),
    "an EnvoyFilter for the sidecars of a Gateway": Row(
        ISTIO % "{name: a, namespace: b, context: SIDECAR_INBOUND, targetRefs: [{kind: Gateway, name: c}]}",
        ("attachments[0].targetRefs[0]: a Gateway is no sidecar",),
        "enabled: true",
        "enabled: true, envoyFilter: {enabled: false}",
    ),
}
TWICE: Final = {
    "the same workloads twice": Row(
        ISTIO % "{name: a, namespace: b, selector: {c: d}}, {name: e, namespace: b, selector: {c: d}}",
        ("attachments[1]: attachments[0] has its workloads too, and both would patch them; name them in one",),
        "e, namespace: b, selector: {c: d}",
        "e, namespace: b, selector: {c: e}",
    ),
    "some of the workloads twice, across namespaces": Row(
        ISTIO % "{name: a, namespace: b, selector: {c: d, e: f}}, {name: g, namespace: istio-system, selector: {e: f}}",
        ("attachments[1]: attachments[0] has its workloads too",),
        "istio-system",
        "h",
    ),
    "all workloads of a namespace, and some": Row(
        ISTIO % "{name: a, namespace: b}, {name: e, namespace: b, selector: {c: d}}",
        ("attachments[1]: attachments[0] has its workloads too",),
        "selector: {c: d}",
        "selector: {c: d}, context: SIDECAR_INBOUND",
    ),
    "all workloads of a namespace, and a Gateway": Row(
        ISTIO % "{name: a, namespace: b}, {name: c, namespace: b, targetRefs: [{kind: Gateway, name: d}]}",
        ("attachments[1]: attachments[0] has its workloads too",),
        "kind: Gateway",
        "kind: Service",
    ),
    "a Gateway twice": Row(
        ISTIO % "{name: a, namespace: b, targetRefs: [{kind: Gateway, name: c}]}, {name: d, namespace: b,"
        " targetRefs: [{kind: Gateway, name: e}, {kind: Gateway, name: c}]}",
        ("attachments[1]: attachments[0] has its workloads too",),
        "d, namespace: b",
        "d, namespace: istio-system",
    ),
    "a Gateway twice, by its name and by its label": Row(
        ISTIO % "{name: a, namespace: b, targetRefs: [{kind: Gateway, name: c}]}, {name: d, namespace: b,"
        " selector: {gateway.networking.k8s.io/gateway-name: c}}",
        ("attachments[1]: attachments[0] has its workloads too",),
        "enabled: true",
        "enabled: true, envoyFilter: {enabled: false}",
    ),
}
BY_TLS: Final = {
    "Istio speaks it, and the service does not": Row(
        GATEWAY.replace("true", "true, tls: {mode: SIMPLE, credentialName: a}"),
        ("integrations.istio.tls: Envoy would speak TLS to a service that serves none; set tls.enabled, or leave",),
        "{mode: SIMPLE, credentialName: a}",
        "{mode: ISTIO_MUTUAL}",
    ),
    "sidecars speak it to each other, before a service that has its own": Row(
        GATEWAY.replace("true", "true, tls: {mode: ISTIO_MUTUAL}") + TLS,
        ("integrations.istio.tls.mode: ISTIO_MUTUAL ends at the sidecar of the service's pod, and the service then",),
        "{mode: ISTIO_MUTUAL}",
        "{mode: SIMPLE, credentialName: a}",
    ),
    "Istio's Envoy shows no certificate": Row(
        GATEWAY.replace("true", "true, tls: {mode: SIMPLE, credentialName: a}")
        + TLS.replace("}", ", requireClientCertificate: true}"),
        ("integrations.istio.tls.mode: by SIMPLE Envoy shows no certificate, and tls.requireClientCertificate",),
        "SIMPLE",
        "MUTUAL",
    ),
    "Istio's sidecars find no authority": Row(
        GATEWAY.replace("true", "true, tls: {mode: SIMPLE, credentialName: a}").replace(
            "{c: d}", "{c: d}, context: SIDECAR_INBOUND"
        )
        + TLS,
        ("integrations.istio.attachments[0]: a sidecar does not heed integrations.istio.tls.credentialName, and",),
        "credentialName: a",
        "caCertificates: /etc/ca.crt",
    ),
    "Envoy Gateway's Envoy shows no certificate": Row(
        TARGETED % ", caCertificateRefs: [{kind: ConfigMap, name: a}]"
        + TLS.replace("}", ", requireClientCertificate: true}"),
        ("tls.requireClientCertificate: a BackendTLSPolicy names no certificate of Envoy's own; set it in the",),
        "enabled: true, existingSecret",
        "enabled: false, existingSecret",
    ),
    "the filter ExternalAuth speaks none": Row(
        ROUTE.replace("externalAuth: false", "externalAuth: true") % "false" + TLS,
        ("integrations.gatewayApi.externalAuth: the service serves by TLS, and nothing tells the gateway",),
        "enabled: true, existingSecret",
        "enabled: false, existingSecret",
    ),
}
PATCHES: Final = {
    "no listener is named": Row(
        TARGETED % ", patch: {enabled: true, gateway: edge}",
        ("integrations.envoyGateway.patch: name the gateway and its listeners",),
        "gateway: edge",
        "gateway: edge, listeners: [{name: http, port: 80, protocol: HTTP}]",
    ),
}
ROUTES: Final = {
    "nobody is asked": Row(
        ROUTE % "false",
        ("integrations.gatewayApi: nothing attaches the service, and requests of these routes would pass unasked",),
        "externalAuth: false",
        "externalAuth: true",
    ),
    "Istio is asked for": Row(
        ROUTE % "false",
        ("integrations.gatewayApi: nothing attaches the service",),
        "integrations: {",
        "integrations: {istio: {enabled: true, attachments: [{name: a, namespace: b, selector: {c: d}}]}, ",
    ),
    "another route is a target": Row(
        ROUTED % "{kind: HTTPRoute, name: b}",
        ("integrations.gatewayApi.routes[0]: integrations.envoyGateway.targetRefs names neither `a` nor all of its",),
        "{kind: HTTPRoute, name: b}",
        "{kind: HTTPRoute, name: a}",
    ),
    "another route is a target, and Istio is not asked for": Row(
        ROUTED % "{kind: HTTPRoute, name: b}",
        ("integrations.gatewayApi.routes[0]: integrations.envoyGateway.targetRefs names neither `a` nor",),
        "integrations: {",
        "integrations: {istio: {enabled: true, attachments: [{name: a, namespace: b, selector: {c: d}}]}, ",
    ),
    "a part of the route is a target": Row(
        ROUTED % "{kind: HTTPRoute, name: a, sectionName: some}",
        ("integrations.gatewayApi.routes[0]: integrations.envoyGateway.targetRefs names neither `a` nor",),
        ", sectionName: some",
        "",
    ),
    "a target of another namespace": Row(
        ROUTED.replace("gatewayApi: {", "gatewayApi: {namespace: shop, ") % "{kind: HTTPRoute, name: a}",
        ("integrations.gatewayApi.routes[0]: integrations.envoyGateway.targetRefs names neither `a` nor",),
        "targetRefs",
        "namespace: shop, targetRefs",
    ),
    "one of two Gateways is a target": Row(
        ROUTED.replace("{name: b}", "{name: b}, {name: d}") % "{kind: Gateway, name: b}",
        ("integrations.gatewayApi.routes[0]: integrations.envoyGateway.targetRefs names neither `a` nor",),
        "{name: b}, {name: d}",
        "{name: b}",
    ),
    "a listener is a target, and the route is on all": Row(
        ROUTED % "{kind: Gateway, name: b, sectionName: http}",
        ("integrations.gatewayApi.routes[0]: integrations.envoyGateway.targetRefs names neither `a` nor",),
        "[{name: b}]",
        "[{name: b, sectionName: http}]",
    ),
    "a Gateway of another namespace is a target": Row(
        ROUTED.replace("{name: b}", "{name: b, namespace: edge}") % "{kind: Gateway, name: b}",
        ("integrations.gatewayApi.routes[0]: integrations.envoyGateway.targetRefs names neither `a` nor",),
        "targetRefs",
        "namespace: edge, targetRefs",
    ),
}
ROWS: Final = {
    f"{what}: {sentence}": row
    for what, rows in {
        "a rule of Istio": RULES,
        "an attachment to Istio": WORKLOADS,
        "two attachments to Istio": TWICE,
        "TLS": BY_TLS,
        "a patch of Envoy Gateway": PATCHES,
        "a route of Gateway API": ROUTES,
    }.items()
    for sentence, row in rows.items()
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_is_refused_and_one_edit_mends_it(row: Row, tmp_path: Path) -> None:
    off = {"clusterChecks": False}
    refusal = of_values(tmp_path, yaml.safe_load(row.values) | off).refusal
    assert [text for text in row.refused if text not in refusal] == [], refusal
    assert row.wrong in row.values
    assert of_values(tmp_path, yaml.safe_load(row.values.replace(row.wrong, row.right)) | off).refusal == ""


@pytest.mark.parametrize("row", RULES.values(), ids=RULES)
def test_rules_that_are_let_pass_leave_clients_no_way_around(row: Row, tmp_path: Path) -> None:
    values = yaml.safe_load(row.values.replace(row.wrong, row.right)) | {"clusterChecks": False}
    things = tuple(things_in("rendered", of_values(tmp_path, values).objects))
    assert [each for each in findings(things, Reads()) if each.rule is GONE_AROUND] == []
