"""An Envoy's configuration as the rules read it, from its bootstrap or from the dump of a running one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from cors_authz.doctor.canonical import CAMEL, Canonical, Stray
from cors_authz.doctor.finding import Where
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.plane import GatewayListener, Plane

Message = Mapping[str, Any]
"""A message of Envoy's API, its fields in snake case."""

EXT_AUTHZ: Final = "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz"

_MANAGER: Final = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_STRUCTS: Final = frozenset({"xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"})
_MATCHED: Final = "envoy.extensions.common.matching.v3.ExtensionWithMatcher"
_OF_GATEWAY: Final = re.compile(r"([a-z0-9.-]+)/([a-z0-9.-]+)/([a-z0-9.-]+)")
_NONE: Final[Message] = {}


class NotEnvoyError(Exception):
    """A text that is no configuration of an Envoy; the message says what was looked for."""


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
    requests that upgrade, each by its type in `upgrade`, where those take filters of their own.
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

    @property
    def checks(self) -> tuple[HttpFilter, ...]:
        """Its ext_authz filters; those that ask by HTTP only where no other does."""
        found = tuple(each for each in self.filters if each.type == EXT_AUTHZ)
        return tuple(each for each in found if "grpc_service" in each.config) or found


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
    beside which a control plane sends more.
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


# --- reading ----------------------------------------------------------------------------------------------------------


def setup_of_bootstrap(source: str, bootstrap: object) -> Setup:
    """Read a bootstrap, as Envoy takes it by `--config-path`.

    Raises: NotEnvoyError.
    """
    canonical = Canonical()
    read = inner(canonical.message(bootstrap))
    static = inner(read, "static_resources")
    if not maps(static.get("listeners")):
        raise NotEnvoyError(
            f"`{source}` is no bootstrap of an Envoy with static listeners; name one, or ask a running one"
        )
    clusters = {str(each.get("name")): each for each in maps(static.get("clusters"))}
    addresses = {name: count for name, each in clusters.items() if (count := _static_addresses(each)) is not None}
    dynamic = _Dynamic(addresses=addresses, bootstrap=read, strays=tuple(canonical.strays))
    found = _setup(source, maps(static["listeners"]), clusters, dynamic)
    return replace(found, awaits_listeners="lds_config" in inner(read, "dynamic_resources"))


def setup_of_dump(source: str, dump: object) -> Setup:
    """Read what a running Envoy's admin interface says at `/config_dump?include_eds`.

    Raises: NotEnvoyError.
    """
    sections = _sections(dump)
    if "ListenersConfigDump" not in sections:
        raise NotEnvoyError(f"`{source}` holds no config_dump of an Envoy; its admin interface gives one")
    clusters = list(_section(sections, "ClustersConfigDump", "cluster"))
    tables = _section(sections, "RoutesConfigDump", "route_config")
    found = _section(sections, "EcdsConfigDump", "ecds_filter")
    dynamic = _Dynamic(
        {str(each.get("name")): each for each in tables},
        {str(each.get("name")): each for each in found},
        dict(_endpoints(sections)),
        inner(sections.get("BootstrapConfigDump"), "bootstrap"),
        tuple(_refused(sections)),
    )
    listeners = list(_section(sections, "ListenersConfigDump", "listener"))
    return _setup(source, listeners, {str(each.get("name")): each for each in clusters}, dynamic)


class _Dynamic(NamedTuple):
    """What there is beside listeners and clusters: routes and filters by their name, endpoints counted, and so on."""

    tables: Mapping[str, Message] = {}
    filters: Mapping[str, Message] = {}
    addresses: Mapping[str, int] = {}
    bootstrap: Message = _NONE
    refused: tuple[Refused, ...] = ()
    strays: tuple[Stray, ...] = ()


def _setup(source: str, listeners: Sequence[Message], clusters: Mapping[str, Message], dynamic: _Dynamic) -> Setup:
    managers = tuple(manager for listener in listeners for manager in _managers(listener, dynamic))
    if not managers and not dynamic.refused:
        raise NotEnvoyError(f"`{source}` has no HTTP connection manager: there is nothing that could be checked")
    node = inner(dynamic.bootstrap, "node")
    return Setup(
        source,
        managers,
        clusters,
        dynamic.addresses,
        inner(dynamic.bootstrap, "admin", "address"),
        _plane(node, [*listeners, *clusters.values()]),
        _is_sidecar(node, listeners),
        dynamic.refused,
        dynamic.strays,
        inner(dynamic.bootstrap, "layered_runtime"),
        tuple(_of_gateway(listeners)),
    )


def _plane(node: Message, resources: Iterable[Message]) -> Plane:
    if "ISTIO_VERSION" in inner(node, "metadata"):
        return Plane.ISTIO
    if any("envoy-gateway" in inner(each, "metadata", "filter_metadata") for each in resources):
        return Plane.ENVOY_GATEWAY
    return Plane.FILE


def _of_gateway(listeners: Iterable[Message]) -> Iterator[GatewayListener]:
    """Read what Envoy Gateway calls `namespace/gateway/listener`; of several Gateways, the first."""
    known = ""
    for each in listeners:
        found, address = _OF_GATEWAY.fullmatch(str(each.get("name", ""))), inner(each, "address", "socket_address")
        if not found or address.get("protocol") == "UDP":
            continue
        namespace, gateway, name = found.groups()
        known = known or f"{namespace}/{gateway}"
        if known == f"{namespace}/{gateway}":
            protocol = "HTTPS" if any("transport_socket" in chain for chain in _chains(each)) else "HTTP"
            yield GatewayListener(gateway, name, int(number(address.get("port_value"), 0)), protocol)


def _is_sidecar(node: Message, listeners: Iterable[Message]) -> bool:
    """By its name, as Istio gives it; else by a listener for what comes in."""
    kind, mark, _ = str(node.get("id", "")).partition("~")
    return kind == "sidecar" if mark else any(each.get("traffic_direction") == "INBOUND" for each in listeners)


def _sections(dump: object) -> Mapping[str, Message]:
    found = {type_of(each)[0].rpartition(".")[2]: each for each in maps(inner(dump).get("configs"))}
    # As tools print it that go by protobuf's own JSON.
    is_camel = any(map(CAMEL.fullmatch, found.get("ListenersConfigDump", _NONE)))
    return {name: inner(Canonical().message(each)) for name, each in found.items()} if is_camel else found


def _section(sections: Mapping[str, Message], section: str, key: str) -> Iterator[Message]:
    """Give the resources of a section of a dump: static ones, and the dynamic ones that are in force."""
    for group in sections.get(section, _NONE).values():
        for entry in maps(group):
            found = inner(entry, key) or inner(entry, "active_state", key)
            if found:
                yield found


def _refused(sections: Mapping[str, Message]) -> Iterator[Refused]:
    """Give what Envoy says that it refused; Envoy 1.40 says so of listeners alone."""
    entries = [(key, each) for section in sections.values() for key, group in section.items() for each in maps(group)]
    for key, entry in entries:
        error = inner(entry, "error_state")
        if error:
            named = [entry, inner(error, "failed_configuration"), *maps(list(entry.values()))]
            name = next((each["name"] for each in named if "name" in each), "?")
            kind = key.removeprefix("dynamic_").removeprefix("active_").removesuffix("s").replace("_", " ")
            yield Refused(f"{kind} {name}", str(error.get("details") or ""))


def _endpoints(sections: Mapping[str, Message]) -> Iterator[tuple[str, int]]:
    for found in _section(sections, "EndpointsConfigDump", "endpoint_config"):
        yield str(found.get("cluster_name")), len(endpoints_of(found))


def endpoints_of(assignment: Message) -> list[Message]:
    """Give the endpoints of a ClusterLoadAssignment."""
    return [each for locality in maps(assignment.get("endpoints")) for each in maps(locality.get("lb_endpoints"))]


def _static_addresses(cluster: Message) -> int | None:
    """Count the addresses that a cluster has by itself; None where names stand for them."""
    if str(cluster.get("type", "STATIC")) != "STATIC":
        return None
    return len(endpoints_of(inner(cluster, "load_assignment")))


def is_loopback(address: Message) -> bool:
    """Tell whether an address is on Envoy's own machine."""
    host = str(inner(address, "socket_address").get("address", ""))
    return "pipe" in address or host in {"localhost", "::1"} or host.startswith("127.")


def _managers(listener: Message, dynamic: _Dynamic) -> Iterator[Manager]:
    for chain in _chains(listener):
        for each in maps(chain.get("filters")):
            name, config = type_of(each.get("typed_config"))
            if name == _MANAGER:
                yield _manager(listener, chain, config, dynamic)


def _chains(listener: Message) -> list[Message]:
    chains = [*maps(listener.get("filter_chains")), inner(listener, "default_filter_chain")]
    return [each for each in chains if each]


def _chain_name(listener: Message, chain: Message) -> str:
    """Tell one filter chain of several from the others; "" where there is one."""
    chains = _chains(listener)
    if len(chains) == 1:
        return ""
    names = ", ".join(texts(inner(chain, "filter_chain_match").get("server_names")))
    at = next(at for at, each in enumerate(chains) if each is chain)
    return str(chain.get("name") or names or f"number {at}")


def _manager(listener: Message, chain: Message, config: Message, dynamic: _Dynamic) -> Manager:
    name = str(listener.get("name") or inner(listener, "address", "socket_address").get("port_value", "?"))
    _, tls = type_of(inner(chain, "transport_socket").get("typed_config"))
    # Over QUIC, the context of TLS is one level further down.
    common = inner(tls, "common_tls_context") or inner(tls, "downstream_tls_context", "common_tls_context")
    verifies = any(key in common for key in common if "validation_context" in key)
    manager = Manager(
        name,
        _chain_name(listener, chain),
        str(listener.get("traffic_direction", "")),
        config,
        tuple(_filter(each, dynamic) for each in maps(config.get("http_filters"))),
        tuple(_tables(config, dynamic)),
        tuple(texts(inner(chain, "filter_chain_match").get("server_names"))),
        verifies,
    )
    return replace(manager, upgrades=tuple(_upgrades(manager, dynamic)))


def _upgrades(manager: Manager, dynamic: _Dynamic) -> Iterator[Manager]:
    for each in maps(manager.config.get("upgrade_configs")):
        filters = maps(each.get("filters"))
        if filters:
            named = str(each.get("upgrade_type", ""))
            yield replace(manager, upgrade=named, filters=tuple(_filter(one, dynamic) for one in filters))


def _tables(config: Message, dynamic: _Dynamic) -> Iterator[Message]:
    if "route_config" in config:
        yield inner(config, "route_config")
    listed = inner(config, "scoped_routes", "scoped_route_configurations_list")
    scopes = maps(listed.get("scoped_route_configurations"))
    yield from (inner(each, "route_configuration") for each in scopes if "route_configuration" in each)
    named = [str(each.get("route_configuration_name")) for each in scopes]
    named.append(str(inner(config, "rds").get("route_config_name")))
    yield from (dynamic.tables[name] for name in named if name in dynamic.tables)


def _in_force(entry: Message, dynamic: _Dynamic) -> object:
    """Give what a control plane sent of a filter; until it sends any, the default is in force."""
    sent = dynamic.filters.get(str(entry.get("name")), _NONE).get("typed_config")
    return sent or inner(entry, "config_discovery").get("default_config")


def _filter(entry: Message, dynamic: _Dynamic) -> HttpFilter:
    discovery = inner(entry, "config_discovery")
    name, config = type_of(_in_force(entry, dynamic) if discovery else entry.get("typed_config"))
    conditional = name == _MATCHED
    matcher = inner(config, "xds_matcher") or inner(config, "matcher") if conditional else _NONE
    if conditional:
        name, config = type_of(inner(config, "extension_config").get("typed_config"))
    awaited = not name and any(each.endswith(EXT_AUTHZ) for each in texts(discovery.get("type_urls")))
    return HttpFilter(
        str(entry.get("name", "")),
        name,
        config,
        entry.get("disabled") is True,
        conditional,
        awaited,
        line_of(entry),
        matcher,
    )
