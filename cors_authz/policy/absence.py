"""Origins that an origin group lists which does not exist in the environment at hand: why one is unknown there."""

from __future__ import annotations

from typing import NamedTuple

from cors_authz.fetch.origin import parse_origin
from cors_authz.policy import schema
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Place
from cors_authz.policy.grammar.origin import parse_origin_pattern
from cors_authz.policy.pattern import OriginPattern
from cors_authz.policy.subject import Subject
from cors_authz.policy.trie import Trie


class Absent(NamedTuple):
    """An origin group that lists an origin elsewhere; `environments` are the ones where it does."""

    group: str
    environments: tuple[str, ...]
    place: Place


def absent_groups(subject: Subject, origin: str) -> tuple[Absent, ...]:
    """Find the origin groups that list an origin and do not exist in the environment of the subject.

    A group that is `any` lists no origin.

    Returns: the groups in the order of the policy, each with the pattern's place; () for what is no origin. Never
        raises.
    """
    return tuple(
        Absent(named.name, tuple(named.model.environments), place)
        for named in subject.estate.origin_groups.values()
        if named.name not in subject.patterns and (place := _place(named, origin)) is not None
    )


def _place(named: Named[schema.OriginGroup], origin: str) -> Place | None:
    patterns = map(parse_origin_pattern, named.model.origins)
    matching = (
        named.place("origins", position)
        for position, pattern in enumerate(patterns)
        if isinstance(pattern, OriginPattern) and _matches(pattern, origin)
    )
    return next(matching, None)


def _matches(pattern: OriginPattern, origin: str) -> bool:
    parsed = parse_origin(origin)
    if parsed is None or parsed.scheme != pattern.scheme:
        return False
    labels: Trie[str] = Trie()
    labels.add(pattern.labels[::-1], pattern.port, below=pattern.wildcard)
    return any(port in {"*", parsed.port} for port in labels.find(parsed.labels[::-1]))
