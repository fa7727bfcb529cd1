"""`cors-authz serve`: the service."""

from __future__ import annotations

from typing import Any

import click

from cors_authz.cli.policy_option import environment_option, policy_option
from cors_authz.cli.service_options import errors_told, log_options, tls_options
from cors_authz.cli.watch_options import watch_options, watched
from cors_authz.edge.cores import usable_cores
from cors_authz.edge.logs import log_to_stderr
from cors_authz.edge.run import run
from cors_authz.edge.settings import MAX_WORKERS, Settings, tls_of
from cors_authz.edge.transport.interface import Bounds, TransportChoice, TransportOptions


class _Workers(click.ParamType[int]):
    """A number, or `auto` for the cores that the process may use."""

    name = "number|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's signature
        """Count them."""
        return min(usable_cores(), MAX_WORKERS) if value == "auto" else click.INT.convert(value, param, ctx)


@click.command()
@policy_option
@environment_option
@click.option(
    "--listen",
    default="127.0.0.1:9191",
    show_default=True,
    envvar="CORS_AUTHZ_LISTEN",
    show_envvar=True,
    help="host:port or unix:/path. Several workers take the ports from it on, or /path-0, /path-1 and so on.",
)
@click.option(
    "--workers",
    type=_Workers(),
    default=1,
    show_default=True,
    envvar="CORS_AUTHZ_WORKERS",
    show_envvar=True,
    help="How many processes serve, each at an endpoint of its own; auto is one for each core.",
)
@click.option(
    "--transport",
    type=click.Choice([choice.value for choice in TransportChoice]),
    default=TransportChoice.AUTO.value,
    show_default=True,
    envvar="CORS_AUTHZ_TRANSPORT",
    show_envvar=True,
    help="auto takes the fast completion queue where it works, and gRPC's own server elsewhere.",
)
@click.option(
    "--max-concurrent",
    type=click.IntRange(1, 100_000),
    default=Bounds().concurrent,
    show_default=True,
    envvar="CORS_AUTHZ_MAX_CONCURRENT",
    show_envvar=True,
    help="How many calls may be under way in a worker; more are answered RESOURCE_EXHAUSTED at once.",
)
@tls_options
@click.option(
    "--grpc-experiments",
    envvar="CORS_AUTHZ_GRPC_EXPERIMENTS",
    show_envvar=True,
    help="GRPC_EXPERIMENTS of the serving processes; by default what is fastest on their cores.",
)
@watch_options
@click.option(
    "--drain-seconds",
    type=click.FloatRange(0, 300),
    default=2.5,
    show_default=True,
    envvar="CORS_AUTHZ_DRAIN_SECONDS",
    show_envvar=True,
    help="How long to say NOT_SERVING before the end: longer than Envoy's health checks take to notice.",
)
@click.option(
    "--grace-seconds",
    type=click.FloatRange(0, 300),
    default=5,
    show_default=True,
    envvar="CORS_AUTHZ_GRACE_SECONDS",
    show_envvar=True,
    help="How long checks that are under way may take then.",
)
@log_options
def serve(**how: Any) -> None:  # noqa: ANN401 - click checked each of them
    """Answer Envoy's checks until SIGTERM, by the policy at --policy, which is watched and swapped when it changes."""
    log = log_to_stderr(how["log_level"], how["log_format"])
    with errors_told(log):
        run(_settings(how))


def _settings(how: dict[str, Any]) -> Settings:
    transport = TransportOptions(
        choice=TransportChoice(how.pop("transport")),
        tls=tls_of(how.pop("tls_cert"), how.pop("tls_key"), how.pop("tls_client_ca")),
        bounds=Bounds(concurrent=how.pop("max_concurrent")),
    )
    audit, metrics = watched(how)
    return Settings(policy=how.pop("policy_path"), transport=transport, audit=audit, metrics=metrics, **how)
