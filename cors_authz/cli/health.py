"""`cors-authz health`: whether a service that runs is serving, for probes that start a program."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from cors_authz.cli.envoy_address import ReachedAddress
from cors_authz.cli.protection import Protection
from cors_authz.edge.settings_error import SettingsError
from cors_authz.envoy.address import Address
from cors_authz.policy.finding import shown

if TYPE_CHECKING:
    # It brings `grpc`, which must be told first that nobody reads its log.
    from cors_authz.edge.health_client import CallerTls

_MAX_TIMEOUT_SECONDS: Final = 60
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be asked instead of it
_FIRST_WORKER: Final = "-0"

F = TypeVar("F", bound=Callable[..., object])

_pem: Final = click.Path(path_type=Path)


def _variable(option: str, **how: Any) -> Callable[[F], F]:  # noqa: ANN401 - click's own options
    # Not those of the service: its certificate is none of a caller.
    variable = f"CORS_AUTHZ_HEALTH_{option.removeprefix('--').replace('-', '_').upper()}"
    return click.option(option, cls=Protection, envvar=variable, show_envvar=True, **how)


def _nameable(_ctx: click.Context, _param: click.Parameter, name: str | None) -> str | None:
    # Of bytes that are no UTF-8 Python makes what no message carries.
    if name is not None and not name.isprintable():
        raise click.BadParameter(f"`{shown(name)}` is no name")
    return name


def _number(_ctx: click.Context, _param: click.Parameter, seconds: float) -> float:
    # A range takes what compares to nothing.
    if isnan(seconds):
        raise click.BadParameter(f"{seconds} is no time")
    return seconds


class _Asked(ReachedAddress):
    """Where a service listens, as it can be asked."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:  # noqa: ANN401 - click's signature
        """Read it; of several workers it is the first."""
        address = super().convert(value, param, ctx)
        if address.path and not Path(address.path).exists() and Path(address.path + _FIRST_WORKER).exists():
            return address._replace(path=address.path + _FIRST_WORKER)
        return address._replace(host=_LOOPBACK.get(address.host, address.host))


@click.command()
@click.option(
    "--address",
    type=_Asked(),
    default="127.0.0.1:9191",
    show_default=True,
    envvar="CORS_AUTHZ_LISTEN",
    show_envvar=True,
    help="Where the service listens; any address stands for loopback. Of several workers the first is asked.",
)
@click.option(
    "--service",
    default="",
    callback=_nameable,
    metavar="NAME",
    help="`cors_authz.policy` asks whether the newest policy is in force.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, _MAX_TIMEOUT_SECONDS, min_open=True),
    default=1.0,
    show_default=True,
    callback=_number,
    metavar="SECONDS",
    help="For the connection and the answer together.",
)
@_variable("--tls-ca", type=_pem, help="Who signed the service's certificate (PEM); then it is asked by TLS.")
@_variable(
    "--tls-name",
    callback=_nameable,
    metavar="NAME",
    help="What that certificate names; by default the host that is asked.",
)
@_variable("--tls-cert", type=_pem, help="The certificate chain to show, where the service asks for one (PEM).")
@_variable("--tls-key", type=_pem, help="Its private key (PEM).")
def health(**how: Any) -> None:  # noqa: ANN401 - click checked each of them
    """Ask a service that runs whether it is serving, by gRPC's health protocol.

    Exit 0 if it says so, 1 if it says anything else or nothing in time.
    """
    # Core writes its own view of a failed handshake to the standard error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from cors_authz.edge.health_client import Probe, health_objection

    probe = Probe(address=how["address"], service=how["service"], timeout_seconds=how["timeout"], tls=_tls_of(how))
    try:
        objection = health_objection(probe)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    if objection is not None:
        raise click.ClickException(objection)
    click.echo(f"{probe.subject} is serving")


def _tls_of(how: Mapping[str, Any]) -> CallerTls | None:
    from cors_authz.edge.health_client import CallerTls

    if how["tls_ca"] is None:
        if any(how[name] for name in ("tls_name", "tls_cert", "tls_key")):
            raise click.UsageError("tls-ca: TLS is spoken where it is named; name who signed the service's certificate")
        return None
    if (how["tls_cert"] is None) != (how["tls_key"] is None):
        raise click.UsageError("tls-cert: a certificate and its key go together; name both")
    return CallerTls(ca=how["tls_ca"], name=how["tls_name"], certificate=how["tls_cert"], key=how["tls_key"])
