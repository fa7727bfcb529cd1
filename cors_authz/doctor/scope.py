"""Which connection managers are judged, and which requests leave an Envoy by one that nobody is asked in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cors_authz.doctor.plane import Plane
from cors_authz.doctor.setup import Manager, Message, Passed, Setup, endpoints_of, inner, is_loopback, maps, routes_of

_OWN_CLUSTERS: Final = frozenset({"prometheus_stats", "agent"})
_OUTBOUND: Final = "OUTBOUND"
_OTHER: Final = re.compile(r"\.network\.(?:postgres|mysql|mongo|redis|zookeeper|kafka_\w+|rocketmq|smtp)(?:_proxy)?\.")
"""Filters in front of a tcp_proxy that read another protocol than HTTP."""


def judged(setup: Setup) -> tuple[Manager, ...]:
    """Give the managers that clients reach: not those of the proxy itself, nor what a sidecar sends out."""
    return tuple(
        each for each in setup.managers if each.checks or not (_sends_out(setup, each) or _is_own(setup, each))
    )


def passed(setup: Setup) -> Iterator[Passed]:
    """Give the filter chains by which clients may get past HTTP: not those that are known to carry something else."""
    for each in setup.passed:
        is_other = any(_OTHER.search(kind) for kind in each.filters)
        is_own = setup.is_sidecar and each.direction == _OUTBOUND
        is_inside = bool(each.clusters) and all(_is_internal(setup, {"cluster": name}) for name in each.clusters)
        if not (is_other or is_own or is_inside):
            yield each


def forwards(setup: Setup, manager: Manager) -> bool:
    """Tell whether a manager lets requests out; what does not say by which routes or filters is taken to."""
    tables = manager.tables
    if not tables or not manager.filters:
        return True
    return any("vhds" in table or any(_lets_out(setup, host) for host in _hosts(table)) for table in tables)


def _lets_out(setup: Setup, host: Message) -> bool:
    routes = routes_of(host)
    is_unread = "matcher" in host and not routes
    return is_unread or any("route" in each and not _stays(setup, inner(each, "route")) for each in routes)


def _hosts(table: Message) -> list[Message]:
    return maps(table.get("virtual_hosts"))


def _sends_out(setup: Setup, manager: Manager) -> bool:
    # Istio calls the listeners of a gateway OUTBOUND, too.
    return setup.is_sidecar and manager.direction == _OUTBOUND


def _is_own(setup: Setup, manager: Manager) -> bool:
    """Tell whether all that a manager does is to show the metrics or the health of the proxy itself."""
    if forwards(setup, manager):
        return False
    routes = [route for table in manager.tables for host in _hosts(table) for route in routes_of(host)]
    own = [_is_proxys(setup, inner(route, "route")) for route in routes]
    return any(each.kind == "health_check" for each in manager.filters) or (bool(own) and all(own))


def _stays(setup: Setup, action: Message) -> bool:
    """Tell whether a route leads to the proxy itself, or to another of its listeners, which is judged there."""
    return _is_proxys(setup, action) or _is_internal(setup, action)


def _is_proxys(setup: Setup, action: Message) -> bool:
    """As Istio and Envoy Gateway name it; a user's cluster of that name is elsewhere, or, without them, anywhere."""
    addresses = _addresses(setup, action)
    is_managed = setup.plane is not Plane.FILE
    near = [(is_managed and is_loopback(each)) or (bool(each) and each == setup.admin) for each in addresses]
    return str(action.get("cluster")) in _OWN_CLUSTERS and bool(near) and all(near)


def _is_internal(setup: Setup, action: Message) -> bool:
    listeners = [manager.listener for manager in setup.managers]
    names = [inner(each, "envoy_internal_address").get("server_listener_name") for each in _addresses(setup, action)]
    return bool(names) and all(name in listeners for name in names)


def _addresses(setup: Setup, action: Message) -> list[Message]:
    cluster = setup.clusters.get(str(action.get("cluster")), {})
    return [inner(each, "endpoint", "address") for each in endpoints_of(inner(cluster, "load_assignment"))]
