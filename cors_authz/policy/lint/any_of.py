"""What guards stand on by `anyOf`: which other guards they reach, and findings where that is too much to ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Final, NamedTuple

from cors_authz.policy import schema
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding
from cors_authz.policy.subject import Subject

MOST_LEVELS: Final = 8
"""Of guards that name guards in `anyOf`."""
MOST_MEMBERS: Final = 256
"""Of one guard, with the members of its members, each as often as it is named."""

Guards = Mapping[str, Named[schema.Guard]]


def reached_guards(guards: Guards, name: str) -> Iterator[Named[schema.Guard]]:
    """Give a guard and all that it reaches by `anyOf`, each before its members. Circles and unknown names are fine."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        reached = waiting.pop()
        if reached in guards and reached not in seen:
            seen.add(reached)
            yield guards[reached]
            waiting.extend(reversed(guards[reached].model.any_of))


def guards_outside_circles(guards: Guards) -> Iterator[Named[schema.Guard]]:
    """Give guards after all their members; those that stand in a circle, or lead to one, are left out."""
    sorter = TopologicalSorter(
        {name: [member for member in guard.model.any_of if member in guards] for name, guard in guards.items()}
    )
    # A circle does not keep it from giving all that the circle does not block.
    with suppress(CycleError):
        sorter.prepare()
    while ready := sorter.get_ready():
        yield from (guards[name] for name in ready)
        sorter.done(*ready)


class _Size(NamedTuple):
    levels: int
    members: int

    @property
    def is_too_much(self) -> bool:
        return self.levels > MOST_LEVELS or self.members > MOST_MEMBERS


_NOTHING: Final = _Size(0, 0)


def too_much_in_any_of(subject: Subject) -> Iterator[Finding]:
    """CX048: each member is asked, by each way that leads to it, while a request waits; said of the innermost guard."""
    sizes: dict[str, _Size] = {}
    for guard in guards_outside_circles(subject.estate.guards):
        members = [sizes.get(name, _NOTHING) for name in guard.model.any_of]
        size = sizes[guard.name] = _size(members)
        if size.is_too_much and not any(member.is_too_much for member in members):
            yield Finding(guard.place("anyOf"), "CX048", _text(guard.name, size), about=guard.about)


def _size(members: list[_Size]) -> _Size:
    levels = 1 + max((member.levels for member in members), default=-1)
    # Beyond the bound nothing is told apart, and numbers that double with each level would grow without end.
    return _Size(levels, min(MOST_MEMBERS + 1, len(members) + sum(member.members for member in members)))


def _text(name: str, size: _Size) -> str:
    if size.levels > MOST_LEVELS:
        return f"`{name}` has anyOf within anyOf {size.levels} deep; {MOST_LEVELS} is the most: name the last ones here"
    return f"`{name}` asks more than {MOST_MEMBERS} guards by anyOf, the most there may be: merge some of them"


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (too_much_in_any_of,)
