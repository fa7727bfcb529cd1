"""What of the exported Envoy is pasted into another one's configuration, each part under the key where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, unique
from types import MappingProxyType
from typing import Final

from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import (
    Config,
    Options,
    authz_cluster,
    authz_filter,
    host_settings,
    manager_settings,
    telemetry_clusters,
)


@unique
class Part(Enum):
    """A part; an Envoy that asks the service needs all of them."""

    FILTER = "filter"
    MANAGER = "manager"
    VIRTUAL_HOST = "virtual-host"
    CLUSTER = "cluster"


PLACES: Final[Mapping[Part, str]] = MappingProxyType(
    {
        Part.FILTER: "In front of all other filters of the HTTP connection manager.",
        Part.MANAGER: "Fields of the HTTP connection manager.",
        Part.VIRTUAL_HOST: "A field of each virtual host.",
        Part.CLUSTER: "Among the clusters of `static_resources`.",
    }
)
"""Where each part goes."""


def part_of(part: Part, authz: Sequence[Address], options: Options) -> Config:
    """Give a part.

    Args:
        part: Which.
        authz: The instances of the service, as `bootstrap` takes them.
        options: What deployments vary; the parts look at `timeout_ms`, `shadow`, `access_log`, and how the service and
            the listener of the access log are reached.

    Returns: a new value for `json.dumps`.
    """
    match part:
        case Part.FILTER:
            return {"http_filters": [authz_filter(options)]}
        case Part.MANAGER:
            return manager_settings(options)
        case Part.VIRTUAL_HOST:
            return host_settings(options)
        case Part.CLUSTER:
            return {"clusters": [authz_cluster(authz, options.authz_tls), *telemetry_clusters(options)]}
