"""The Envoy that stands in front of the service, as plain data for Envoy's JSON bootstrap.

The demo and the integration tests start it. What is set here was measured on Envoy 1.40; what fails without a setting
is told in `notes.py`, which `cors-authz export envoy` prints beside the settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cors_authz.envoy.address import Address, is_ip

Config = dict[str, Any]
"""A message of Envoy's API in its JSON form."""

CORS_RESPONSE_HEADERS = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-allow-private-network",
)
"""What upstreams may not say for themselves."""

LOGGED_RESPONSE_HEADERS = (*CORS_RESPONSE_HEADERS, "vary")
"""What the listener of the access log compares with what was decided."""

ORIGINAL_HOST = "x-envoy-original-host"
"""Where Envoy keeps the authority that a route rewrites; it takes the header from clients that it does not trust."""

LOGGED_REQUEST_HEADERS = ("origin", ORIGINAL_HOST)
"""What tells who asked, and what for, where nothing was decided."""

AUTHZ_CLUSTER = "authz"
ACCESS_LOG_CLUSTER = "access_log"
TRACING_CLUSTER = "tracing"
UPSTREAM_CLUSTER = "upstream"
EXT_AUTHZ_FILTER = "envoy.filters.http.ext_authz"
JWT_AUTHN_FILTER = "envoy.filters.http.jwt_authn"
"""What Envoy's documents call the filter, and the namespace of the metadata that it writes."""

ROUTE_NAMESPACE = "cors_authz"
"""The namespace of a route's `metadata.filter_metadata` that reaches the service."""

_RETRIED = (
    "connect-failure",
    "refused-stream",
    "reset",
    "reset-before-request",
    "unavailable",
    "cancelled",
    "resource-exhausted",
)
# From 8 KiB of metadata on, gRPC refuses calls; a trusted client's own id may be longer. Envoy's has 36 bytes.
_MAX_ID_BYTES = 128


class Tls(NamedTuple):
    """The files (PEM) of a TLS listener; with `client_ca`, the certificates of clients are verified and read."""

    certificate: str
    private_key: str
    client_ca: str = ""


class ServiceTls(NamedTuple):
    """How Envoy speaks TLS to the service or to the listener of its access log; the files (PEM) are Envoy's to read.

    `ca` signed the certificate of who listens, which names `name`: a host name or an IP address. `certificate` and
    `private_key` are what Envoy shows for itself, both or neither.
    """

    ca: str
    name: str
    certificate: str = ""
    private_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What deployments vary.

    Attributes:
        timeout_ms: How long a check may take, all of its tries; each gets a fifth of it.
        authz_tls: How TLS is spoken to the service; None speaks in the clear.
        shadow: Leave the upstream's own grants on, for a policy that decides in shadow and grants nothing itself.
        encode_raw_headers: Send the bytes of headers as they came, instead of text with `!` for what is not UTF-8.
        access_log: The file of the access log; "" is the standard output.
        access_logs: Where `cors-authz access-log` listens; None sends it nothing.
        access_logs_tls: How TLS is spoken to it; None speaks in the clear.
        tracing: Where an OTLP collector takes spans by gRPC; None makes none.
        http_filters_before: HTTP filters in front of ext_authz. Their own replies carry no CORS headers.
        http_filters_after: HTTP filters between ext_authz and the router.
        routes: Routes tried before the one that sends everything to the upstream.
        tls: The listener's certificate; None is plain HTTP/1.1 and HTTP/2 with prior knowledge.
    """

    timeout_ms: int = 500
    authz_tls: ServiceTls | None = None
    shadow: bool = False
    encode_raw_headers: bool = False
    access_log: str = ""
    access_logs: Address | None = None
    access_logs_tls: ServiceTls | None = None
    tracing: Address | None = None
    http_filters_before: Sequence[Mapping[str, Any]] = ()
    http_filters_after: Sequence[Mapping[str, Any]] = ()
    routes: Sequence[Mapping[str, Any]] = ()
    tls: Tls | None = None


_PLAIN = Options()
_TRIES = 5


def bootstrap(
    listen: Address, authz: Sequence[Address], upstream: Address, admin: Address, options: Options = _PLAIN
) -> Config:
    """Describe a whole Envoy: one listener, the service as its external authorization, one upstream.

    Args:
        listen: Where clients connect; port 0 lets the system choose.
        authz: The instances of the service; Unix sockets and host names do not go together.
        upstream: What is protected.
        admin: Envoy's admin interface; anyone who reaches it controls Envoy, so keep it on loopback.
        options: What deployments vary.

    Returns:
        A new value for `json.dumps`; nothing in it is shared with the arguments but the options' own parts.

    Spec: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/bootstrap/v3/bootstrap.proto.
    """
    return {
        "admin": {"address": _address(admin)},
        "static_resources": {
            "listeners": [_listener(listen, options)],
            "clusters": [
                authz_cluster(authz, options.authz_tls),
                _cluster(UPSTREAM_CLUSTER, [upstream]),
                *telemetry_clusters(options),
            ],
        },
    }


def authz_filter(options: Options) -> Config:
    """Describe the HTTP filter that asks the service: the first of the connection manager's `http_filters`.

    Spec: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/http/ext_authz/v3/ext_authz.proto.
    """
    return {
        "name": EXT_AUTHZ_FILTER,
        "typed_config": _typed(
            "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            transport_api_version="V3",
            grpc_service=_grpc_service(options.timeout_ms),
            encode_raw_headers=options.encode_raw_headers,
            metadata_context_namespaces=[JWT_AUTHN_FILTER],
            route_metadata_context_namespaces=[ROUTE_NAMESPACE],
            validate_mutations=True,
            failure_mode_allow=False,
            status_on_error={"code": 503},
            charge_cluster_response_stats=False,
        ),
    }


def manager_settings(options: Options) -> Config:
    """Describe what the service needs of the connection manager that its filter stands in.

    Spec: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto.
    """
    return {
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http2_protocol_options": {"allow_connect": True},
        "access_log": [_access_log(options.access_log), *([_grpc_access_log()] if options.access_logs else [])],
    }


def host_settings(options: Options = _PLAIN) -> Config:
    """Describe what the service needs of each virtual host."""
    return {"response_headers_to_remove": [] if options.shadow else list(CORS_RESPONSE_HEADERS)}


def authz_cluster(authz: Sequence[Address], tls: ServiceTls | None) -> Config:
    """Describe how the instances are reached so that a restart, a crash or a hang of one of two fails no request.

    Spec: https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/cluster/v3/cluster.proto.
    """
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        # The health check tells which of a name's addresses serve.
        **_cluster(AUTHZ_CLUSTER, authz, "ALL"),
        **_transport(tls),
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "health_checks": [_health_check()],
        "outlier_detection": _outlier_detection(),
        "circuit_breakers": {
            "thresholds": [{"max_retries": 1000, "max_requests": 10000, "max_pending_requests": 10000}]
        },
        "typed_extension_protocol_options": {
            protocol: _typed(
                protocol, explicit_http_config={"http2_protocol_options": {}}, retry_policy=_retry_policy()
            )
        },
    }


def telemetry_clusters(options: Options) -> list[Config]:
    """Describe where the access log and spans go, as far as the options send them."""
    wanted = {
        ACCESS_LOG_CLUSTER: (options.access_logs, options.access_logs_tls),
        TRACING_CLUSTER: (options.tracing, None),
    }
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {protocol: _typed(protocol, explicit_http_config={"http2_protocol_options": {}})}
    return [
        {**_cluster(name, [address]), **_transport(tls), "typed_extension_protocol_options": http2}
        for name, (address, tls) in wanted.items()
        if address is not None
    ]


def _typed(message: str, **fields: object) -> Config:
    return {"@type": f"type.googleapis.com/{message}", **fields}


def _address(address: Address) -> Config:
    if address.path:
        return {"pipe": {"path": address.path}}
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _listener(listen: Address, options: Options) -> Config:
    chain: Config = {
        "filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": _connection_manager(options)}
        ]
    }
    if options.tls:
        chain["transport_socket"] = _tls_socket(_downstream_tls(options.tls))
    return {
        "name": "ingress",
        "address": _address(listen),
        "enable_reuse_port": False,
        "filter_chains": [chain],
    }


def _transport(tls: ServiceTls | None) -> Config:
    return {"transport_socket": _tls_socket(_upstream_tls(tls))} if tls else {}


def _tls_socket(context: Config) -> Config:
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _downstream_tls(tls: Tls) -> Config:
    context: Config = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [_certificate(tls.certificate, tls.private_key)],
    }
    if tls.client_ca:
        context["validation_context"] = {"trusted_ca": {"filename": tls.client_ca}}
    return _typed(
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context=context,
        # A caller without a certificate is refused by a guard, with a reason, not by a broken handshake.
        require_client_certificate=False,
    )


def _certificate(chain: str, private_key: str) -> Config:
    return {"certificate_chain": {"filename": chain}, "private_key": {"filename": private_key}}


def _upstream_tls(tls: ServiceTls) -> Config:
    shown = {"tls_certificates": [_certificate(tls.certificate, tls.private_key)]} if tls.certificate else {}
    by_address = is_ip(tls.name)
    named = {"san_type": "IP_ADDRESS" if by_address else "DNS", "matcher": {"exact": tls.name}}
    return _typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        # An address is no server name: https://datatracker.ietf.org/doc/html/rfc6066#section-3.
        **({} if by_address else {"sni": tls.name}),
        common_tls_context={
            "alpn_protocols": ["h2"],
            **shown,
            "validation_context": {
                "trusted_ca": {"filename": tls.ca},
                "match_typed_subject_alt_names": [named],
            },
        },
    )


def _connection_manager(options: Options) -> Config:
    return _typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="ingress",
        codec_type="AUTO",
        **manager_settings(options),
        route_config=_route_config(options),
        http_filters=[*options.http_filters_before, authz_filter(options), *options.http_filters_after, _router()],
        **_tracing(options),
    )


def _access_log(path: str) -> Config:
    log_format = {
        "json_format": {
            "time": "%START_TIME%",
            "method": "%REQUEST_HEADER(:METHOD)%",
            "authority": "%REQUEST_HEADER(:AUTHORITY)%",
            "path": "%PATH(NQ)%",
            "code": "%RESPONSE_CODE%",
            "details": "%RESPONSE_CODE_DETAILS%",
            "flags": "%RESPONSE_FLAGS%",
            "request_id": "%REQUEST_HEADER(X-REQUEST-ID)%",
            "decision": f"%DYNAMIC_METADATA({EXT_AUTHZ_FILTER})%",
        }
    }
    if not path:
        message = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
        return {"name": "envoy.access_loggers.stdout", "typed_config": _typed(message, log_format=log_format)}
    message = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return {"name": "envoy.access_loggers.file", "typed_config": _typed(message, path=path, log_format=log_format)}


def _grpc_access_log() -> Config:
    message = "envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
    common_config = {
        "log_name": AUTHZ_CLUSTER,
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": ACCESS_LOG_CLUSTER}},
        "buffer_flush_interval": "1s",
    }
    return {
        "name": "envoy.access_loggers.http_grpc",
        "typed_config": _typed(
            message,
            common_config=common_config,
            additional_request_headers_to_log=list(LOGGED_REQUEST_HEADERS),
            additional_response_headers_to_log=list(LOGGED_RESPONSE_HEADERS),
        ),
    }


def _tracing(options: Options) -> Config:
    if options.tracing is None:
        return {}
    tracer = _typed(
        "envoy.config.trace.v3.OpenTelemetryConfig",
        grpc_service={"envoy_grpc": {"cluster_name": TRACING_CLUSTER}, "timeout": "1s"},
        service_name="envoy",
    )
    return {
        "tracing": {
            "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": tracer},
            # Queries carry tokens of careless clients, and Envoy's span names the URL.
            "max_path_tag_length": {"value": 1},
            # The request's way to the upstream is a span of its own, as its way to the service is.
            "spawn_upstream_span": {"value": True},
        }
    }


def _route_config(options: Options) -> Config:
    everything = {"match": {"prefix": "/"}, "route": {"cluster": UPSTREAM_CLUSTER}}
    host = {
        "name": "all",
        "domains": ["*"],
        **host_settings(options),
        "routes": [*options.routes, everything],
    }
    return {"name": "ingress", "virtual_hosts": [host]}


def _grpc_service(timeout_ms: int) -> Config:
    return {
        "envoy_grpc": {"cluster_name": AUTHZ_CLUSTER},
        "timeout": f"{timeout_ms / 1000}s",
        "initial_metadata": [
            {"key": "x-envoy-upstream-rq-per-try-timeout-ms", "value": str(timeout_ms // _TRIES)},
            {"key": "x-request-id", "value": f"%REQUEST_HEADER(X-REQUEST-ID):{_MAX_ID_BYTES}%"},
        ],
    }


def _router() -> Config:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": _typed("envoy.extensions.filters.http.router.v3.Router"),
    }


def _cluster(name: str, addresses: Sequence[Address], lookup: str = "V4_PREFERRED") -> Config:
    endpoints = [{"endpoint": {"address": _address(address)}} for address in addresses]
    is_static = all(_is_literal(address) for address in addresses)
    discovery = {"type": "STATIC"} if is_static else {"type": "STRICT_DNS", "dns_lookup_family": lookup}
    return {
        "name": name,
        "connect_timeout": "0.25s",
        **discovery,
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _is_literal(address: Address) -> bool:
    return bool(address.path) or is_ip(address.host)


def _health_check() -> Config:
    return {
        "timeout": "0.3s",
        "interval": "0.5s",
        "unhealthy_interval": "0.5s",
        "no_traffic_interval": "0.5s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "grpc_health_check": {},
    }


def _outlier_detection() -> Config:
    return {
        "consecutive_gateway_failure": 3,
        "enforcing_consecutive_gateway_failure": 100,
        "consecutive_5xx": 3,
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 5,
        "interval": "1s",
        "base_ejection_time": "3s",
        "max_ejection_percent": 50,
    }


def _retry_policy() -> Config:
    previous_hosts = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    return {
        "retry_on": ",".join(_RETRIED),
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.05s"},
        "retry_host_predicate": [
            {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": _typed(previous_hosts)}
        ],
        "host_selection_retry_max_attempts": 5,
    }
