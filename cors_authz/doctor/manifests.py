"""Rendered Kubernetes objects of Istio and Envoy Gateway: what can be told before a control plane translates them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cors_authz.doctor import catalogue, gateway_objects, istio_objects
from cors_authz.doctor.attached import ext_auth
from cors_authz.doctor.finding import Finding
from cors_authz.doctor.hosts import RoutedHost
from cors_authz.doctor.istio_objects import custom, mesh_of
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.setup import Message, inner, maps, messages_in, texts
from cors_authz.doctor.things import Estate, Thing
from cors_authz.envoy.bootstrap import CORS_RESPONSE_HEADERS


def things_in(source: str, parsed: Iterable[Any]) -> Iterator[Thing]:
    """Give the objects of a file's documents; those of a List one by one."""
    for document in parsed:
        body = inner(document)
        items = maps(body.get("items")) if body.get("kind") == "List" else [body]
        yield from (Thing(source, each) for each in items if "kind" in each)


def judges(things: Iterable[Thing]) -> bool:
    """Tell whether there is any object here by which Envoys come to ask a service."""
    return any(custom(thing) or ext_auth(thing) or mesh_of(thing) for thing in things)


def findings(things: Sequence[Thing], reads: Reads) -> Iterator[Finding]:
    """Say what is wrong with the objects."""
    estate = Estate(things, reads)
    yield from istio_objects.findings(estate)
    yield from gateway_objects.findings(estate)
    yield from _strips(estate)


def routed(things: Iterable[Thing]) -> Iterator[RoutedHost]:
    """Give the hosts that routes and gateways name."""
    for thing in things:
        for name in _hosts_of(thing):
            # Istio writes `namespace/host`.
            yield RoutedHost(name.rpartition("/")[2].lower(), thing.found(catalogue.UNGOVERNED, "").where)


def _hosts_of(thing: Thing) -> Iterator[str]:
    spec = thing.spec
    if thing.kind in {"HTTPRoute", "GRPCRoute", "TLSRoute"}:
        yield from texts(spec.get("hostnames"))
    elif thing.kind == "VirtualService":
        yield from texts(spec.get("hosts"))
    elif thing.kind == "Gateway":
        yield from (host for server in maps(spec.get("servers")) for host in texts(server.get("hosts")))
        yield from (str(each["hostname"]) for each in maps(spec.get("listeners")) if "hostname" in each)


def _strips(estate: Estate) -> Iterator[Finding]:
    """Look for a part of any object that takes the upstream's headers off; which routes it serves is not judged."""
    removed = {text for thing in estate.things for text in _removed(thing.body)}
    lacking = [name for name in CORS_RESPONSE_HEADERS if name not in removed]
    for thing in estate.things:
        if lacking and (custom(thing) or ext_auth(thing)):
            said = ", ".join(f"`{name}`" for name in lacking)
            yield thing.found(catalogue.NO_STRIP, f"no object here removes {said} from answers")


def _removed(value: Any) -> Iterator[str]:  # noqa: ANN401 -- YAML
    """Give the headers that any `remove` in a value names, in the ways of Envoy, Istio and the Gateway API."""
    return (text.lower() for _, each in messages_in(value) for named in _removals(each) for text in named)


def _removals(each: Message) -> Iterator[list[str]]:
    for key in ("remove", "response_headers_to_remove"):
        value = each.get(key)
        yield [value] if isinstance(value, str) else texts(value)
    # A JSON patch, as EnvoyPatchPolicy has it.
    if str(each.get("path", "")).endswith("/response_headers_to_remove"):
        yield texts(each.get("value"))
