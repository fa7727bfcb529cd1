"""`cors-authz observe`: what `make observe` calls."""

from __future__ import annotations

import sys
from typing import Any, Final

import click
from click.core import ParameterSource

from cors_authz.demo.observatory import ObservatoryOptions
from cors_authz.demo.observe import ObserveOptions, run_observe
from cors_authz.envoy.address import Address

_PORT: Final = click.IntRange(1, 65535)
_OF_DEMO: Final = ("port", "prometheus_port")


class _Listen(click.ParamType[Address]):
    """An address, as gRPC writes it."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:  # noqa: ANN401 - click's signature
        """Read it."""
        try:
            return Address.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option(
    "--listen",
    type=_Listen(),
    default="127.0.0.1:4317",
    show_default=True,
    help="Where spans and records are taken by OTLP/gRPC. Whoever reaches it can write to this terminal.",
)
@click.option("--lines", is_flag=True, help="Line after line, as where the output is no terminal.")
@click.option("--once", is_flag=True, help="End after the first decision.")
@click.option(
    "--demo", is_flag=True, help="Start a service, Envoy, and what is installed to watch them, under a slow load."
)
@click.option("--port", type=_PORT, default=10000, show_default=True, help="Where the demo's Envoy listens.")
@click.option(
    "--prometheus-port", type=_PORT, default=9090, show_default=True, help="Where the demo's Prometheus listens."
)
def observe(**how: Any) -> None:  # noqa: ANN401 - click checked each of them
    """Show decisions and their traces live, from the spans and records that services and Envoys send by OTLP.

    A service sends them where OTEL_EXPORTER_OTLP_ENDPOINT names this address.
    """
    _refuse_idle(click.get_current_context(), is_demo=how["demo"])
    ports = ObservatoryOptions(how.pop("port"), how.pop("prometheus_port"))
    demo = ports if how.pop("demo") else None
    sys.exit(run_observe(ObserveOptions(demo=demo, **how)))


def _refuse_idle(ctx: click.Context, *, is_demo: bool) -> None:
    """Refuse options that would do nothing."""
    names, why = (("listen",), "with --demo nothing else is watched") if is_demo else (_OF_DEMO, "there is no --demo")
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')}: {why}; leave it out", ctx)
