"""Hosts: those that Envoy routes, those that the policy governs, and those that clients ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from cors_authz.doctor import catalogue, scope
from cors_authz.doctor.finding import Finding, Where
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.setup import Manager, Setup, maps, texts
from cors_authz.fetch.origin import split_port
from cors_authz.policy.compiled import CompiledPolicy, RouteTable

_ANY: Final = "*"


class RoutedHost(NamedTuple):
    """A host that is routed: an exact one, `*.suffix`, `prefix.*` or `*`; and where it says so."""

    name: str
    where: Where


class Asking(NamedTuple):
    """A host that clients asked for, how often, and the file that says so."""

    host: str
    times: int
    source: str


class Governed:
    """The hosts that a policy governs in one environment.

    Args:
        policy: it answers for hosts with its groups.
        patterns: the hosts of the policy as it writes them, each with where it does.
    """

    def __init__(self, policy: CompiledPolicy, patterns: Iterable[tuple[str, Where]]) -> None:
        self._routes: RouteTable = policy.routes
        self.patterns = tuple(dict(patterns).items())

    def has(self, host: str) -> bool:
        """Tell whether a group lists a host, on any port; with `*` in it, whether one lists any host that fits."""
        name = split_port(host.lower())[0].rstrip(".")
        if _ANY in name:
            return any(_overlap(name, pattern) for pattern, _ in self.patterns)
        return bool(self._routes.exact.get(name) or self._routes.patterns.find(name.split(".")[::-1]))


def routed(setup: Setup) -> Iterator[RoutedHost]:
    """Give the hosts that clients may ask an Envoy for, checked or not yet: domains, and the names of TLS (SNI)."""
    for manager in scope.judged(setup):
        yield from _domains(setup, manager)
        for name in manager.server_names:
            yield RoutedHost(name.lower(), setup.at(manager, f"server name {name}"))


def _domains(setup: Setup, manager: Manager) -> Iterator[RoutedHost]:
    for table in manager.tables:
        for host in maps(table.get("virtual_hosts")):
            where = setup.at(manager, f"virtual host {host.get('name', '')}", line=line_of(host))
            yield from (RoutedHost(domain.lower(), where) for domain in texts(host.get("domains")))


def findings(hosts: Iterable[RoutedHost], governed: Governed) -> Iterator[Finding]:
    """Say which hosts are routed and not governed, or governed and not routed."""
    seen = {split_port(each.name)[0]: each.where for each in hosts}
    for name, where in seen.items():
        # Behind `*` stands whatever clients ask for: their records tell, not the configuration. So it is below a
        # wildcard of which the policy lists some hosts.
        if name != _ANY and not governed.has(name):
            yield Finding(catalogue.UNGOVERNED, where, f"`{name}`")
    for pattern, where in governed.patterns:
        if seen and not any(_overlap(name, pattern) for name in seen):
            yield Finding(catalogue.UNROUTED, where, f"`{pattern}`")


def asked_findings(asked: Iterable[Asking], governed: Governed) -> Iterator[Finding]:
    """Say which hosts clients ask for that no group lists."""
    for each in asked:
        if not governed.has(each.host):
            times = f"asked for {each.times} times" if each.times > 1 else "asked for once"
            yield Finding(catalogue.ASKED_UNGOVERNED, Where(each.source, 0, "requests"), f"`{each.host}`, {times}")


def _overlap(domain: str, pattern: str) -> bool:
    """Tell whether a domain of Envoy and a host pattern of the policy may name one host.

    Text around the first and the last wildcard is compared, so that a pattern with slots is never said to be unrouted
    where it may be routed.
    """
    one, other = _ends(split_port(domain)[0]), _ends(split_port(pattern.lower())[0])
    begins = one[0].startswith(other[0]) or other[0].startswith(one[0])
    ends = one[1].endswith(other[1]) or other[1].endswith(one[1])
    return begins and ends and (any(one[2:]) or any(other[2:]) or one == other)


def _ends(name: str) -> tuple[str, str, bool]:
    """Give the text in front of the first wildcard or slot, that behind the last, and whether there is one."""
    begin = min((at for mark in "*{" if (at := name.find(mark)) >= 0), default=len(name))
    end = max(name.rfind("*"), name.rfind("}"))
    return name[:begin], name[end + 1 :], end >= 0
