"""Findings about API versions: versions that no request can name, and versions without a decent end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from cors_authz.policy import schema
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding, Severity
from cors_authz.policy.lint.wording import unknown_name_text
from cors_authz.policy.subject import EVERY_PATH, RouteAt, Subject

Groups = Iterator[tuple[Named[schema.ResourceGroup], tuple[RouteAt, ...]]]


def _versioned(subject: Subject) -> Groups:
    """Give the groups that have versions, and routes in this environment."""
    routes: dict[str, list[RouteAt]] = {}
    for route in subject.routes:
        routes.setdefault(route.group.name, []).append(route)
    for group in subject.estate.resource_groups.values():
        if group.model.versions and group.name in routes:
            yield group, tuple(routes[group.name])


def _has_slot(route: RouteAt) -> bool:
    return bool(route.host.version or route.path.version)


def versions_without_a_place(subject: Subject) -> Iterator[Finding]:
    """CX047: where no request names a version, none is served, and none is retired."""
    for group, routes in _versioned(subject):
        if group.model.version_from is None and not any(map(_has_slot, routes)):
            text = "`versions`, but no `{version}` slot in match and no `versionFrom`; write paths: "
            yield Finding(group.place("versions"), "CX047", f'{text}["{_with_slot(routes[0])}"]', about=group.about)


def _with_slot(route: RouteAt) -> str:
    """Write the first path of a route's entry as the policy does, with the slot in front.

    A leading `*` is where the version stood all along, so the slot takes its place.
    """
    paths = route.group.model.match[route.entry].paths or (EVERY_PATH,)
    return "/{version}" + re.sub(r"^/\*(?=/|$)", "", paths[0]).removesuffix("/")


def routes_without_a_version(subject: Subject) -> Iterator[Finding]:
    """CX047: on such a route every request names no version, and is refused."""
    for group, routes in _versioned(subject):
        if group.model.version_from is not None or not any(map(_has_slot, routes)):
            continue
        for route in routes:
            if not _has_slot(route):
                text = (
                    f"`{route.host.text}{route.path.text}` has no `{{version}}` slot, and other routes of"
                    f" `{group.name}` have one; add it, or say versionFrom"
                )
                yield Finding(route.place, "CX047", text, about=group.about)


def two_places_of_a_version(subject: Subject) -> Iterator[Finding]:
    """CX047: the slot is what counts, so what `versionFrom` promises would never happen."""
    for group, routes in _versioned(subject):
        if group.model.version_from is not None and all(map(_has_slot, routes)):
            text = "`versionFrom`, but every route has a `{version}` slot, which counts alone; leave one of the two out"
            yield Finding(group.place("versionFrom"), "CX047", text, about=group.about)


def unknown_default_versions(subject: Subject) -> Iterator[Finding]:
    """CX046: every request that names no version would be answered 404."""
    for group in subject.estate.resource_groups.values():
        source = group.model.version_from
        if source and source.default and source.default not in group.model.versions:
            text = unknown_name_text(source.default, f"version of `{group.name}`", group.model.versions)
            yield Finding(group.place("versionFrom", "default"), "CX046", text, about=group.about)


def deprecations_without_an_end(subject: Subject) -> Iterator[Finding]:
    """CX044: nobody leaves a version that has no last day.

    Spec: https://www.rfc-editor.org/rfc/rfc9745#section-4.
    """
    for group, name, version in _each_version(subject):
        if version.deprecated and not version.sunset:
            text = f"version `{name}` is deprecated and has no `sunset`; say its last day and its successor"
            place = group.place("versions", name, "deprecated")
            yield Finding(place, "CX044", text, Severity.WARNING, group.about)


def sunsets_before_deprecation(subject: Subject) -> Iterator[Finding]:
    """CX044: clients would be refused before anybody told them.

    Spec: https://www.rfc-editor.org/rfc/rfc9745#section-4.
    """
    for group, name, version in _each_version(subject):
        if version.deprecated and version.sunset and version.sunset <= version.deprecated:
            text = f"version `{name}` is refused from `sunset` on, and `deprecated` is not before it; swap or mend them"
            yield Finding(group.place("versions", name, "sunset"), "CX044", text, about=group.about)


def bad_successors(subject: Subject) -> Iterator[Finding]:
    """CX044: the link that answers carry would lead clients to nothing, or to what ends first.

    Spec: https://www.rfc-editor.org/rfc/rfc5829#section-3.4.
    """
    for group, name, version in _each_version(subject):
        said = _objection_to_successor(group, name, version)
        if said:
            yield Finding(group.place("versions", name, "successor"), "CX044", said, about=group.about)


def _objection_to_successor(group: Named[schema.ResourceGroup], name: str, version: schema.VersionData) -> str | None:
    versions: Mapping[str, schema.VersionData] = group.model.versions
    successor = version.successor
    if successor is None:
        return None
    if successor not in versions:
        others = [other for other in versions if other != name]
        return unknown_name_text(successor, f"version of `{group.name}`", others)
    if successor == name:
        return f"version `{name}` is its own successor; name a version that stays"
    end = versions[successor].sunset
    if version.sunset and end and end <= version.sunset:
        return f"version `{successor}`, the successor of `{name}`, does not outlive it; name a version that stays"
    return None


def _each_version(subject: Subject) -> Iterator[tuple[Named[schema.ResourceGroup], str, schema.VersionData]]:
    for group in subject.estate.resource_groups.values():
        for name, version in group.model.versions.items():
            yield group, name, version


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    versions_without_a_place,
    routes_without_a_version,
    two_places_of_a_version,
    unknown_default_versions,
    deprecations_without_an_end,
    sunsets_before_deprecation,
    bad_successors,
)
