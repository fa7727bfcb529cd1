"""The lines to have instead: Envoy's own, or those that its control plane makes them of.

Objects of Istio 1.31 and Envoy Gateway 1.9; values are those of the chart in helm/cors-authz.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from cors_authz.doctor.finding import Finding
from cors_authz.doctor.plane import GatewayListener, Plane

_CHART: Final = "# values of the chart\n"

# --- Istio ------------------------------------------------------------------------------------------------------------

_ENVOY_FILTER: Final = f"""\
{_CHART}integrations: {{istio: {{envoyFilter: {{enabled: true}}}}}}
"""
_ATTACHED_TO: Final = f"""\
{_CHART}integrations:
  istio:
    enabled: true
    attachments: [{{name: ingress, namespace: NAMESPACE, selector: {{istio: ingressgateway}}}}]
"""
_RULES_FOR_ALL: Final = """\
# AuthorizationPolicy
spec: {action: CUSTOM, provider: {name: PROVIDER}, rules: [{}]}
"""
_ANY_PORT: Final = """\
# AuthorizationPolicy: no `*.shop.example`, and no `when` on headers; no hosts where a virtual host takes `*`
spec: {rules: [{to: [{operation: {hosts: [api.shop.example, "api.shop.example:*"]}}]}]}
"""
_REFUSED_BY_ISTIOS: Final = """\
# EnvoyFilter: `istioctl proxy-status` names the proxies that refuse; most often a patch is wrong
configPatches: []
"""
_MERGED_SLASHES: Final = """\
# meshConfig
pathNormalization: {normalization: MERGE_SLASHES}
"""
_NO_REQUEST_AUTHENTICATION: Final = """\
# Istio puts it in front always. Instead of a RequestAuthentication, have the service verify tokens, in its policy:
identity:
  jwt:
    main: {issuer: ISSUER, audiences: [AUDIENCE], keys: {jwksUri: URI}, algorithms: [ES256]}
"""


_PROVIDER: Final = """\
# meshConfig
extensionProviders:
- name: PROVIDER
  envoyExtAuthzGrpc:
    service: cors-authz.cors-authz.svc.cluster.local
    port: 9191
    timeout: 0.5s
    failOpen: false
    statusOnError: "503"
"""
_NO_UNDERSCORES: Final = """\
# EnvoyFilter
configPatches:
- applyTo: NETWORK_FILTER
  match:
    context: GATEWAY
    listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}
  patch:
    operation: MERGE
    value:
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}
"""


_ISTIO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DR001": _ATTACHED_TO,
        "DR004": _RULES_FOR_ALL,
        "DR009": _ANY_PORT,
        "DR110": _REFUSED_BY_ISTIOS,
        **dict.fromkeys(("DR007", "DR010", "DR011", "DR031", "DR032"), _PROVIDER),
        "DR012": _ENVOY_FILTER,
        "DR021": f"{_PROVIDER}# without includeRequestBodyInCheck\n",
        **dict.fromkeys(("DR033", "DR034", "DR036", "DR037", "DR038", "DR042", "DR043"), _ENVOY_FILTER),
        **dict.fromkeys(("DR050", "DR051"), _NO_REQUEST_AUTHENTICATION),
        "DR048": "# DestinationRule\nspec: {trafficPolicy: {outlierDetection: {minHealthPercent: 1}}}\n",
        "DR055": f"{_PROVIDER}# without clearRouteCache\n",
        **dict.fromkeys(("DR060", "DR061", "DR062"), _MERGED_SLASHES),
        "DR064": _NO_UNDERSCORES,
        "DR067": "# meshConfig\ndefaultConfig: {gatewayTopology: {numTrustedProxies: 0}}\n",
        "DR070": f"{_CHART}integrations: {{istio: {{envoyFilter: {{accessLog: true}}}}}}\n",
        "DR071": _ENVOY_FILTER,
        "DR080": _ENVOY_FILTER,
        "DR081": "# VirtualService\nhttp: [{headers: {response: {set: {}, add: {}}}}]  # without access-control-*\n",
    }
)

# --- Envoy Gateway ----------------------------------------------------------------------------------------------------

_PATCH: Final = f"""\
{_CHART}integrations:
  envoyGateway:
    patch: {{enabled: true, gateway: NAME, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}
"""
_ANY_GATEWAY: Final = "{kind: Gateway, name: NAME}"
_FIRST_FREE: Final = 1024
_FIRST_MOVED: Final = 10_000
_TARGETS: Final = f"""\
{_CHART}integrations:
  envoyGateway: {{enabled: true, targetRefs: [{_ANY_GATEWAY}]}}
"""


def _ext_auth(lines: str) -> str:
    return f"# SecurityPolicy\nspec: {{extAuth: {{{lines}}}}}\n"


def _backend(lines: str) -> str:
    return _ext_auth(f"grpc: {{backendSettings: {{{lines}}}}}")


def _client_traffic(lines: str) -> str:
    return f"# ClientTrafficPolicy\nspec: {{{lines}}}\n"


_ACTIVE: Final = "timeout: 300ms, interval: 500ms, unhealthyThreshold: 1, healthyThreshold: 1"
_PASSIVE: Final = (
    "consecutiveGatewayErrors: 3, consecutive5XxErrors: 3, splitExternalLocalOriginErrors: true,"
    " consecutiveLocalOriginFailures: 5, interval: 1s, baseEjectionTime: 3s, maxEjectionPercent: 50"
)
_PROXY_ORDER: Final = """\
# EnvoyProxy
spec: {filterOrder: [{name: envoy.filters.http.ext_authz, before: FILTER}]}
"""
_PROXY_LOG: Final = """\
# EnvoyProxy
spec:
  telemetry:
    accessLog:
      settings:
      - format: {type: JSON, json: {decision: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%"}}
        sinks: [{type: File, file: {path: /dev/stdout}}]
"""

_ENVOY_GATEWAY: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("DR001", "DR002"), _TARGETS),
        "DR007": _ext_auth("grpc: {backendRefs: [{name: cors-authz, port: 9191}]}"),
        "DR010": _ext_auth("failOpen: false"),
        "DR011": _ext_auth("statusOnError: 503"),
        "DR012": _PATCH,
        "DR020": _ext_auth("headersToExtAuth: []") + "# none named: all are sent\n",
        "DR021": "# SecurityPolicy\nspec: {extAuth: {}}  # without bodyToExtAuth\n",
        **dict.fromkeys(("DR030", "DR031", "DR032"), _ext_auth("timeout: 500ms")),
        **dict.fromkeys(("DR033", "DR034", "DR035", "DR036", "DR037", "DR038"), _PATCH),
        "DR042": _backend(f"healthCheck: {{active: {{type: GRPC, {_ACTIVE}}}}}"),
        "DR043": _backend(f"healthCheck: {{passive: {{{_PASSIVE}}}}}"),
        "DR044": _backend("circuitBreaker: {maxParallelRetries: 1000}"),
        "DR045": _backend("circuitBreaker: {maxParallelRequests: 10000, maxPendingRequests: 10000}"),
        "DR046": "# EnvoyProxy\nspec: {routingType: Endpoint}\n",
        **dict.fromkeys(("DR047", "DR048"), _backend("healthCheck: {panicThreshold: 1}")),
        **dict.fromkeys(("DR050", "DR051", "DR053", "DR056"), _PROXY_ORDER),
        "DR052": "# SecurityPolicy\nspec: {extAuth: {}}  # without cors\n",
        "DR055": _ext_auth("recomputeRoute: false"),
        "DR061": _client_traffic("path: {disableMergeSlashes: false}"),
        "DR062": _client_traffic("path: {escapedSlashesAction: KeepUnchanged}"),
        "DR064": _client_traffic("headers: {withUnderscoresAction: DropHeader}"),
        "DR067": _client_traffic("clientIPDetection: {}"),
        "DR070": _PROXY_LOG,
        "DR071": _PATCH,
        "DR080": _PATCH,
        "DR081": "# HTTPRoute\nfilters: []  # without a ResponseHeaderModifier for access-control-*\n",
    }
)

ASK_AGAIN: Final = """\
# what is named here has not come: see what the control plane logs, and ask again once it has
"""
"""What to do where the dump of a running Envoy is what was asked already."""

_OF_PLANE: Final[Mapping[Plane, Mapping[str, str]]] = MappingProxyType(
    {Plane.FILE: {}, Plane.ISTIO: _ISTIO, Plane.ENVOY_GATEWAY: _ENVOY_GATEWAY}
)


def lines_of(finding: Finding) -> str:
    """Give the YAML to have instead, in the words of who writes the configuration, where it has any for it.

    What is known of the Gateway is filled in, and what is a guess says so.
    """
    lines = finding.instead or _OF_PLANE[finding.plane].get(finding.rule.code, finding.rule.fix)
    if not finding.listeners:
        return lines
    if lines == _PATCH:
        return _patch_of(finding.listeners)
    return lines.replace(_ANY_GATEWAY, _ANY_GATEWAY.replace("NAME", finding.listeners[0].gateway))


def _patch_of(listeners: Sequence[GatewayListener]) -> str:
    head = f"    patch:\n      enabled: true\n      gateway: {listeners[0].gateway}\n      listeners:\n"
    return f"{_CHART}integrations:\n  envoyGateway:\n{head}{''.join(map(_listener, listeners))}"


def _listener(listener: GatewayListener) -> str:
    """Envoy Gateway moves ports that only root may have; whether a port was moved, no dump tells."""
    given = listener.envoy_port
    moved = _FIRST_MOVED < given < _FIRST_MOVED + _FIRST_FREE
    port, guess = (given - _FIRST_MOVED, f"  # a guess: Envoy has {given}") if moved else (given, "")
    return f"      - {{name: {listener.name}, port: {port}, protocol: {listener.protocol}}}{guess}\n"
