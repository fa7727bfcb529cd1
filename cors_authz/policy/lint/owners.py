"""Findings about teams and people: owners that do not exist, and routes that are another team's to own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from cors_authz.policy import schema
from cors_authz.policy.finding import Finding, Place
from cors_authz.policy.grammar.host import parse_host_pattern
from cors_authz.policy.grammar.path import parse_path_template
from cors_authz.policy.language import Relation, relate
from cors_authz.policy.lint.wording import unknown_name_text
from cors_authz.policy.pattern import HostPattern, PathTemplate, Problem
from cors_authz.policy.subject import EVERY_PATH, RouteAt, Subject

_MOST_ROUTES: Final = 3
_WITHIN: Final = frozenset({Relation.EQUAL, Relation.NARROWER})


def unknown_owners(subject: Subject) -> Iterator[Finding]:
    """CX046: what belongs to nobody is changed by anybody."""
    teams = subject.estate.bundle.model.teams
    for owner, place, about in _written_owners(subject) if teams else ():
        if owner not in teams:
            yield Finding(place, "CX046", unknown_name_text(owner, "team", teams), about=about)


def _written_owners(subject: Subject) -> Iterator[tuple[str, Place, str]]:
    yield from _owners_beside_resource_groups(subject)
    for group in subject.estate.resource_groups.values():
        if group.model.owner:
            yield group.model.owner, group.place("owner"), group.about
        for index, rule in enumerate(group.model.allow):
            if rule.owner:
                yield rule.owner, group.place("allow", index, "owner"), group.about


def _owners_beside_resource_groups(subject: Subject) -> Iterator[tuple[str, Place, str]]:
    for document in subject.estate.documents:
        if not isinstance(document.model, schema.TenantOverlay) and document.model.metadata.owner:
            yield document.model.metadata.owner, document.place("metadata", "owner"), "metadata"
    for origins in subject.estate.origin_groups.values():
        if origins.model.owner:
            yield origins.model.owner, origins.place("owner"), origins.about
    for guard in subject.estate.guards.values():
        if guard.model.owner:
            yield guard.model.owner, guard.place("owner"), guard.about


def unknown_members(subject: Subject) -> Iterator[Finding]:
    """CX046: who is nobody signs for no team."""
    bundle = subject.estate.bundle
    people = bundle.model.people
    for name, team in bundle.model.teams.items() if people else ():
        for index, member in enumerate(team.members):
            if member not in people:
                text = unknown_name_text(member, "person", people)
                yield Finding(bundle.place("teams", name, "members", index), "CX046", text, about=f"teams/{name}")


# --- territories ----------------------------------------------------------------------------------------------------


class _Territory(NamedTuple):
    """Hosts, and the paths on them, that a team governs."""

    host: HostPattern
    path: PathTemplate

    def holds(self, route: RouteAt) -> bool:
        return relate(route.host, self.host)[0] in _WITHIN and relate(route.path, self.path)[0] in _WITHIN


def _territory(text: str) -> _Territory | Problem:
    host_text, slash, path_text = text.partition("/")
    host = parse_host_pattern(host_text)
    path = parse_path_template(slash + path_text or EVERY_PATH)
    if isinstance(host, Problem):
        return host
    return path if isinstance(path, Problem) else _Territory(host, path)


def bad_territories(subject: Subject) -> Iterator[Finding]:
    """CX003, CX047: a territory that cannot be read governs nothing."""
    bundle = subject.estate.bundle
    for name, team in bundle.model.teams.items():
        for index, text in enumerate(team.governs):
            problem = _territory(text)
            if isinstance(problem, Problem):
                place = bundle.place("teams", name, "governs", index)
                yield Finding(place, problem.code, problem.text, about=f"teams/{name}")


def foreign_routes(subject: Subject) -> Iterator[Finding]:
    """CX031: a team that may open another team's routes can open everything."""
    territories = _territories(subject)
    for name, routes in _routes_by_group(subject).items():
        group = subject.estate.resource_groups[name]
        own = territories.get(group.owner)
        foreign = [route for route in routes if not any(each.holds(route) for each in own)] if own else []
        if foreign:
            said = dict.fromkeys(_foreign_text(route, group.owner, territories) for route in foreign[:_MOST_ROUTES])
            more = f"; and {len(foreign) - _MOST_ROUTES} more" if len(foreign) > _MOST_ROUTES else ""
            place = group.document.key_place(*group.within("match"))
            yield Finding(place, "CX031", "; ".join(said) + more, about=group.about)


def _territories(subject: Subject) -> Mapping[str, tuple[_Territory, ...]]:
    """By team. One that governs nothing readable is left out: nothing is known of where it may be."""
    read = {
        name: tuple(each for each in map(_territory, team.governs) if isinstance(each, _Territory))
        for name, team in subject.estate.bundle.model.teams.items()
    }
    return {name: territories for name, territories in read.items() if territories}


def _routes_by_group(subject: Subject) -> Mapping[str, list[RouteAt]]:
    routes: dict[str, list[RouteAt]] = {}
    for route in subject.routes:
        routes.setdefault(route.group.name, []).append(route)
    return routes


def _foreign_text(route: RouteAt, team: str, territories: Mapping[str, tuple[_Territory, ...]]) -> str:
    owner = next((name for name, held in territories.items() if any(each.holds(route) for each in held)), None)
    whose = f"its owner is `{owner}`" if owner else "no team governs it: widen `governs`, or move the route"
    return f"`{route.host.text}{route.path.text}` is not governed by team `{team}`; {whose}"


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    unknown_owners,
    unknown_members,
    bad_territories,
    foreign_routes,
)
