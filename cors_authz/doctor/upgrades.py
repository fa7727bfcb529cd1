"""Requests that upgrade, such as WebSockets, where they take filters of their own instead of `http_filters`."""

from __future__ import annotations

from collections.abc import Iterator

from cors_authz.doctor import catalogue, routes
from cors_authz.doctor.finding import Finding
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.setup import Manager, Message, Setup, inner, maps, routes_of


def taken(manager: Manager) -> tuple[Manager, ...]:
    """Give what a connection manager is to each upgrade that it, or one of its routes, takes."""
    return tuple(each for each in manager.upgrades if _is_taken(each))


def findings(setup: Setup, manager: Manager) -> Iterator[Finding]:
    """Say which upgrades take routes that nobody is asked about."""
    for each in taken(manager):
        if each.checks:
            yield from routes.coverage(setup, each)
            continue
        where = setup.at(each, line=line_of(_entry(manager.config, each.upgrade)))
        yield Finding(catalogue.UPGRADE, where, f"`upgrade_type: {each.upgrade}` has `filters` without ext_authz")


def _is_taken(manager: Manager) -> bool:
    """A route that says so takes an upgrade that the connection manager does not."""
    if _is_on(_entry(manager.config, manager.upgrade)):
        return True
    hosts = (host for table in manager.tables for host in maps(table.get("virtual_hosts")))
    named = (_entry(inner(route, "route"), manager.upgrade) for host in hosts for route in routes_of(host))
    return any(entry and _is_on(entry) for entry in named)


def _entry(message: Message, upgrade: str) -> Message:
    entries = maps(message.get("upgrade_configs"))
    return next((each for each in entries if str(each.get("upgrade_type", "")).lower() == upgrade.lower()), {})


def _is_on(entry: Message) -> bool:
    return entry.get("enabled") not in (False, {"value": False})
