"""Which patterns of a policy can match the same request, which of those is narrower, and where neither is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from graphlib import TopologicalSorter
from typing import Final, Generic, NamedTuple, TypeVar

from cors_authz.policy.candidates import Candidates, Item
from cors_authz.policy.effort import Effort, EffortSpentError
from cors_authz.policy.language import Relation, relate
from cors_authz.policy.pattern import HostPattern, PathTemplate
from cors_authz.policy.subject import PatternAt, RouteAt, Subject

C = TypeVar("C")

MOST_ROUTE_CROSSINGS: Final = 2_000
MOST_ORIGIN_CROSSINGS: Final = 200
"""Where this many pairs cross the search ends, and the policy is refused: a few lines could keep it busy for hours."""


@unique
class Compared(Enum):
    """What is compared with its like."""

    ROUTES = "routes"
    ORIGIN_PATTERNS = "origin patterns"


class Sides(NamedTuple):
    """How two routes relate by host, by path and by methods."""

    host: Relation
    path: Relation
    methods: Relation

    @property
    def whole(self) -> Relation:
        """How they relate as a whole: narrower only if narrower or equal on every side."""
        sides = set(self)
        if Relation.DISJOINT in sides:
            return Relation.DISJOINT
        different = sides - {Relation.EQUAL}
        if not different:
            return Relation.EQUAL
        return different.pop() if len(different) == 1 else Relation.CROSSING


class RouteCrossing(NamedTuple):
    """Two routes of which neither is narrower, with a host and a path that both match."""

    first: RouteAt
    second: RouteAt
    sides: Sides
    host: str
    path: str


class OriginCrossing(NamedTuple):
    """Two origin patterns of which neither is narrower, with an origin that both match."""

    first: PatternAt
    second: PatternAt
    origin: str


@dataclass(frozen=True, slots=True)
class Order:
    """The order of a policy's patterns: lower ranks are narrower wherever two match the same request."""

    routes: tuple[int, ...]
    """Ranks in the order of `Subject.routes`."""
    origins: Mapping[tuple[str, int], int]
    """Ranks by origin group and position, of patterns that are not exact."""
    route_crossings: tuple[RouteCrossing, ...]
    origin_crossings: tuple[OriginCrossing, ...]
    narrower_routes: Mapping[int, tuple[int, ...]]
    """By the position of a route, the positions of the routes that are narrower than it."""
    unfinished: frozenset[Compared] = frozenset()
    """What was not compared to the end; such a policy is refused."""


def order_of(subject: Subject) -> Order:
    """Find the order of the routes and origin patterns of a policy."""
    patterns = [at for group in subject.patterns.values() for at in group if not at.pattern.is_exact]
    of_routes, of_origins = _relations_of_routes(subject.routes), _relations_of_origins(patterns)
    origin_ranks = _ranks(len(patterns), of_origins.narrower)
    finished = {Compared.ROUTES: of_routes.finished, Compared.ORIGIN_PATTERNS: of_origins.finished}
    return Order(
        routes=_ranks(len(subject.routes), of_routes.narrower),
        origins={(at.group.name, at.position): rank for at, rank in zip(patterns, origin_ranks, strict=True)},
        route_crossings=tuple(of_routes.crossings),
        origin_crossings=tuple(of_origins.crossings),
        narrower_routes={wide: tuple(narrow) for wide, narrow in of_routes.narrower.items()},
        unfinished=frozenset(kind for kind, is_finished in finished.items() if not is_finished),
    )


def _ranks(count: int, narrower: Mapping[int, Iterable[int]]) -> tuple[int, ...]:
    sorter = TopologicalSorter({index: narrower.get(index, ()) for index in range(count)})
    ranks = [0] * count
    for rank, index in enumerate(sorter.static_order()):
        ranks[index] = rank
    return tuple(ranks)


class _Relations(Generic[C]):
    """What is found out of pairs: by position, the narrower positions; and the pairs that cross."""

    def __init__(self, most_crossings: int) -> None:
        self.narrower: dict[int, list[int]] = {}
        self.crossings: list[C] = []
        self.finished = True
        self._most_crossings = most_crossings

    def find(self, pairs: Iterable[tuple[int, int]], compare: Callable[[int, int], tuple[Relation, C | None]]) -> None:
        """Compare pairs, up to the bounds of crossings and of effort."""
        try:
            for one, other in pairs:
                self._note(one, other, *compare(one, other))
                if len(self.crossings) == self._most_crossings:
                    break
        except EffortSpentError:
            self.finished = False

    def _note(self, one: int, other: int, relation: Relation, crossing: C | None) -> None:
        if relation is Relation.NARROWER:
            self.narrower.setdefault(other, []).append(one)
        elif relation is Relation.WIDER:
            self.narrower.setdefault(one, []).append(other)
        elif crossing is not None:
            self.crossings.append(crossing)


# --- Routes ---------------------------------------------------------------------------------------------------------


def _relations_of_routes(routes: Sequence[RouteAt]) -> _Relations[RouteCrossing]:
    effort = Effort()
    related = _Related(effort)

    def compare(one: int, other: int) -> tuple[Relation, RouteCrossing | None]:
        sides, host, path = related.sides(routes[one], routes[other])
        whole = sides.whole
        crosses = whole is Relation.EQUAL or whole is Relation.CROSSING
        return whole, RouteCrossing(routes[one], routes[other], sides, host, path) if crosses else None

    relations: _Relations[RouteCrossing] = _Relations(MOST_ROUTE_CROSSINGS)
    relations.find(_route_candidates(routes, effort), compare)
    return relations


class _Related:
    """Relates the sides of routes, each pair of texts once."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._hosts: dict[tuple[str, str], tuple[Relation, str | None]] = {}
        self._paths: dict[tuple[str, str], tuple[Relation, str | None]] = {}

    def sides(self, one: RouteAt, other: RouteAt) -> tuple[Sides, str, str]:
        host = self._remembered(self._hosts, one.host, other.host)
        path = self._remembered(self._paths, one.path, other.path)
        return Sides(host[0], path[0], _of_methods(one, other)), host[1] or "", path[1] or ""

    def _remembered(
        self,
        known: dict[tuple[str, str], tuple[Relation, str | None]],
        one: HostPattern | PathTemplate,
        other: HostPattern | PathTemplate,
    ) -> tuple[Relation, str | None]:
        key = (one.text, other.text)
        if key not in known:
            known[key] = relate(one, other, effort=self._effort)
        return known[key]


def _of_methods(one: RouteAt, other: RouteAt) -> Relation:
    if one.methods == other.methods:
        return Relation.EQUAL
    if other.methods is None:
        return Relation.NARROWER
    if one.methods is None:
        return Relation.WIDER
    if one.methods.isdisjoint(other.methods):
        return Relation.DISJOINT
    if one.methods < other.methods:
        return Relation.NARROWER
    return Relation.WIDER if one.methods > other.methods else Relation.CROSSING


def _route_candidates(routes: Sequence[RouteAt], effort: Effort) -> Iterator[tuple[int, int]]:
    by_host: dict[str, list[int]] = {}
    for index, route in enumerate(routes):
        by_host.setdefault(route.host.text, []).append(index)
    hosts = [_host_item(routes[of_host[0]].host) for of_host in by_host.values()]
    of_paths: Candidates[int] = Candidates(effort)
    for of_host in by_host.values():
        yield from of_paths.among([_path_item(index, routes[index].path) for index in of_host])
    of_hosts: Candidates[str] = Candidates(effort)
    for one, other in of_hosts.among(hosts):
        yield from of_paths.between(
            [_path_item(index, routes[index].path) for index in by_host[one]],
            [_path_item(index, routes[index].path) for index in by_host[other]],
        )


def _host_item(host: HostPattern) -> Item[str]:
    return Item(host.text, host.labels[::-1], host.wildcard)


def _path_item(index: int, path: PathTemplate) -> Item[int]:
    return Item(index, path.segments, path.rest)


# --- Origins --------------------------------------------------------------------------------------------------------


def _relations_of_origins(patterns: Sequence[PatternAt]) -> _Relations[OriginCrossing]:
    effort = Effort()

    def compare(one: int, other: int) -> tuple[Relation, OriginCrossing | None]:
        left, right = patterns[one], patterns[other]
        relation, witness = relate(left.pattern, right.pattern, effort=effort)
        crosses = relation is Relation.EQUAL or relation is Relation.CROSSING
        return relation, OriginCrossing(left, right, witness or left.pattern.text) if crosses else None

    relations: _Relations[OriginCrossing] = _Relations(MOST_ORIGIN_CROSSINGS)
    relations.find(_origin_candidates(patterns, effort), compare)
    return relations


def _origin_candidates(patterns: Sequence[PatternAt], effort: Effort) -> Iterator[tuple[int, int]]:
    by_scheme: dict[str, list[Item[int]]] = {}
    for index, at in enumerate(patterns):
        item = Item(index, at.pattern.labels[::-1], at.pattern.wildcard)
        by_scheme.setdefault(at.pattern.scheme, []).append(item)
    candidates: Candidates[int] = Candidates(effort)
    for items in by_scheme.values():
        yield from candidates.among(items)
