"""What the verbs that serve until a signal share: TLS, the log, and how what hinders their start is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from logging import Handler
from pathlib import Path
from typing import Final, TypeVar

import click

from cors_authz.cli.policy_option import refuse
from cors_authz.cli.protection import Protection
from cors_authz.edge.generation import GenerationError
from cors_authz.edge.policy_files import PolicyFilesError
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.interface import TransportError
from cors_authz.edge.workers.supervisor import WorkersError
from cors_authz.policy.finding import PolicyError, UnknownEnvironmentError

F = TypeVar("F", bound=Callable[..., object])

_pem: Final = click.Path(path_type=Path)
_TLS: Final = (
    click.option(
        "--tls-cert",
        cls=Protection,
        type=_pem,
        envvar="CORS_AUTHZ_TLS_CERT",
        show_envvar=True,
        help="The certificate chain to serve with (PEM); a rotated file is picked up.",
    ),
    click.option(
        "--tls-key",
        cls=Protection,
        type=_pem,
        envvar="CORS_AUTHZ_TLS_KEY",
        show_envvar=True,
        help="Its private key (PEM).",
    ),
    click.option(
        "--tls-client-ca",
        cls=Protection,
        type=_pem,
        envvar="CORS_AUTHZ_TLS_CLIENT_CA",
        show_envvar=True,
        help="Who signs the certificates of callers (PEM); then every caller must show one.",
    ),
)
_LOG: Final = (
    click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        envvar="CORS_AUTHZ_LOG_LEVEL",
        show_envvar=True,
    ),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        envvar="CORS_AUTHZ_LOG_FORMAT",
        show_envvar=True,
    ),
)


def tls_options(command: F) -> F:
    """Add the options that `tls_of` reads."""
    return with_options(_TLS, command)


def log_options(command: F) -> F:
    """Add the options that `log_to_stderr` reads."""
    return with_options(_LOG, command)


def with_options(options: tuple[Callable[[F], F], ...], command: F) -> F:
    """Add options to a command, in their order."""
    return reduce(lambda decorated, option: option(decorated), reversed(options), command)


@contextmanager
def errors_told(log: Handler) -> Iterator[None]:
    """End as the command line does for what hinders the start, once the log has said what came before."""
    try:
        try:
            yield
        finally:
            log.flush()
    except (SettingsError, PolicyFilesError, UnknownEnvironmentError) as error:
        raise click.UsageError(str(error)) from error
    except PolicyError as error:
        refuse(error)
    except (GenerationError, TransportError, WorkersError) as error:
        raise click.ClickException(str(error)) from error
