"""Ways around a condition: other spellings of a host or a path for the same route, and headers that clients choose.

Measured on Envoy 1.40: routes take a host in any case and, where they leave ports out, with any port, an empty one or a
text in its place; `strip_any_host_port` takes ports of digits away, and an empty one stays; `:path` has the query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Final, NamedTuple

from cors_authz.doctor import catalogue
from cors_authz.doctor.condition import (
    AUTHORITY,
    PATH,
    Answer,
    Compared,
    Condition,
    Request,
    holds,
    leaves,
    wanted,
)
from cors_authz.doctor.finding import Rule
from cors_authz.doctor.setup import Message, maps, routes_of, texts

_MAX_SHOWN: Final = 3
_MAX_COMPARED: Final = 500
"""Of the texts of a condition, and of the hosts of a gateway, which may have thousands."""

_MAX_ENDS: Final = 5
_ANY_HOST: Final = "x.example"

_RANK: Final[Mapping[Answer, int]] = {False: 0, None: 1, True: 2}
_PORT: Final = re.compile(r":[^:\]]*$")
_NUMBER: Final = re.compile(r":[0-9]+$")
_DOT: Final = re.compile(r"\.(?=:[^:]*$|$)")
_OF_THE_PROXY: Final = (":", "x-envoy-", "x-forwarded-")
"""Headers that Envoy takes from clients only where it is told to (DR065), and pseudo-headers, which are no spelling."""


class Routing:
    """Which virtual host a request takes.

    Args:
        tables: route configurations; none where they are not known, and then a host is one whatever its port and case.
        manager: the connection manager, which may cut hosts before anyone reads them.
    """

    def __init__(self, tables: Iterable[Message] = (), manager: Message | None = None) -> None:
        self._tables = tuple(map(_Table.of, tables))
        self._manager = manager or {}
        self.hosts = tuple(dict.fromkeys(name for table in self._tables for name in table.names)) or (_ANY_HOST,)

    def seen(self, authority: str) -> str:
        """Give an authority as filters see it."""
        cut = _DOT.sub("", authority) if self._manager.get("strip_trailing_host_dot") is True else authority
        return _NUMBER.sub("", cut) if self._manager.get("strip_any_host_port") is True else cut

    def is_same(self, one: str, other: str) -> bool:
        """Tell whether two authorities, as filters see them, may take the same route."""
        if not self._tables:
            return _PORT.sub("", one).lower() == _PORT.sub("", other).lower()
        taken = [(table.host(one), table.host(other)) for table in self._tables]
        return any(first >= 0 and first == second for first, second in taken)


class _Table(NamedTuple):
    """The virtual hosts of a route configuration that forward requests: their places by their domains."""

    domains: Mapping[str, int]
    wildcards: tuple[str, ...]
    ignores_port: bool

    @classmethod
    def of(cls, table: Message) -> _Table:
        hosts = enumerate(maps(table.get("virtual_hosts")))
        domains = {
            name.lower(): at if _forwards(host) else -1 for at, host in hosts for name in texts(host.get("domains"))
        }
        suffixes = sorted((name for name in domains if name[:1] == "*" != name), key=len, reverse=True)
        prefixes = sorted((name for name in domains if name[-1:] == "*" != name), key=len, reverse=True)
        return cls(domains, (*suffixes, *prefixes), table.get("ignore_port_in_host_matching") is True)

    @property
    def names(self) -> Iterator[str]:
        """Give a host of each domain."""
        yield from (name.replace("*", "x") for name in self.domains)

    def host(self, authority: str) -> int:
        """Give the place of the virtual host that takes an authority; -1 where none forwards it."""
        name = (_PORT.sub("", authority) if self.ignores_port else authority).lower()
        if name in self.domains:
            return self.domains[name]
        found = next((each for each in self.wildcards if _is_below(name, each)), "*")
        return self.domains.get(found, -1)


def _is_below(name: str, wildcard: str) -> bool:
    fits = name.endswith(wildcard[1:]) if wildcard[0] == "*" else name.startswith(wildcard[:-1])
    return fits and len(name) >= len(wildcard)


def _forwards(host: Message) -> bool:
    return "matcher" in host or any("route" in route for route in routes_of(host))


def object_to(condition: Condition, routing: Routing, said: str) -> tuple[Rule, str]:
    """Say that a condition lets some requests pass unasked, or all, and whether clients decide which.

    Args:
        condition: under which the service is asked.
        routing: what takes the requests.
        said: what makes the condition.
    """
    if holds(condition, {}) is False:
        return catalogue.NOT_ASKED, f"{said} that never holds"
    if ways := around(condition, routing):
        return catalogue.GONE_AROUND, f"{said}; unasked: {ways}"
    return catalogue.SOMETIMES, said


def around(condition: Condition, routing: Routing) -> str:
    """Name what a client may write so that a request for the same is not asked about; "" where nothing is known."""
    found = chain(_by_host(condition, routing), _by_path(condition), _by_header(condition))
    return ", ".join(islice(_once(found), _MAX_SHOWN))


def _once(found: Iterable[str]) -> Iterator[str]:
    told: set[str] = set()
    for each in found:
        if each not in told:
            yield each
        told.add(each)


def _by_host(condition: Condition, routing: Routing) -> Iterator[str]:
    compared = _compared(condition, AUTHORITY)
    if not compared:
        return
    ends = _ends(compared)
    for base in dict.fromkeys((*map(_host_for, compared), *routing.hosts[:_MAX_COMPARED])):
        one, name = routing.seen(base), _PORT.sub("", base)
        # As it is written, not as it is seen: a condition on a port that is cut never holds.
        asked = holds(condition, {AUTHORITY: base})
        others = (name, f"{name}:1", f"{name}:", name.upper(), f"{name}.", *(f"{name}:{end}" for end in ends))
        for other in others if asked is not False else ():
            two = routing.seen(other)
            if routing.is_same(one, two) and _is_less(holds(condition, {AUTHORITY: two}), asked):
                yield f"`Host: {other}`"


def _by_path(condition: Condition) -> Iterator[str]:
    compared = _compared(condition, PATH)
    for base in dict.fromkeys((*map(_path_for, compared), "/x")):
        mark = "&" if "?" in base else "?"
        for other in (f"{base}{mark}x", *(base + mark + end for end in _ends(compared))):
            if _is_less(holds(condition, {PATH: other}), holds(condition, {PATH: base})):
                yield f"`{other}`"


def _by_header(condition: Condition) -> Iterator[str]:
    names = {leaf.header for leaf in leaves(condition) if not leaf.header.startswith(_OF_THE_PROXY)}
    for name in sorted(names):
        values = [text for _, text in _compared(condition, name)]
        requests: list[Request] = [{}, {name: None}, *({name: value} for value in values)]
        if len({holds(condition, each) for each in requests}) > 1:
            yield f"requests with any `{name}` or none"


def _compared(condition: Condition, header: str) -> list[tuple[str, str]]:
    found = [each for each in leaves(condition) if isinstance(each, Compared) and each.header == header]
    return list(dict.fromkeys(wanted(each.matcher) for each in found))[:_MAX_COMPARED]


def _ends(compared: Iterable[tuple[str, str]]) -> list[str]:
    """Give texts by which what stands behind a host or a path may be taken for it."""
    return [text for how, text in compared if how in {"suffix", "contains"}][:_MAX_ENDS]


def _host_for(compared: tuple[str, str]) -> str:
    how, text = compared
    return {"exact": text, "prefix": f"{text}x", "suffix": f"x{text}"}.get(how, f"x{text}x")


def _path_for(compared: tuple[str, str]) -> str:
    how, text = compared
    return {"exact": text, "prefix": f"{text}x", "suffix": f"/x{text}"}.get(how, f"/x{text}x")


def _is_less(one: Answer, other: Answer) -> bool:
    return _RANK[one] < _RANK[other]
