"""What gRPC's core must be told before it is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NAME: Final = "GRPC_EXPERIMENTS"


def experiments(cores: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Give the environment variables to set before `grpc` is imported, and before a worker is started.

    On one core, core's own listener threads cost more in switches than they save: without them a check takes about
    half the CPU. Where a second core is idle it gains nothing. What an operator has set stays.

    Args:
        cores: how many the process may run on.
        environment: the variables as they are.
    """
    if cores > 1 or _NAME in environment:
        return {}
    return {_NAME: "-event_engine_listener"}
