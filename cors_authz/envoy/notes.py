"""What fails without each setting of the exported Envoy, as measured on Envoy 1.40: comments that are printed with it.

A note is named by the last keys on the way to its setting; places in lists do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "admin": "Whoever reaches this controls Envoy: keep it on loopback.",
        # The listener.
        "enable_reuse_port": (
            "With `true`, a second Envoy binds the port without an error and takes half of the connections."
        ),
        # The connection manager.
        "use_remote_address": (
            "Envoy is the edge: without this, clients name their own request id and address. Behind a proxy that you "
            "trust, add `xff_num_trusted_hops`."
        ),
        "normalize_path": (
            "The service decides on the path that the router takes. Without these two it sees `/a/../b` as it came, "
            "and refuses it."
        ),
        "path_with_escaped_slashes_action": (
            "`%2F` and `%5C` are left to the service, which refuses them with a reason. REJECT_REQUEST answers a bare "
            "400 without asking; UNESCAPE decides for groups that take them."
        ),
        "headers_with_underscores_action": (
            "CGI and WSGI read `_` as `-`: `x_http_method_override` would reach the upstream and not the service."
        ),
        "upgrade_configs": "WebSockets. Without this they fail for everybody.",
        "http2_protocol_options.allow_connect": (
            "Browsers on HTTP/2 open WebSockets by extended CONNECT, which fails without this."
        ),
        "json_format.path": "Without the query: careless clients put tokens there.",
        "json_format.decision": (
            "Outcome, reason, group, rule, revision and decision id. Nothing else tells an answered preflight from a "
            "refusal: Envoy counts and flags both as denied."
        ),
        "buffer_flush_interval": "`cors-authz access-log` pays per message more than per entry.",
        "additional_request_headers_to_log": "What `cors-authz access-log` compares with what was decided.",
        # The virtual host.
        "response_headers_to_remove": (
            "The upstream's own grants. Without this an upstream's `*` is overwritten where the service was asked, and "
            "reaches the page where it was not. A header_mutation filter would take off the service's headers too. "
            "While the policy decides in shadow, export with `--shadow`: the service grants nothing in their place."
        ),
        # The filter.
        "http_filters": (
            "ext_authz first. What a filter in front of it answers carries no CORS headers, so a page reads no "
            "reason; jwt_authn in front of it refuses preflights."
        ),
        "grpc_service.timeout": (
            "The budget of a check, all of its tries. Unset it is 0.2s, too little for two; `0s` is without end."
        ),
        "initial_metadata": (
            "The time of one try: ext_authz heeds no other per-try timeout, and without it an instance that hangs "
            "fails every request it is asked about. The request id: by it a check that is repeated can be told; "
            "uncut, one of more than 8 KiB, of a client whose ids are trusted, is refused in each try."
        ),
        "metadata_context_namespaces": "Without it, `keys: {envoyMetadata: ...}` of a policy finds no claims.",
        "route_metadata_context_namespaces": "Without it, `tenants: {routeMetadata: ...}` of a policy finds no tenant.",
        "validate_mutations": "Without it, a line break in a value that the service sends becomes a header of its own.",
        "failure_mode_allow": "`true` would let everything pass while no instance answers, preflights to the upstream.",
        "status_on_error": "Without it an outage is an empty 403, and looks like a refusal.",
        "charge_cluster_response_stats": (
            "`true` counts preflights and refusals as answers of an upstream that never saw them."
        ),
        # The cluster.
        "clusters.type": (
            "STATIC takes addresses as they stand. STRICT_DNS takes every address of a name, such as a headless "
            "service's, and looks again every 5s: what ends must outlast that, and the name server's cache."
        ),
        "clusters.dns_lookup_family": (
            "Without it Envoy takes the IPv6 addresses alone where a name has any, as `localhost` does: what listens "
            "at 127.0.0.1 is never reached."
        ),
        "lb_policy": (
            "Envoy keeps one connection per thread and endpoint: list each worker of each instance. Behind one virtual "
            "address, an instance that hangs keeps its connection."
        ),
        "common_tls_context": (
            "The files are read once, at the start: restart Envoy when they are renewed, or give them by SDS."
        ),
        "alpn_protocols": "gRPC ends handshakes that do not name HTTP/2: without it, every request is a 503.",
        "match_typed_subject_alt_names": "Without it, whatever the authority ever signed passes for the service.",
        "common_lb_config": (
            "Unset it is 50: Envoy asks instances that it knows to be down as soon as most are. `0` refuses everything "
            "while the only ones left drain, or one health check comes late; `1` asks them when there is no other."
        ),
        "health_checks": (
            "Without them, instances that end are asked until they refuse. The interval is shorter than "
            "`--drain-seconds` of `cors-authz serve`, or they end before Envoy knows."
        ),
        "no_traffic_interval": "Unset it is 60s: before the first request, a change is not seen for a minute.",
        "outlier_detection": (
            "Takes out an instance that answers its health check and fails its checks. Not at two failures: two slow "
            "tries would take out the only one left."
        ),
        "circuit_breakers": "Three retries at once are the default, and overflow as soon as an instance ends.",
        "explicit_http_config": "Without it Envoy speaks HTTP/1.1, which gRPC does not: every request is a 503.",
        "retry_policy": (
            "It works here alone: a `retry_policy` in `grpc_service` is accepted and has no effect. Without it, a "
            "restart of one of two instances failed 45 of 561 requests."
        ),
        "retry_host_predicate": "Without it, a retry may go to the instance that just failed.",
    }
)

SHADOW_NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        **NOTES,
        "response_headers_to_remove": (
            "Empty for a policy in shadow (`--shadow`): the service touches nothing there, and without the upstream's "
            "own grants the pages that work today would break. Once the policy is in force, export without `--shadow`: "
            "then they are taken off."
        ),
    }
)
"""The notes for an Envoy whose policy decides in shadow."""
