"""`cors-authz serve`: the service."""

from __future__ import annotations

from pathlib import Path

import click

from cors_authz.cli.policy_option import environment_option, policy_option, refuse
from cors_authz.edge.logs import log_to_stderr
from cors_authz.edge.policy_files import PolicyFilesError
from cors_authz.edge.run import run
from cors_authz.edge.server import ServerError
from cors_authz.edge.settings import Settings, SettingsError
from cors_authz.policy.finding import PolicyError
from cors_authz.policy.load import UnknownEnvironmentError


@click.command()
@policy_option
@environment_option
@click.option(
    "--listen",
    default="127.0.0.1:9191",
    show_default=True,
    envvar="CORS_AUTHZ_LISTEN",
    show_envvar=True,
    help="host:port or unix:/path.",
)
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    envvar="CORS_AUTHZ_THREADS",
    show_envvar=True,
    help="How many checks are answered at once.",
)
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
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    envvar="CORS_AUTHZ_LOG_LEVEL",
    show_envvar=True,
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    envvar="CORS_AUTHZ_LOG_FORMAT",
    show_envvar=True,
)
def serve(policy_path: Path, environment: str, log_level: str, log_format: str, **how: object) -> None:
    """Answer Envoy's checks until SIGTERM, by the policy at --policy, which is watched and swapped when it changes."""
    log_to_stderr(log_level, log_format)
    try:
        run(Settings(policy=policy_path, environment=environment, **how))  # type: ignore[arg-type] # click checked them
    except (SettingsError, PolicyFilesError, UnknownEnvironmentError) as error:
        raise click.UsageError(str(error)) from error
    except PolicyError as error:
        refuse(error)
    except ServerError as error:
        raise click.ClickException(str(error)) from error
