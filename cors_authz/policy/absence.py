"""Origin groups that do not exist in the environment at hand: why an origin that the policy lists is unknown there."""

from __future__ import annotations

from typing import NamedTuple

from cors_authz.fetch.origin import parse_origin
from cors_authz.policy.grammar.origin import parse_origin_pattern
from cors_authz.policy.pattern import OriginPattern
from cors_authz.policy.subject import Subject
from cors_authz.policy.trie import Trie


class AbsentGroup(NamedTuple):
    """An origin group that lists an origin, in other environments only."""

    name: str
    environments: tuple[str, ...]


def absent_groups_of(subject: Subject, origin: str) -> tuple[AbsentGroup, ...]:
    """Find the origin groups that list an origin and do not exist in the environment of the subject.

    A group that is `any` lists no origin.

    Returns: the groups in the order of the policy; () for what is no origin. Never raises.
    """
    return tuple(
        AbsentGroup(named.name, tuple(named.model.environments))
        for named in subject.estate.origin_groups.values()
        if named.name not in subject.patterns and any(_covers(text, origin) for text in named.model.origins)
    )


def _covers(text: str, origin: str) -> bool:
    pattern, parsed = parse_origin_pattern(text), parse_origin(origin)
    if not isinstance(pattern, OriginPattern) or parsed is None or parsed.scheme != pattern.scheme:
        return False
    ports: Trie[str] = Trie()
    ports.add(pattern.labels[::-1], pattern.port, below=pattern.wildcard)
    return any(port in {"*", parsed.port} for port in ports.find(parsed.labels[::-1]))
