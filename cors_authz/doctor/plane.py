"""Who writes an Envoy's configuration, and so where a user changes it."""

from __future__ import annotations

from enum import Enum, unique


@unique
class Plane(Enum):
    """A file of the user's own, or a control plane that writes Envoy's configuration from its own objects."""

    FILE = "file"
    ISTIO = "istio"
    ENVOY_GATEWAY = "envoy-gateway"
