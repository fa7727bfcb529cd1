"""Which parts of a Gateway SecurityPolicies have ask a service, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cors_authz.doctor import catalogue
from cors_authz.doctor.finding import Finding
from cors_authz.doctor.setup import Message, inner, maps
from cors_authz.doctor.things import Estate, Thing

_HTTP: Final = ("HTTP", "HTTPS")
_ROUTES: Final = ("HTTPRoute", "GRPCRoute")


def ext_auth(thing: Thing) -> Message:
    """Give how a SecurityPolicy has Envoys ask a service; an empty message for none."""
    return inner(thing.spec, "extAuth") if thing.kind == "SecurityPolicy" else {}


def findings(estate: Estate) -> Iterator[Finding]:
    """Say which parts of a Gateway nobody is asked about although others are, as far as its objects are given."""
    yield from _overridden(estate)
    for gateway in estate.of("Gateway"):
        yield from _left_out(estate, gateway)


# --- a policy instead of another --------------------------------------------------------------------------------------


def _overridden(estate: Estate) -> Iterator[Finding]:
    """Look for a SecurityPolicy that takes the place of one further out, the check with it."""
    outer = [(thing, target) for thing, target in _asking(estate) if target.get("kind") == "Gateway"]
    for thing in estate.of("SecurityPolicy"):
        if ext_auth(thing) or "mergeType" in thing.spec:
            continue
        for target in _targets(thing):
            lost = next((one for one, wide in outer if _is_within(estate, (thing, target), (one, wide))), None)
            if lost:
                said = f"for {target.get('kind')} `{target.get('name', '*')}` it takes the place of `{lost.name}`"
                yield thing.found(catalogue.OVERRIDDEN, said, thing.spec)


def _targets(thing: Thing) -> list[Message]:
    """Give what a policy is for; one chosen by labels has no name."""
    spec = thing.spec
    return [*maps(spec.get("targetRefs")), *maps([spec.get("targetRef")]), *maps(spec.get("targetSelectors"))]


def _is_within(estate: Estate, policy: tuple[Thing, Message], wide: tuple[Thing, Message]) -> bool:
    """Tell whether what a policy is for is part of a Gateway; a route whose object is not given is taken to be."""
    (thing, target), (outer, gateway) = policy, wide
    name, kind = target.get("name"), target.get("kind")
    if kind == "Gateway":
        is_same = (name, thing.namespace) == (gateway.get("name"), outer.namespace)
        return is_same and "sectionName" in target and "sectionName" not in gateway
    routes = [each for each in estate.of(str(kind)) if (each.name, each.namespace) == (name, thing.namespace)]
    return all(_is_attached(each, gateway, outer.namespace) for each in routes)


def _is_attached(route: Thing, gateway: Message, namespace: str) -> bool:
    parents = maps(route.spec.get("parentRefs"))
    names = [(each.get("name"), each.get("namespace", route.namespace)) for each in parents]
    return not parents or "name" not in gateway or (gateway["name"], namespace) in names


# --- listeners that no policy is for ----------------------------------------------------------------------------------


def _left_out(estate: Estate, gateway: Thing) -> Iterator[Finding]:
    """Look for listeners beside those that policies name one by one."""
    wide = [target for thing, target in _asking(estate) if _is_for(thing, target, gateway)]
    sections = [target.get("sectionName") for target in wide]
    if not sections or None in sections:
        return
    for listener in maps(gateway.spec.get("listeners")):
        if listener.get("protocol") not in _HTTP or listener.get("name") in sections:
            continue
        said = f"no SecurityPolicy with `extAuth` is for listener `{listener.get('name')}`"
        attached = [route for route in _routes_of(estate, gateway) if _takes(route, gateway, listener)]
        unasked = [route for route in attached if _forwards(route) and not _is_asked(estate, route)]
        if unasked:
            yield gateway.found(
                catalogue.NOT_ASKED, f"{said}, and {unasked[0].kind} `{unasked[0].name}` forwards there", listener
            )
        elif not attached:
            yield gateway.found(catalogue.UNRESOLVED, f"{said}, and none of its routes is given", listener)


def _asking(estate: Estate) -> Iterator[tuple[Thing, Message]]:
    """Give the policies by which a service is asked, with each of the things that they are for."""
    return ((thing, target) for thing in filter(ext_auth, estate.things) for target in _targets(thing))


def _is_for(policy: Thing, target: Message, thing: Thing) -> bool:
    """Tell whether a policy is for an object: it names it, or chooses by labels that it has."""
    if target.get("kind") != thing.kind or policy.namespace != thing.namespace:
        return False
    wanted, labels = inner(target, "matchLabels"), inner(thing.body, "metadata", "labels")
    return target["name"] == thing.name if "name" in target else wanted.items() <= labels.items()


def _routes_of(estate: Estate, gateway: Thing) -> Iterator[Thing]:
    for route in (each for kind in _ROUTES for each in estate.of(kind)):
        if any(_names(route, parent, gateway) for parent in maps(route.spec.get("parentRefs"))):
            yield route


def _takes(route: Thing, gateway: Thing, listener: Message) -> bool:
    parents = [each for each in maps(route.spec.get("parentRefs")) if _names(route, each, gateway)]
    return any(
        each.get("sectionName", listener.get("name")) == listener.get("name")
        and each.get("port", listener.get("port")) == listener.get("port")
        for each in parents
    )


def _names(route: Thing, parent: Message, gateway: Thing) -> bool:
    return (parent.get("name"), parent.get("namespace", route.namespace)) == (gateway.name, gateway.namespace)


def _forwards(route: Thing) -> bool:
    filters = [maps(rule.get("filters")) for rule in maps(route.spec.get("rules"))]
    return not all(any("requestRedirect" in each for each in found) for found in filters)


def _is_asked(estate: Estate, route: Thing) -> bool:
    return any(_is_for(policy, target, route) for policy, target in _asking(estate))
