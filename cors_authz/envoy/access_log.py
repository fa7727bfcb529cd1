"""Envoy's access log to plain values. Nothing is judged here, and nothing that a sender may write makes it fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from cors_authz._gen.wire.access_log_pb2 import (
    AccessLogCommon,
    HTTPAccessLogEntry,
    ResponseFlags,
    StreamAccessLogsMessage,
)
from cors_authz.envoy.bootstrap import EXT_AUTHZ_FILTER, ORIGINAL_HOST

# Of envoy.config.core.v3.RequestMethod; a method that it does not know is told as 0.
_METHODS: Final = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")

# Of envoy.data.accesslog.v3.AccessLogType: an entry of no stated type, and the one at the end of a request. A listener
# may be configured to log beginnings and long requests time and again, too.
_WHOLE: Final = frozenset({0, 6})

_MAX_MICROSECONDS: Final = 2**53
"""A JSON number that every reader reads alike; 285 years."""

# As Envoy's text log has them: https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/access_log/usage.
_FLAGS: Final = {
    "failed_local_healthcheck": "LH",
    "no_healthy_upstream": "UH",
    "upstream_request_timeout": "UT",
    "local_reset": "LR",
    "upstream_remote_reset": "UR",
    "upstream_connection_failure": "UF",
    "upstream_connection_termination": "UC",
    "upstream_overflow": "UO",
    "no_route_found": "NR",
    "delay_injected": "DI",
    "fault_injected": "FI",
    "rate_limited": "RL",
    "unauthorized_details": "UAEX",
    "rate_limit_service_error": "RLSE",
    "downstream_connection_termination": "DC",
    "upstream_retry_limit_exceeded": "URX",
    "stream_idle_timeout": "SI",
    "invalid_envoy_request_headers": "IH",
    "downstream_protocol_error": "DPE",
    "upstream_max_stream_duration_reached": "UMSDR",
    "response_from_cache_filter": "RFCF",
    "no_filter_config_found": "NFCF",
    "duration_timeout": "DT",
    "upstream_protocol_error": "UPE",
    "no_cluster_found": "NC",
    "overload_manager": "OM",
    "dns_resolution_failure": "DF",
    "downstream_remote_reset": "DR",
}
_NOTHING: Final[Mapping[str, object]] = {}


class Entry(NamedTuple):
    """One request and its response, as Envoy logged them once both were over.

    Args:
        time: when the request came, in seconds since the epoch.
        request_id: Envoy's `x-request-id`.
        method: empty for one that Envoy's log has no word for.
        scheme: `http` or `https`.
        host: the authority that was asked for, whatever a route wrote in its place.
        path: that was asked for, likewise, without the query.
        origin: the `Origin` of the request, where it is logged.
        status: the final status, 0 for none.
        flags: Envoy's response flags, in its short words.
        details: Envoy's details of the response code.
        duration_us: from the first byte of the request to the last of the response, in microseconds.
        reached_upstream: whether an upstream was asked.
        decision: the dynamic metadata of the authorization filter, texts and truth values alone.
        headers: the response headers that are logged, names in lower case.
    """

    time: float
    request_id: str
    method: str
    scheme: str
    host: str
    path: str
    origin: str
    status: int
    flags: tuple[str, ...]
    details: str
    duration_us: int
    reached_upstream: bool
    decision: Mapping[str, object]
    headers: Mapping[str, str]


class Outline(NamedTuple):
    """What a message of a stream is, before its entries are read: whether it says who sends, and how much it holds."""

    is_identified: bool
    entries: int
    tcp_entries: int


class LogMessage(NamedTuple):
    """The entries of one message that tell of the end of a request, and how many others it holds."""

    entries: tuple[Entry, ...]
    ignored: int


def outline(raw: bytes) -> Outline | None:
    """Look over a serialized `envoy.service.accesslog.v3.StreamAccessLogsMessage`, at a tenth of what `decode` takes.

    Returns: its outline; None for bytes that are no such message. Never raises.
    """
    message = _message(raw)
    if message is None:
        return None
    return Outline(message.HasField("identifier"), len(message.http_logs.log_entry), len(message.tcp_logs.log_entry))


def decode(raw: bytes) -> LogMessage | None:
    """Read a serialized `envoy.service.accesslog.v3.StreamAccessLogsMessage`.

    Returns: what it holds; None for bytes that are no such message. Never raises.
    """
    message = _message(raw)
    if message is None:
        return None
    logged = message.http_logs.log_entry
    entries = tuple(_entry(entry) for entry in logged if entry.common_properties.access_log_type in _WHOLE)
    return LogMessage(entries, len(logged) - len(entries) + len(message.tcp_logs.log_entry))


def _message(raw: bytes) -> StreamAccessLogsMessage | None:
    try:
        return StreamAccessLogsMessage.FromString(raw)
    except DecodeError:
        return None


def _entry(logged: HTTPAccessLogEntry) -> Entry:
    properties, request, response = logged.common_properties, logged.request, logged.response
    start = properties.start_time
    return Entry(
        start.seconds + start.nanos / 1e9,
        request.request_id,
        _METHODS[request.request_method] if 0 <= request.request_method < len(_METHODS) else "",
        request.scheme,
        request.request_headers.get(ORIGINAL_HOST) or request.authority,
        (request.original_path or request.path).partition("?")[0],
        request.request_headers.get("origin", ""),
        response.response_code.value,
        _flags(properties.response_flags) if properties.HasField("response_flags") else (),
        response.response_code_details,
        _microseconds(properties),
        properties.HasField("upstream_remote_address"),
        _decision(properties),
        {name.lower(): value for name, value in response.response_headers.items()},
    )


def _flags(flags: ResponseFlags) -> tuple[str, ...]:
    return tuple(_FLAGS[field.name] for field, _ in flags.ListFields())


def _microseconds(properties: AccessLogCommon) -> int:
    took = properties.duration
    return min(max(0, took.seconds * 1_000_000 + took.nanos // 1000), _MAX_MICROSECONDS)


def _decision(properties: AccessLogCommon) -> Mapping[str, object]:
    told = properties.metadata.filter_metadata
    # To read a name that a map of messages does not hold would put it there.
    return _plain(told[EXT_AUTHZ_FILTER]) if EXT_AUTHZ_FILTER in told else _NOTHING


def _plain(struct: Struct) -> Mapping[str, object]:
    return {name: value.string_value or value.bool_value for name, value in struct.fields.items()}
