"""Findings about size and sameness: policies past the bounds that were measured, and paths that only look different."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from cors_authz.policy import schema
from cors_authz.policy.document import Document
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding, Place, Severity
from cors_authz.policy.grammar.path import parse_path_template
from cors_authz.policy.lint.rule_at import rules_at
from cors_authz.policy.pattern import Piece, Problem
from cors_authz.policy.subject import Subject

MOST_GROUPS: Final = 10_000
MOST_RULES: Final = 32
"""Of one resource group."""
MOST_ORIGINS: Final = 100_000
"""Of all origin groups and overlays together."""
MOST_HEADERS: Final = 64
"""Of one rule, in each direction, with what protocols and header sets add."""


def too_many_groups(subject: Subject) -> Iterator[Finding]:
    """CX048: loading and memory are measured up to here; a larger estate is several policies."""
    groups = subject.estate.resource_groups
    for group in islice(groups.values(), MOST_GROUPS, MOST_GROUPS + 1):
        text = f"{len(groups)} resource groups; {MOST_GROUPS} are the most: merge some, or split the policy"
        yield Finding(group.key_place, "CX048", text, about=group.about)


def too_many_rules(subject: Subject) -> Iterator[Finding]:
    """CX048: nobody can tell what so many rules of one group add up to."""
    for group in subject.estate.resource_groups.values():
        count = len(group.model.allow)
        if count > MOST_RULES:
            text = f"`{group.name}` has {count} rules; {MOST_RULES} are the most: merge rules, or split the group"
            yield Finding(group.place("allow", MOST_RULES), "CX048", text, about=group.about)


def too_many_origins(subject: Subject) -> Iterator[Finding]:
    """CX048: loading and memory are measured up to here; so many origins are a pattern, or belong to tenants."""
    count = 0
    for stand in _lists_of_origins(subject):
        beyond = MOST_ORIGINS - count
        count += len(stand.origins)
        if count > MOST_ORIGINS:
            text = f"more than {MOST_ORIGINS} origins, which are the most of a policy; say some of them by a pattern"
            yield Finding(stand.document.place(*stand.path, beyond), "CX048", text, about="/".join(stand.path[:2]))
            return


class _ListOfOrigins(NamedTuple):
    """Origins of a group, or of a tenant in it, and the path of their list in its document."""

    document: Document
    path: tuple[str, ...]
    origins: tuple[str, ...]


def _lists_of_origins(subject: Subject) -> Iterator[_ListOfOrigins]:
    for group in subject.estate.origin_groups.values():
        path = ("originGroups", group.name, "origins")
        yield _ListOfOrigins(group.document, path, group.model.origins)
    for overlay in subject.estate.overlays:
        for name, origins in overlay.model.origin_groups.items():
            yield _ListOfOrigins(overlay.document, ("originGroups", name), origins)


def too_many_headers(subject: Subject) -> Iterator[Finding]:
    """CX048: each name is compared and written for every request that the rule decides."""
    for at in rules_at(subject):
        for key, count in (("headers", len(at.rule.headers)), ("exposeHeaders", len(at.rule.exposed))):
            if count > MOST_HEADERS:
                text = f"`{at.rule.name}` has {count} {key}; {MOST_HEADERS} are the most: name those that are needed"
                yield at.finding("CX048", text, key)


# --- CX042 ----------------------------------------------------------------------------------------------------------


class _Spelling(NamedTuple):
    """A path as it is written, its segments in normal form, and where it stands."""

    text: str
    segments: tuple[Piece, ...]
    group: Named[schema.ResourceGroup]
    entry: int
    position: int

    @property
    def place(self) -> Place:
        return self.group.place("match", self.entry, "paths", self.position)


def paths_spelled_alike(subject: Subject) -> Iterator[Finding]:
    """CX042: an upstream that folds case or decodes more than we do serves both by one handler.

    Spec: https://www.rfc-editor.org/rfc/rfc3986.html#section-6.2.2.
    """
    first: dict[object, _Spelling] = {}
    for host, spelling in _spellings(subject):
        other = first.setdefault((host, _folded(spelling.segments), spelling.text.endswith("/**")), spelling)
        difference = _difference(spelling, other)
        if difference:
            text = (
                f"`{spelling.text}` and `{other.text}` ({other.place}) differ only in {difference};"
                " an upstream may serve both alike, so see that both have the same guards"
            )
            yield Finding(spelling.place, "CX042", text, Severity.INFO, spelling.group.about)


def _spellings(subject: Subject) -> Iterator[tuple[str, _Spelling]]:
    for group in subject.estate.resource_groups.values():
        for number, entry in enumerate(group.model.match):
            for index, text in enumerate(entry.paths if subject.environment.has(entry.environments) else ()):
                template = parse_path_template(text)
                if not isinstance(template, Problem):
                    spelling = _Spelling(text, template.segments, group, number, index)
                    yield from ((host, spelling) for host in entry.hosts)


def _folded(segments: tuple[Piece, ...]) -> tuple[Piece, ...]:
    return tuple(tuple(part.lower() if isinstance(part, str) else part for part in piece) for piece in segments)


def _difference(one: _Spelling, other: _Spelling) -> str | None:
    if one.segments != other.segments:
        return "case"
    return "encoding" if one.text != other.text and "%" in one.text + other.text else None


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    too_many_groups,
    too_many_rules,
    too_many_origins,
    too_many_headers,
    paths_spelled_alike,
)
