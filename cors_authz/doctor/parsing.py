"""Reads an Envoy's bootstrap, or the dump of a running one, into what the rules judge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from cors_authz.doctor.canonical import CAMEL, Canonical, Stray
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.plane import GatewayListener, Plane
from cors_authz.doctor.setup import (
    EXT_AUTHZ,
    HttpFilter,
    Manager,
    Message,
    Passed,
    Refused,
    Setup,
    endpoints_of,
    filter_of,
    inner,
    maps,
    number,
    texts,
    type_of,
)

_MANAGER: Final = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TCP: Final = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_OF_GATEWAY: Final = re.compile(r"([a-z0-9.-]+)/([a-z0-9.-]+)/([a-z0-9.-]+)")
_NONE: Final[Message] = {}


class NotEnvoyError(Exception):
    """A text that is no configuration of an Envoy; the message says what was looked for."""


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
        scopes=dict(_sent_scopes(sections)),
    )
    listeners = list(_section(sections, "ListenersConfigDump", "listener"))
    known = {str(each.get("name")): each for each in clusters}
    return replace(_setup(source, listeners, known, dynamic), is_running=True)


class _Dynamic(NamedTuple):
    """What there is beside listeners and clusters: routes and filters by their name, endpoints counted, and so on."""

    tables: Mapping[str, Message] = {}
    filters: Mapping[str, Message] = {}
    addresses: Mapping[str, int] = {}
    bootstrap: Message = _NONE
    refused: tuple[Refused, ...] = ()
    strays: tuple[Stray, ...] = ()
    scopes: Mapping[str, Sequence[Message]] = {}


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
        passed=() if _is_meshed(node) else tuple(each for listener in listeners for each in _passed(listener)),
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


def _is_meshed(node: Message) -> bool:
    """Tell sidecars and waypoints of Istio from its gateways: those have a chain for TCP beside each one for HTTP."""
    return _plane(node, ()) is Plane.ISTIO and not str(node.get("id", "")).startswith("router~")


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


def _sent_scopes(sections: Mapping[str, Message]) -> Iterator[tuple[str, Sequence[Message]]]:
    """Give the scopes of routes that a control plane sent, by the name of the `scoped_routes` that they are for."""
    for group in sections.get("ScopedRoutesConfigDump", _NONE).values():
        for entry in maps(group):
            yield str(entry.get("name")), maps(entry.get("scoped_route_configs"))


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


def _static_addresses(cluster: Message) -> int | None:
    """Count the addresses that a cluster has by itself; None where names stand for them."""
    if str(cluster.get("type", "STATIC")) != "STATIC":
        return None
    return len(endpoints_of(inner(cluster, "load_assignment")))


def _managers(listener: Message, dynamic: _Dynamic) -> Iterator[Manager]:
    for chain in _chains(listener):
        for each in maps(chain.get("filters")):
            name, config = type_of(each.get("typed_config"))
            if name == _MANAGER:
                yield _manager(listener, chain, config, dynamic)


def _passed(listener: Message) -> Iterator[Passed]:
    if "internal_listener" in listener:
        return
    for chain in _chains(listener):
        read = [type_of(each.get("typed_config")) for each in maps(chain.get("filters"))]
        proxies = [config for name, config in read if name == _TCP]
        if proxies:
            where = (_listener_name(listener), _chain_name(listener, chain), str(listener.get("traffic_direction", "")))
            kinds = tuple(name for name, _ in read)
            yield Passed(*where, kinds, tuple(_clusters(proxies[-1])), line_of(chain))


def _clusters(proxy: Message) -> Iterator[str]:
    """Name where a tcp_proxy leads."""
    several = maps(inner(proxy, "weighted_clusters").get("clusters"))
    yield from (str(each[key]) for each in (proxy, *several) for key in ("cluster", "name") if key in each)


def _chains(listener: Message) -> list[Message]:
    chains = [*maps(listener.get("filter_chains")), inner(listener, "default_filter_chain")]
    return [each for each in chains if each]


def _listener_name(listener: Message) -> str:
    return str(listener.get("name") or inner(listener, "address", "socket_address").get("port_value", "?"))


def _chain_name(listener: Message, chain: Message) -> str:
    """Tell one filter chain of several from the others; "" where there is one."""
    chains = _chains(listener)
    if len(chains) == 1:
        return ""
    names = ", ".join(texts(inner(chain, "filter_chain_match").get("server_names")))
    at = next(at for at, each in enumerate(chains) if each is chain)
    return str(chain.get("name") or names or f"number {at}")


def _manager(listener: Message, chain: Message, config: Message, dynamic: _Dynamic) -> Manager:
    _, tls = type_of(inner(chain, "transport_socket").get("typed_config"))
    # Over QUIC, the context of TLS is one level further down.
    common = inner(tls, "common_tls_context") or inner(tls, "downstream_tls_context", "common_tls_context")
    verifies = any(key in common for key in common if "validation_context" in key)
    manager = Manager(
        _listener_name(listener),
        _chain_name(listener, chain),
        str(listener.get("traffic_direction", "")),
        config,
        tuple(_filter(each, dynamic) for each in maps(config.get("http_filters"))),
        tuple(_tables(config, dynamic)),
        tuple(texts(inner(chain, "filter_chain_match").get("server_names"))),
        verifies,
    )
    awaited = tuple(name for name in _named(config, dynamic) if name not in dynamic.tables)
    return replace(manager, upgrades=tuple(_upgrades(manager, dynamic)), awaited=awaited)


def _upgrades(manager: Manager, dynamic: _Dynamic) -> Iterator[Manager]:
    for each in maps(manager.config.get("upgrade_configs")):
        filters = maps(each.get("filters"))
        if filters:
            named = str(each.get("upgrade_type", ""))
            yield replace(manager, upgrade=named, filters=tuple(_filter(one, dynamic) for one in filters))


def _tables(config: Message, dynamic: _Dynamic) -> Iterator[Message]:
    if "route_config" in config:
        yield inner(config, "route_config")
    scopes = _scopes(config, dynamic)
    yield from (inner(each, "route_configuration") for each in scopes if "route_configuration" in each)
    yield from (dynamic.tables[name] for name in _named(config, dynamic) if name in dynamic.tables)


def _named(config: Message, dynamic: _Dynamic) -> list[str]:
    """Give the names of the route configurations that stand elsewhere."""
    key = "route_configuration_name"
    scoped = [str(each[key]) for each in _scopes(config, dynamic) if key in each]
    return [*scoped, str(inner(config, "rds").get("route_config_name", ""))] if "rds" in config else scoped


def _scopes(config: Message, dynamic: _Dynamic) -> Sequence[Message]:
    routes = inner(config, "scoped_routes")
    listed = inner(routes, "scoped_route_configurations_list")
    return maps(listed.get("scoped_route_configurations")) or dynamic.scopes.get(str(routes.get("name")), ())


def _in_force(entry: Message, dynamic: _Dynamic) -> object:
    """Give what a control plane sent of a filter; until it sends any, the default is in force."""
    sent = dynamic.filters.get(str(entry.get("name")), _NONE).get("typed_config")
    return sent or inner(entry, "config_discovery").get("default_config")


def _filter(entry: Message, dynamic: _Dynamic) -> HttpFilter:
    discovery = inner(entry, "config_discovery")
    read = filter_of(entry, _in_force(entry, dynamic) if discovery else entry.get("typed_config"))
    awaited = not read.type and any(each.endswith(EXT_AUTHZ) for each in texts(discovery.get("type_urls")))
    return read._replace(awaited=awaited)
