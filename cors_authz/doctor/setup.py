"""An Envoy's configuration as the rules read it, from its bootstrap or from the dump of a running one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cors_authz.doctor.canonical import Canonical, Stray
from cors_authz.doctor.finding import Where
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.plane import GatewayListener, Plane

Message = Mapping[str, Any]
"""A message of Envoy's API, its fields in snake case."""

EXT_AUTHZ: Final = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"
FILTER_CONFIG: Final = "envoy.config.route.v3.FilterConfig"

_STRUCTS: Final = frozenset({"xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"})
_MATCHED: Final = "envoy.extensions.common.matching.v3.ExtensionWithMatcher"
_ROUTE: Final = "envoy.config.route.v3.Route"
_ROUTES: Final = "envoy.config.route.v3.RouteList"
_NONE: Final[Message] = {}


class HttpFilter(NamedTuple):
    """An HTTP filter: its name, the full name of its message, the message, and where it stands.

    `disabled` filters act only where a route enables them; `conditional` ones only where a matcher lets them. What is
    `awaited` may turn out to be ext_authz once a control plane sends it.
    """

    name: str
    type: str
    config: Message
    disabled: bool
    conditional: bool
    awaited: bool
    line: int
    matcher: Message = _NONE

    @property
    def kind(self) -> str:
        """The filter as Envoy's documents call it, such as `jwt_authn`; "" where its message is not known."""
        found = re.search(r"filters\.http\.(\w+)\.", self.type)
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Manager:
    """An HTTP connection manager: the listener that it serves, its filters, and the routes that are known of it.

    `chain` names the filter chain that it stands in, where the listener has several. `upgrades` are what it is to
    requests that upgrade, each by its type in `upgrade`, where those take filters of their own. What it calls its route
    configurations that are not known is `awaited`.
    """

    listener: str
    chain: str
    direction: str
    config: Message
    filters: tuple[HttpFilter, ...]
    tables: tuple[Message, ...]
    server_names: tuple[str, ...] = ()
    verifies_clients: bool = False
    upgrade: str = ""
    upgrades: tuple[Manager, ...] = ()
    awaited: tuple[str, ...] = ()

    @property
    def levels(self) -> Iterator[Message]:
        """Its route configurations, the virtual hosts of each, their routes, and the clusters that those weigh."""
        for table in self.tables:
            yield table
            for host in maps(table.get("virtual_hosts")):
                yield host
                for route in routes_of(host):
                    yield route
                    yield from maps(inner(route, "route", "weighted_clusters").get("clusters"))

    @property
    def checks(self) -> tuple[HttpFilter, ...]:
        """Its ext_authz filters; those that ask by HTTP only where no other does."""
        found = tuple(each for each in self.filters if each.type == EXT_AUTHZ)
        return tuple(each for each in found if "grpc_service" in each.config) or found


class Passed(NamedTuple):
    """A filter chain that passes TCP on and reads no HTTP: where it stands, its network filters, and where it leads."""

    listener: str
    chain: str
    direction: str
    filters: tuple[str, ...]
    clusters: tuple[str, ...]
    line: int


class Refused(NamedTuple):
    """A resource whose newest version Envoy refused: its name, and what Envoy said."""

    name: str
    said: str


@dataclass(frozen=True, slots=True)
class Setup:
    """A whole Envoy.

    `addresses` counts the endpoints of each cluster, where they are known; `admin` is the address of the admin
    interface. `is_sidecar` ones take what comes in for one application, and send out what it asks of others. What was
    `refused` is not in force; `strays` are values that Envoy cannot read; `runtime` has the layers of its switches;
    `listeners` are those of its Gateway, where Envoy Gateway wrote it. One that `awaits_listeners` was read from a file
    beside which a control plane sends more. What is `passed` on as TCP is no manager's. One that
    `is_running` said so itself.
    """

    source: str
    managers: tuple[Manager, ...]
    clusters: Mapping[str, Message]
    addresses: Mapping[str, int] = field(default_factory=dict)
    admin: Message = field(default_factory=dict)
    plane: Plane = Plane.FILE
    is_sidecar: bool = False
    refused: tuple[Refused, ...] = ()
    strays: tuple[Stray, ...] = ()
    runtime: Message = field(default_factory=dict)
    listeners: tuple[GatewayListener, ...] = ()
    awaits_listeners: bool = False
    passed: tuple[Passed, ...] = ()
    is_running: bool = False

    def at(self, manager: Manager, *parts: str, line: int = 0) -> Where:
        """Name a place in a connection manager."""
        chain = (f"filter chain {manager.chain}",) if manager.chain else ()
        upgrade = (f"upgrade {manager.upgrade}",) if manager.upgrade else ()
        said = " > ".join((f"listener {manager.listener}", *chain, *upgrade, *parts))
        return Where(self.source, line or line_of(manager.config), said)


def maps(value: object) -> list[Message]:
    """Give the maps of a list, and none of what is no list of maps."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, Sequence) else []


def texts(value: object) -> list[str]:
    """Give the texts of a list, and none of what is no list of texts."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        return []
    return [each for each in value if isinstance(each, str)]


def inner(message: object, *path: str) -> Message:
    """Follow fields down to a message; an empty one where there is none."""
    for step in path:
        message = message.get(step) if isinstance(message, Mapping) else None
    return message if isinstance(message, Mapping) else _NONE


def number(value: object, default: float) -> float:
    """Read a number, also one that stands in a wrapper or in a text; the default where there is none."""
    if isinstance(value, Mapping):
        # A dump leaves out what is zero.
        return number(value.get("value", 0), default)
    try:
        return float(value) if isinstance(value, int | float | str) else default
    except (ValueError, OverflowError):
        return default


def seconds(value: object) -> float | None:
    """Read a duration such as `0.5s`; None for none."""
    found = re.fullmatch(r"([0-9]{0,12}(?:\.[0-9]{0,9})?)s", value) if isinstance(value, str) else None
    return float(found[1] or 0) if found and found[1] != "." else None


def type_of(message: object) -> tuple[str, Message]:
    """Name the message in an Any, and give its fields, whether they are typed or wrapped in a TypedStruct."""
    config = inner(message)
    name = str(config.get("@type", "")).rpartition("/")[2]
    if name in _STRUCTS:
        return str(config.get("type_url", "")).rpartition("/")[2], inner(Canonical().message(config.get("value")))
    return name, config


def endpoints_of(assignment: Message) -> list[Message]:
    """Give the endpoints of a ClusterLoadAssignment."""
    return [each for locality in maps(assignment.get("endpoints")) for each in maps(locality.get("lb_endpoints"))]


def is_loopback(address: Message) -> bool:
    """Tell whether an address is on Envoy's own machine."""
    host = str(inner(address, "socket_address").get("address", ""))
    return "pipe" in address or host in {"localhost", "::1"} or host.startswith("127.")


def filter_of(entry: Message, typed: object) -> HttpFilter:
    """Read an HTTP filter from its entry in a list and its message, with the matcher that stands around it."""
    name, config = type_of(typed)
    conditional = name == _MATCHED
    matcher = inner(config, "xds_matcher") or inner(config, "matcher") if conditional else _NONE
    if conditional:
        name, config = type_of(inner(config, "extension_config").get("typed_config"))
    return HttpFilter(
        str(entry.get("name", "")),
        name,
        config,
        disabled=entry.get("disabled") is True,
        conditional=conditional,
        awaited=False,
        line=line_of(entry),
        matcher=matcher,
    )


def configs_of(each: HttpFilter, manager: Manager) -> tuple[Message, ...]:
    """Give the message of a filter, and those that routes, and the levels around them, have instead."""
    entries = [inner(level, "typed_per_filter_config").get(each.name) for level in manager.levels]
    return (each.config, *(_unwrapped(*type_of(entry)) for entry in entries if entry is not None))


def _unwrapped(name: str, config: Message) -> Message:
    return type_of(config.get("config"))[1] if name == FILTER_CONFIG else config


def routes_of(host: Message) -> list[Message]:
    """Give the routes of a virtual host, those that its `matcher` chooses among included."""
    listed = maps(host.get("routes"))
    return [*listed, *_chosen(host["matcher"])] if "matcher" in host else listed


def _chosen(matcher: object) -> Iterator[Message]:
    for name, config in messages_in(matcher):
        yield from [config] if name == _ROUTE else maps(config.get("routes")) if name == _ROUTES else []


def messages_in(value: object) -> Iterator[tuple[str, Message]]:
    """Give each map in a value once, level by level, with the name of its message where it says one.

    Envoy bounds how deep messages are; a file does not.
    """
    level, seen = [value], {id(value)}
    while level:
        yield from (type_of(each) for each in level if isinstance(each, Mapping))
        found = {id(part): part for each in level for part in _parts(each) if id(part) not in seen}
        seen.update(found)
        level = list(found.values())


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()
