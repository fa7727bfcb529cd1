"""Telemetry by OTLP: which signals the standard variables ask for, and the exporters that send them.

What is read here is read as the specification has it; what it says of headers, compression and certificates, the SDK
reads from the environment of the process by itself.

Spec: https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from enum import Enum, unique
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from cors_authz import __version__
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.telemetry.advice import Place
from cors_authz.edge.telemetry.collector import Collector, keep_quiet
from cors_authz.edge.telemetry.variables import PREFIX, refuse_headers, seconds_of

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from cors_authz.edge.telemetry.exporters import WatchedLogs, WatchedMetrics, WatchedSpans

SERVICE_NAME: Final = "cors-authz"

_GRPC: Final = "grpc"
_HTTP: Final = "http/protobuf"
_PROTOCOLS: Final = (_GRPC, _HTTP)
_ENDPOINTS: Final = {_GRPC: "http://localhost:4317", _HTTP: "http://localhost:4318"}
_PORTS: Final = {"http": 80, "https": 443}
_DEFAULT_TIMEOUT: Final = 10_000


@unique
class Signal(Enum):
    """What is sent."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"


class _Target(NamedTuple):
    variable: str
    endpoint: str
    protocol: str
    timeout_seconds: float


def is_wanted(signal: Signal, environ: Mapping[str, str]) -> bool:
    """Tell whether the environment asks for a signal by OTLP: an endpoint is set, or `OTEL_<SIGNAL>_EXPORTER=otlp`.

    Raises: SettingsError for a value that is not known.
    """
    name = f"OTEL_{signal.name}_EXPORTER"
    chosen = environ.get(name, "").strip()
    if chosen not in {"", "otlp", "none"}:
        raise SettingsError(f"{name}: `{chosen}` is not known here; write otlp or none")
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or chosen == "none":
        return False
    return chosen == "otlp" or bool(_said(signal, "ENDPOINT", environ)[1])


def place(signal: Signal, environ: Mapping[str, str]) -> str:
    """Say where a signal is sent, and by which protocol, for people.

    Raises: SettingsError for a variable that cannot be.
    """
    return _place(_target(signal, environ)).address


def span_exporter(environ: Mapping[str, str] = os.environ) -> WatchedSpans:
    """Give what sends spans, with the `collector` that counts what was not taken.

    Raises: SettingsError for a variable that cannot be.
    """
    exporter, collector = _exporter(Signal.TRACES, environ, ("trace_exporter", "OTLPSpanExporter"))
    from cors_authz.edge.telemetry.exporters import WatchedSpans

    return WatchedSpans(exporter, collector)


def metric_exporter(environ: Mapping[str, str] = os.environ) -> WatchedMetrics:
    """Give what sends metrics; see `span_exporter`."""
    exporter, collector = _exporter(Signal.METRICS, environ, ("metric_exporter", "OTLPMetricExporter"))
    from cors_authz.edge.telemetry.exporters import WatchedMetrics

    return WatchedMetrics(exporter, collector)


def log_exporter(environ: Mapping[str, str] = os.environ) -> WatchedLogs:
    """Give what sends records of a log; see `span_exporter`."""
    exporter, collector = _exporter(Signal.LOGS, environ, ("_log_exporter", "OTLPLogExporter"))
    from cors_authz.edge.telemetry.exporters import WatchedLogs

    return WatchedLogs(exporter, collector)


def resource(worker: int | None) -> Resource:
    """Say who sends: name, version and instance of the service; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win.

    Args:
        worker: the number of the worker, where there are several: each is an instance.
    """
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    host = socket.gethostname()
    ours = {
        "service.name": SERVICE_NAME,
        "service.version": __version__,
        "service.instance.id": host if worker is None else f"{host}/{worker}",
    }
    return Resource.create({**ours, **OTELResourceDetector().detect().attributes})


def _exporter(signal: Signal, environ: Mapping[str, str], place: tuple[str, str]) -> tuple[Any, Collector]:
    target = _target(signal, environ)
    module, name = place
    kind = _GRPC if target.protocol == _GRPC else "http"
    how: dict[str, Any] = {"endpoint": target.endpoint, "timeout": target.timeout_seconds}
    if kind == _GRPC:
        how["insecure"] = urlsplit(target.endpoint).scheme == "http"
    else:
        from cors_authz.edge.telemetry.session import bounded_session

        how["session"] = bounded_session()
    keep_quiet()
    try:
        exporter = getattr(import_module(f"opentelemetry.exporter.otlp.proto.{kind}.{module}"), name)(**how)
    except Exception as error:
        raise SettingsError(f"{PREFIX}_*: {signal.value} cannot be sent: {error}") from error
    return exporter, Collector(signal.value, _place(target), keeps=signal is Signal.LOGS)


def _place(target: _Target) -> Place:
    url = urlsplit(target.endpoint)
    port = "" if url.port else f":{_PORTS[url.scheme]}"
    return Place(
        f"{url.scheme}://{url.netloc}{port}{url.path} ({target.protocol})",
        url.path or "/",
        target.variable,
        target.timeout_seconds,
    )


def _target(signal: Signal, environ: Mapping[str, str]) -> _Target:
    name, protocol = _said(signal, "PROTOCOL", environ)
    protocol = protocol or _GRPC
    if protocol not in _PROTOCOLS:
        raise SettingsError(f"{name}: `{protocol}` is not spoken here; write {' or '.join(_PROTOCOLS)}")
    for what in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"):
        _refuse_unreadable(*_said(signal, what, environ))
    refuse_headers(*_said(signal, "HEADERS", environ))
    return _Target(*_endpoint(signal, protocol, environ), protocol, _timeout_seconds(signal, environ))


def _endpoint(signal: Signal, protocol: str, environ: Mapping[str, str]) -> tuple[str, str]:
    name, endpoint = _said(signal, "ENDPOINT", environ)
    endpoint = endpoint or _ENDPOINTS[protocol]
    if "@" in endpoint:
        headers = f"{PREFIX}_HEADERS"
        raise SettingsError(f"{name}: an endpoint names no user and no password; write them into {headers}")
    if not _is_url(endpoint):
        raise SettingsError(f"{name}: `{endpoint}` is no endpoint; write such as {_ENDPOINTS[protocol]}, or https://")
    url = urlsplit(endpoint)
    if (protocol, url.scheme, url.port) == (_GRPC, "http", None):
        # gRPC would dial 443, at which nobody speaks in the clear.
        raise SettingsError(f"{name}: `{endpoint}` names no port; write such as {_ENDPOINTS[protocol]}")
    # What is said for one signal is taken as it is; what is said for all is where each has a path of its own.
    if protocol == _HTTP and signal.name not in name:
        return name, f"{endpoint.removesuffix('/')}/v1/{signal.value}"
    return name, endpoint


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return (
            url.scheme in {"http", "https"}
            and bool(url.hostname)
            and url.port != 0
            and not url.netloc.endswith(":")
            and text.isprintable()
            and " " not in text
        )
    except ValueError:
        return False


def _timeout_seconds(signal: Signal, environ: Mapping[str, str]) -> float:
    # The SDK reads seconds, against the specification: what the other programs of a host understand holds here.
    name, text = _said(signal, "TIMEOUT", environ)
    return seconds_of(name, text, _DEFAULT_TIMEOUT)


def _said(signal: Signal, what: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Find what is said for a signal, or for all of them, and by which variable; an empty value is none."""
    own, shared = f"{PREFIX}_{signal.name}_{what}", f"{PREFIX}_{what}"
    value = environ.get(own, "").strip()
    return (own, value) if value else (shared, environ.get(shared, "").strip())


def _refuse_unreadable(name: str, path: str) -> None:
    if path and not (Path(path).is_file() and os.access(path, os.R_OK)):
        raise SettingsError(f"{name}: `{path}` is no file that we may read; name a PEM file")
