"""`cors-authz demo`: what `make run` calls."""

from __future__ import annotations

import sys
from typing import Final

import click

from cors_authz.demo.run import DemoOptions, run_demo
from cors_authz.demo.stage import Ports

_PORT: Final = click.IntRange(1, 65535)
_PORT_OR_FREE: Final = click.IntRange(0, 65535)


@click.command()
@click.option("--tour", type=click.Choice(["stay", "only"]), default="stay", show_default=True, help="only: then end.")
@click.option("--port", type=_PORT, default=10000, show_default=True, help="Where Envoy listens.")
@click.option("--authz-port", type=_PORT_OR_FREE, default=0, help="Where the service listens; 0 is a free one.")
@click.option("--upstream-port", type=_PORT_OR_FREE, default=0, help="Where the upstream listens; 0 is a free one.")
def demo(tour: str, port: int, authz_port: int, upstream_port: int) -> None:
    """Start an upstream, the service and a real Envoy on this machine, and make a tour of requests through them.

    Each request is shown with its answer, the reason, and whether the upstream saw it. Exit 1 if an answer differs from
    the one that the tour expects.
    """
    sys.exit(run_demo(DemoOptions(Ports(port, authz_port, upstream_port), stay=tour == "stay")))
