"""`cors-authz export`: configuration for those who stand around the service."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from cors_authz.envoy.bootstrap import Address, Options, bootstrap

_ADMIN: Final = "127.0.0.1:9901"


class _Address(click.ParamType[Address]):
    """An address as gRPC writes it."""

    name = "host:port|unix:path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:  # noqa: ANN401 - click's signature
        """Read it."""
        try:
            return value if isinstance(value, Address) else Address.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_address = _Address()


@click.group()
def export() -> None:
    """Print configuration for those who stand around the service."""


@export.command()
@click.option("--listen", type=_address, default="0.0.0.0:8080", show_default=True, help="Where clients connect.")
@click.option(
    "--authz",
    type=_address,
    multiple=True,
    default=["127.0.0.1:9191"],
    show_default=True,
    help="An endpoint of `cors-authz serve`; once for each worker.",
)
@click.option("--upstream", type=_address, required=True, help="What is protected.")
@click.option(
    "--admin",
    type=_address,
    default=_ADMIN,
    show_default=True,
    help="Envoy's admin interface; whoever reaches it controls Envoy.",
)
@click.option("--access-log", type=_address, help="Where `cors-authz access-log` listens; without it, nothing is sent.")
@click.option("--format", "form", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def envoy(form: str, access_log: Address | None, **addresses: Any) -> None:  # noqa: ANN401 - click checked each of them
    """Print the bootstrap of an Envoy that asks the service and, with --access-log, tells what clients got."""
    config = bootstrap(**addresses, options=Options(access_logs=access_log))
    click.echo(_yaml(config) if form == "yaml" else json.dumps(config, indent=2))


def _yaml(config: object) -> str:
    import yaml

    return yaml.safe_dump(config, sort_keys=False).rstrip("\n")
