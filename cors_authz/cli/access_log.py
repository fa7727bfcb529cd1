"""`cors-authz access-log`: what clients got, compared with what was decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cors_authz.cli.policy_option import environment_option
from cors_authz.cli.protection import Protection
from cors_authz.cli.service_options import errors_told, log_options, tls_options
from cors_authz.edge.access_log.options import MAX_STREAMS, AccessLogOptions, StreamBounds
from cors_authz.edge.audit.options import WriterOptions
from cors_authz.edge.ending import end_at_once
from cors_authz.edge.logs import log_to_stderr
from cors_authz.edge.metrics.options import MetricsOptions
from cors_authz.edge.settings import tls_of
from cors_authz.edge.settings_error import SettingsError

_OFF = "off"


@click.command("access-log")
@click.option(
    "--policy",
    "policy",
    type=click.Path(path_type=Path),
    envvar="CORS_AUTHZ_POLICY",
    show_envvar=True,
    help="The policy whose routes must be checked: a file or a directory, which is watched. Without it, every request.",
)
@environment_option
@click.option(
    "--listen",
    default="127.0.0.1:9192",
    show_default=True,
    envvar="CORS_AUTHZ_ACCESS_LOG_LISTEN",
    show_envvar=True,
    help="host:port or unix:/path.",
)
@click.option(
    "--lines",
    metavar="PATH|-|otlp|off",
    default="-",
    show_default=True,
    envvar="CORS_AUTHZ_ACCESS_LOG_LINES",
    show_envvar=True,
    help="Where each response is written as a line of JSON; - is standard output, otlp a collector of logs.",
)
@click.option(
    "--lines-key",
    cls=Protection,
    type=click.Path(path_type=Path),
    envvar="CORS_AUTHZ_ACCESS_LOG_LINES_KEY",
    show_envvar=True,
    help="The private key (Ed25519, PEM) that signs the chain of lines.",
)
@click.option(
    "--sample-agreeing",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    envvar="CORS_AUTHZ_ACCESS_LOG_SAMPLE_AGREEING",
    show_envvar=True,
    help="The share of allowed requests that got what was decided of which lines are written; all others always are.",
)
@click.option(
    "--metrics-listen",
    metavar="HOST:PORT|off",
    default=_OFF,
    show_default=True,
    envvar="CORS_AUTHZ_ACCESS_LOG_METRICS_LISTEN",
    show_envvar=True,
    help="Where /metrics and /healthz are read.",
)
@click.option(
    "--max-streams",
    type=click.IntRange(1, MAX_STREAMS),
    default=StreamBounds().streams,
    show_default=True,
    envvar="CORS_AUTHZ_ACCESS_LOG_MAX_STREAMS",
    show_envvar=True,
    help="How many streams may be open; each worker of an Envoy opens one.",
)
@tls_options
@click.option(
    "--grace-seconds",
    type=click.FloatRange(0, 300),
    default=2.0,
    show_default=True,
    envvar="CORS_AUTHZ_GRACE_SECONDS",
    show_envvar=True,
    help="How long to take what Envoys still send at the end; they send once a second.",
)
@log_options
def access_log(**how: Any) -> None:  # noqa: ANN401 - click checked each of them
    """Take Envoy's access log until SIGTERM, and tell where a client got other CORS headers than were decided.

    Each response is compared with what the answer of `cors-authz serve` carried in Envoy's dynamic metadata, so any
    instance may take any entry. `cors-authz export envoy --access-log` prints an Envoy that sends all that is needed.
    """
    log = log_to_stderr(how.pop("log_level"), how.pop("log_format"))
    end_at_once()
    # Here, as gRPC takes its time.
    from cors_authz.edge.access_log.run import listen

    with errors_told(log):
        listen(_options(how))


def _options(how: dict[str, Any]) -> AccessLogOptions:
    metrics = how.pop("metrics_listen")
    return AccessLogOptions(
        lines=_lines(how.pop("lines"), how.pop("lines_key")),
        metrics=MetricsOptions(listen=metrics) if metrics != _OFF else None,
        tls=tls_of(how.pop("tls_cert"), how.pop("tls_key"), how.pop("tls_client_ca")),
        bounds=StreamBounds(streams=how.pop("max_streams")),
        **how,
    )


def _lines(target: str, key: Path | None) -> WriterOptions | None:
    if target != _OFF:
        return WriterOptions(targets=(target,), key=key, setting="lines")
    if key is not None:
        raise SettingsError("lines-key: no lines are written; name where by --lines")
    return None
