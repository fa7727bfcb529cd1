"""Routes and rules that match the same request: where neither is narrower, and where narrower ones leave nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from cors_authz.policy import schema
from cors_authz.policy.effective import EffectiveRule
from cors_authz.policy.effort import Effort, EffortSpentError
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding, Severity
from cors_authz.policy.language import Relation, SearchBoundError, language_of, relate, union_of, within
from cors_authz.policy.overlap import (
    MOST_ORIGIN_CROSSINGS,
    MOST_ROUTE_CROSSINGS,
    Compared,
    Order,
    OriginCrossing,
    RouteCrossing,
)
from cors_authz.policy.pattern import HostPattern, PathTemplate, Piece, Slot, piece_matcher
from cors_authz.policy.subject import EVERY_PATH, PatternAt, RouteAt, Subject


def findings(subject: Subject, order: Order) -> Iterator[Finding]:
    """Say where a policy does not tell which group, or which rule, a request belongs to."""
    yield from _too_many_crossings(subject, order)
    yield from _crossing_groups(subject, order)
    yield from _crossing_rules(subject, order)
    yield from _shadowed_groups(subject, order)


def _too_many_crossings(subject: Subject, order: Order) -> Iterator[Finding]:
    bundle = subject.estate.bundle
    for count, most, what in (
        (len(order.route_crossings), MOST_ROUTE_CROSSINGS, "routes"),
        (len(order.origin_crossings), MOST_ORIGIN_CROSSINGS, "origin patterns"),
    ):
        if count >= most:
            text = f"{most} pairs of {what} match alike, neither being narrower; write narrower ones, or fewer"
            yield Finding(bundle.place("metadata"), "CX048", text, about="metadata")
    yield from (_too_long(subject, kind) for kind in Compared if kind in order.unfinished)


def _too_long(subject: Subject, kind: Compared) -> Finding:
    text = f"the {kind.value} take too long to compare; write fewer, or such as begin or end in different text"
    return Finding(subject.estate.bundle.place("metadata"), "CX048", text, about="metadata")


# --- CX017, groups --------------------------------------------------------------------------------------------------


def _crossing_groups(subject: Subject, order: Order) -> Iterator[Finding]:
    said: set[tuple[str, str]] = set()
    by_group: dict[str, list[RouteAt]] = {}
    for route in subject.routes:
        by_group.setdefault(route.group.name, []).append(route)
    for crossing in order.route_crossings:
        first, second = crossing.first, crossing.second
        names = (first.group.name, second.group.name)
        if names in said or not _is_unclear(crossing, [*by_group[names[0]], *by_group[names[1]]]):
            continue
        said.add(names)
        yield Finding(first.group.place("match"), "CX017", _crossing_text(crossing), about=first.group.about)


def _is_unclear(crossing: RouteCrossing, routes: Iterable[RouteAt]) -> bool:
    """Tell whether nothing among the routes of both groups says which group wins."""
    first, second = crossing.first, crossing.second
    if first.group.name == second.group.name:
        return _slots(first) != _slots(second)
    return not any(_settles(route, crossing) for route in routes)


def _slots(route: RouteAt) -> tuple[object, ...]:
    return (route.host.tenant, route.host.version, route.path.tenant, route.path.version)


def _settles(route: RouteAt, crossing: RouteCrossing) -> bool:
    """Tell whether a route of one of the two groups is exactly what both match, so that it wins."""
    host, path = _overlap(crossing)
    if not host or not path:
        return False
    both = _methods_of_both(crossing)
    takes_methods = route.methods == both or (route.methods is not None and both is not None and both < route.methods)
    same_place = relate(route.host, host)[0] is Relation.EQUAL and relate(route.path, path)[0] is Relation.EQUAL
    return takes_methods and same_place and route is not crossing.first and route is not crossing.second


def _methods_of_both(crossing: RouteCrossing) -> frozenset[str] | None:
    first, second = crossing.first.methods, crossing.second.methods
    if first is None or second is None:
        return second if first is None else first
    return first & second


def _overlap(crossing: RouteCrossing) -> tuple[HostPattern | None, PathTemplate | None]:
    """Give the host and the path that both match; None where no pattern says it: neither is within the other."""
    first, second, sides = crossing.first, crossing.second, crossing.sides
    host = {Relation.WIDER: second.host, Relation.CROSSING: None}.get(sides.host, first.host)
    path = {Relation.WIDER: second.path, Relation.CROSSING: None}.get(sides.path, first.path)
    return host, path


def _crossing_text(crossing: RouteCrossing) -> str:
    first, second = crossing.first.group.name, crossing.second.group.name
    both = f"`{first}` and `{second}` both match" if first != second else f"two entries of `{first}` both match"
    return f"{both} `{crossing.host}{crossing.path}` and neither is narrower ({_sides(crossing)}); {_mend(crossing)}"


def _sides(crossing: RouteCrossing) -> str:
    sides = crossing.sides._asdict()
    first = [name for name, relation in sides.items() if relation is Relation.NARROWER]
    second = [name for name, relation in sides.items() if relation is Relation.WIDER]
    if first and second:
        return f"the one by {' and '.join(first)}, the other by {' and '.join(second)}"
    crossed = [name for name, relation in sides.items() if relation is Relation.CROSSING]
    return f"they cross by {' and '.join(crossed)}" if crossed else "they are the same"


def _mend(crossing: RouteCrossing) -> str:
    host, path = _overlap(crossing)
    same = all(side is Relation.EQUAL for side in crossing.sides)
    if host is None or path is None or same:
        return "make one of them narrower, or leave it out"
    parts = [f"hosts: [{_quoted(host.text)}]"]
    parts += [f"paths: [{_quoted(path.text)}]"] if path.text != EVERY_PATH else []
    methods = _methods_of_both(crossing)
    parts += [f"methods: [{', '.join(sorted(methods - {'HEAD'}))}]"] if methods is not None else []
    return f"add `{{{', '.join(parts)}}}` to the group that shall win"


def _quoted(text: str) -> str:
    return f'"{text}"' if set(text) & set("{}*,") else text


# --- CX017, rules -----------------------------------------------------------------------------------------------------


def _crossing_rules(subject: Subject, order: Order) -> Iterator[Finding]:
    meetings = _meetings(subject, order.origin_crossings)
    for group in subject.estate.resource_groups.values():
        for one, other in combinations(subject.rules[group.name], 2):
            origin = _origin_of_both(subject, one, other, meetings)
            if origin is not None and _admit_alike(one, other):
                text = _rules_text(one, other, origin)
                yield Finding(group.place("allow", one.index), "CX017", text, about=group.about)


def _rules_text(one: EffectiveRule, other: EffectiveRule, origin: str) -> str:
    return (
        f"`{one.name}` and `{other.name}` both match `{origin}` and neither pattern is narrower; "
        "give the shared ones a rule of their own"
    )


def _admit_alike(one: EffectiveRule, other: EffectiveRule) -> bool:
    methods = one.any_method or other.any_method or bool(one.methods & other.methods)
    versions = set(one.model.versions), set(other.model.versions)
    return methods and (not versions[0] or not versions[1] or bool(versions[0] & versions[1]))


def _meetings(subject: Subject, crossings: Iterable[OriginCrossing]) -> Mapping[frozenset[str], str]:
    """Map each pair of origin groups that share origins, no pattern being narrower, to one of these origins."""
    meetings: dict[frozenset[str], str] = {}
    for crossing in crossings:
        meetings.setdefault(frozenset({crossing.first.group.name, crossing.second.group.name}), crossing.origin)
    holders: dict[str, list[str]] = {}
    for name, patterns in subject.patterns.items():
        for origin in {at.pattern.text for at in patterns if at.pattern.is_exact}:
            holders.setdefault(origin, []).append(name)
    for origin, names in holders.items():
        for one, other in combinations(names, 2):
            meetings.setdefault(frozenset({one, other}), origin)
    return meetings


def _origin_of_both(
    subject: Subject, one: EffectiveRule, other: EffectiveRule, meetings: Mapping[frozenset[str], str]
) -> str | None:
    for first in subject.origin_groups_of(one):
        for second in subject.origin_groups_of(other):
            if first.name == second.name or (first.model.any and second.model.any):
                return _an_origin_of(subject.patterns[first.name])
            if (origin := meetings.get(frozenset({first.name, second.name}))) is not None:
                return origin
    return None


def _an_origin_of(patterns: tuple[PatternAt, ...]) -> str:
    # Groups of tenants and of everyone have no pattern here: any origin at all is shared.
    return patterns[0].pattern.text if patterns else "https://any.example"


# --- CX018 ------------------------------------------------------------------------------------------------------------


def _shadowed_groups(subject: Subject, order: Order) -> Iterator[Finding]:
    positions: dict[str, list[int]] = {}
    for position, route in enumerate(subject.routes):
        positions.setdefault(route.group.name, []).append(position)
    effort = Effort()
    try:
        for name, own in positions.items():
            shadows = [_shadows_of(subject, order, position, effort) for position in own]
            if all(shadows):
                yield _shadowed(subject, subject.estate.resource_groups[name], [s for each in shadows for s in each])
    except EffortSpentError:
        yield _too_long(subject, Compared.ROUTES)


def _shadows_of(subject: Subject, order: Order, position: int, effort: Effort) -> list[RouteAt]:
    """Give the narrower routes of other groups that together take all of a route; [] if they leave something."""
    route = subject.routes[position]
    narrower = [subject.routes[other] for other in order.narrower_routes.get(position, ())]
    others = [
        other
        for other in narrower
        if other.group.name != route.group.name
        and (other.methods is None or (route.methods is not None and route.methods <= other.methods))
        and relate(other.host, route.host, effort=effort)[0] is Relation.EQUAL
    ]
    return others if others and _take_all(route, others, effort) else []


def _take_all(route: RouteAt, others: Sequence[RouteAt], effort: Effort) -> bool:
    odd = [_with_odd_slots(segment) for segment in route.path.segments]
    if not any(_takes(other.path, odd) for other in others):
        return False
    try:
        return (
            within(language_of(route.path), union_of(language_of(other.path) for other in others), effort=effort)
            is None
        )
    except SearchBoundError:
        return False


_ODD: Final = "~!~"
"""What no route is likely to name: it spares most wide routes the search, and a wrong guess costs nothing else."""


def _with_odd_slots(segment: Piece) -> str:
    return "".join(_ODD if isinstance(part, Slot) else part for part in segment)


def _takes(path: PathTemplate, segments: Sequence[str]) -> bool:
    """Tell whether a template takes a path of just these segments."""
    fits = len(path.segments) == len(segments) or (path.rest and len(path.segments) < len(segments))
    return fits and all(piece_matcher(piece)(text) for piece, text in zip(path.segments, segments, strict=False))


def _shadowed(subject: Subject, group: Named[schema.ResourceGroup], shadows: list[RouteAt]) -> Finding:
    names = dict.fromkeys(shadow.group.name for shadow in shadows)
    lower = [name for name in names if _is_lower(subject, subject.estate.resource_groups[name], group)]
    listed = ", ".join(f"`{name}`" for name in names)
    text = f"no request reaches `{group.name}`: {listed} are narrower and take all of it; remove it or widen its match"
    if lower:
        text += f"; `{lower[0]}` has a lower class, so the routes lose the protection of {group.model.sensitivity}"
    severity = Severity.ERROR if lower else Severity.WARNING
    return Finding(group.key_place, "CX018", text, severity, group.about)


def _is_lower(subject: Subject, one: Named[schema.ResourceGroup], other: Named[schema.ResourceGroup]) -> bool:
    return subject.class_of(one).min_trust < subject.class_of(other).min_trust
