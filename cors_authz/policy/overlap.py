"""Which patterns of a policy can match the same request, which of those is narrower, and where neither is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import combinations, product
from typing import Final, Generic, NamedTuple, TypeVar

from cors_authz.policy.language import Relation, relate
from cors_authz.policy.pattern import HostPattern, PathTemplate, Piece, piece_matcher
from cors_authz.policy.subject import PatternAt, RouteAt, Subject

T = TypeVar("T")

MOST_ROUTE_CROSSINGS: Final = 2_000
MOST_ORIGIN_CROSSINGS: Final = 200
"""Where this many pairs cross the search ends, and the policy is refused: a few lines could keep it busy for hours."""


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


def order_of(subject: Subject) -> Order:
    """Find the order of the routes and origin patterns of a policy."""
    narrower, route_crossings = _relations_of_routes(subject.routes)
    patterns = [at for group in subject.patterns.values() for at in group if not at.pattern.is_exact]
    narrower_origins, origin_crossings = _relations_of_origins(patterns)
    origin_ranks = _ranks(len(patterns), narrower_origins)
    return Order(
        routes=_ranks(len(subject.routes), narrower),
        origins={(at.group.name, at.position): rank for at, rank in zip(patterns, origin_ranks, strict=True)},
        route_crossings=tuple(route_crossings),
        origin_crossings=tuple(origin_crossings),
        narrower_routes={wide: tuple(narrow) for wide, narrow in narrower.items()},
    )


def _ranks(count: int, narrower: Mapping[int, Iterable[int]]) -> tuple[int, ...]:
    sorter = TopologicalSorter({index: narrower.get(index, ()) for index in range(count)})
    ranks = [0] * count
    for rank, index in enumerate(sorter.static_order()):
        ranks[index] = rank
    return tuple(ranks)


# --- Routes ---------------------------------------------------------------------------------------------------------


def _relations_of_routes(routes: Sequence[RouteAt]) -> tuple[dict[int, list[int]], list[RouteCrossing]]:
    narrower: dict[int, list[int]] = {}
    crossings: list[RouteCrossing] = []
    related = _Related()
    for one, other in _route_candidates(routes):
        sides, host, path = related.sides(routes[one], routes[other])
        if sides.whole is Relation.NARROWER:
            narrower.setdefault(other, []).append(one)
        elif sides.whole is Relation.WIDER:
            narrower.setdefault(one, []).append(other)
        elif sides.whole is not Relation.DISJOINT:
            crossings.append(RouteCrossing(routes[one], routes[other], sides, host, path))
            if len(crossings) == MOST_ROUTE_CROSSINGS:
                break
    return narrower, crossings


class _Related:
    """Relates the sides of routes, each pair of texts once."""

    def __init__(self) -> None:
        self._hosts: dict[tuple[str, str], tuple[Relation, str | None]] = {}
        self._paths: dict[tuple[str, str], tuple[Relation, str | None]] = {}

    def sides(self, one: RouteAt, other: RouteAt) -> tuple[Sides, str, str]:
        host = self._remembered(self._hosts, one.host, other.host)
        path = self._remembered(self._paths, one.path, other.path)
        return Sides(host[0], path[0], _of_methods(one, other)), host[1] or "", path[1] or ""

    @staticmethod
    def _remembered(
        known: dict[tuple[str, str], tuple[Relation, str | None]],
        one: HostPattern | PathTemplate,
        other: HostPattern | PathTemplate,
    ) -> tuple[Relation, str | None]:
        key = (one.text, other.text)
        if key not in known:
            known[key] = relate(one, other)
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


def _route_candidates(routes: Sequence[RouteAt]) -> Iterator[tuple[int, int]]:
    by_host: dict[str, list[int]] = {}
    for index, route in enumerate(routes):
        by_host.setdefault(route.host.text, []).append(index)
    hosts = [_host_item(routes[of_host[0]].host) for of_host in by_host.values()]
    for of_host in by_host.values():
        yield from _candidates([_path_item(index, routes[index].path) for index in of_host])
    for one, other in _candidates(hosts):
        yield from _candidates_between(
            [_path_item(index, routes[index].path) for index in by_host[one]],
            [_path_item(index, routes[index].path) for index in by_host[other]],
        )


def _host_item(host: HostPattern) -> _Item[str]:
    return _Item(host.text, host.labels[::-1], host.wildcard)


def _path_item(index: int, path: PathTemplate) -> _Item[int]:
    return _Item(index, path.segments, path.rest)


# --- Origins --------------------------------------------------------------------------------------------------------


def _relations_of_origins(patterns: Sequence[PatternAt]) -> tuple[dict[int, list[int]], list[OriginCrossing]]:
    narrower: dict[int, list[int]] = {}
    crossings: list[OriginCrossing] = []
    for one, other in _origin_candidates(patterns):
        relation, witness = relate(patterns[one].pattern, patterns[other].pattern)
        if relation is Relation.NARROWER:
            narrower.setdefault(other, []).append(one)
        elif relation is Relation.WIDER:
            narrower.setdefault(one, []).append(other)
        elif relation is not Relation.DISJOINT:
            crossings.append(OriginCrossing(patterns[one], patterns[other], witness or patterns[one].pattern.text))
            if len(crossings) == MOST_ORIGIN_CROSSINGS:
                break
    return narrower, crossings


def _origin_candidates(patterns: Sequence[PatternAt]) -> Iterator[tuple[int, int]]:
    by_scheme: dict[str, list[_Item[int]]] = {}
    for index, at in enumerate(patterns):
        item = _Item(index, at.pattern.labels[::-1], at.pattern.wildcard)
        by_scheme.setdefault(at.pattern.scheme, []).append(item)
    for items in by_scheme.values():
        yield from _candidates(items)


# --- Pairs that may overlap -----------------------------------------------------------------------------------------


class _Item(NamedTuple, Generic[T]):
    """A value with its pieces; `open` goes on beyond them."""

    value: T
    pieces: tuple[Piece, ...]
    open: bool


class _Split(NamedTuple, Generic[T]):
    """Items by what stands at one depth: nothing more, anything, one name, or a slotted piece."""

    ended: list[_Item[T]]
    open: list[_Item[T]]
    literal: dict[str, list[_Item[T]]]
    slotted: dict[Piece, list[_Item[T]]]


def _split(items: Iterable[_Item[T]], depth: int) -> _Split[T]:
    split: _Split[T] = _Split([], [], {}, {})
    for item in items:
        if depth == len(item.pieces):
            (split.open if item.open else split.ended).append(item)
            continue
        piece = item.pieces[depth]
        if len(piece) == 1 and isinstance(piece[0], str):
            split.literal.setdefault(piece[0], []).append(item)
        else:
            split.slotted.setdefault(piece, []).append(item)
    return split


def _candidates(items: list[_Item[T]]) -> Iterator[tuple[T, T]]:
    """Give the pairs among items that may overlap: all that do, and few that do not."""
    pending = [(items, 0)]
    while pending:
        group, depth = pending.pop()
        if len(group) < 2:  # noqa: PLR2004 - a pair
            continue
        split = _split(group, depth)
        yield from _pairs(split.ended)
        yield from _pairs(split.open)
        yield from _product(split.open, [item for item in group if not _is_open_at(item, depth)])
        branches = [*split.literal.values(), *split.slotted.values()]
        pending.extend((branch, depth + 1) for branch in branches)
        for left, right in _meeting_branches(split):
            yield from _candidates_between(left, right, depth + 1)


def _candidates_between(left: list[_Item[T]], right: list[_Item[T]], depth: int = 0) -> Iterator[tuple[T, T]]:
    """Give the pairs of one item of each side that may overlap."""
    pending = [(left, right, depth)]
    while pending:
        ones, others, at = pending.pop()
        one, other = _split(ones, at), _split(others, at)
        yield from _product(one.ended, other.ended)
        yield from _product(one.open, others)
        yield from _product((item for item in ones if not _is_open_at(item, at)), other.open)
        pending.extend((a, b, at + 1) for a, b in _meeting(one, other))


def _is_open_at(item: _Item[T], depth: int) -> bool:
    return item.open and depth == len(item.pieces)


def _pairs(items: Sequence[_Item[T]]) -> Iterator[tuple[T, T]]:
    for one, other in combinations(items, 2):
        yield one.value, other.value


def _product(ones: Iterable[_Item[T]], others: Iterable[_Item[T]]) -> Iterator[tuple[T, T]]:
    for one, other in product(ones, others):
        yield one.value, other.value


def _meeting_branches(split: _Split[T]) -> Iterator[tuple[list[_Item[T]], list[_Item[T]]]]:
    """Give the branches of one split that may meet: two slotted pieces, or a slotted piece and a name that fits it."""
    for (_, one), (_, other) in combinations(split.slotted.items(), 2):
        yield one, other
    yield from _slotted_and_literal(split.slotted, split.literal)


def _slotted_and_literal(
    slotted: Mapping[Piece, list[_Item[T]]], literal: Mapping[str, list[_Item[T]]]
) -> Iterator[tuple[list[_Item[T]], list[_Item[T]]]]:
    for piece, items in slotted.items():
        fits = piece_matcher(piece)
        for name, named in literal.items():
            if fits(name):
                yield items, named


def _meeting(one: _Split[T], other: _Split[T]) -> Iterator[tuple[list[_Item[T]], list[_Item[T]]]]:
    """Give the branches of two splits that may meet."""
    for name, named in one.literal.items():
        if name in other.literal:
            yield named, other.literal[name]
    yield from product(one.slotted.values(), other.slotted.values())
    yield from _slotted_and_literal(one.slotted, other.literal)
    for items, named in _slotted_and_literal(other.slotted, one.literal):
        yield named, items
