"""Who writes an Envoy's configuration, and so where a user changes it."""

from __future__ import annotations

from enum import Enum, unique
from typing import NamedTuple


@unique
class Plane(Enum):
    """A file of the user's own, or a control plane that writes Envoy's configuration from its own objects."""

    FILE = "file"
    ISTIO = "istio"
    ENVOY_GATEWAY = "envoy-gateway"


class GatewayListener(NamedTuple):
    """A listener of a Gateway (Gateway API) as an Envoy has it: its names, the port that Envoy has, and the protocol.

    Envoy Gateway gives Envoy ports from 10001 on for those below 1024.
    """

    gateway: str
    name: str
    envoy_port: int
    protocol: str
