"""Conditions on requests, as far as a configuration tells what they compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cors_authz.doctor.setup import Message, inner

AUTHORITY: Final = ":authority"
PATH: Final = ":path"

Answer: TypeAlias = bool | None
"""None where it depends on what is not told."""

Request: TypeAlias = Mapping[str, str | None]
"""Headers by their name, None for one that the request lacks; of what is not in it nothing is told."""

_HOW: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
    "contains": str.__contains__,
}


@dataclass(frozen=True, slots=True)
class Unknown:
    """What no configuration tells, or no client chooses: addresses, certificates, methods."""


@dataclass(frozen=True, slots=True)
class Present:
    """The request has a header."""

    header: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A header fits a StringMatcher; a path may be compared without its query."""

    header: str
    matcher: Message
    without_query: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    """A condition does not hold."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Every:
    """All conditions hold; none of them is true."""

    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Some:
    """One of the conditions holds; none of them is false."""

    parts: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class First:
    """The first case that holds says what counts; where none does, `otherwise`."""

    cases: tuple[tuple[Condition, Condition], ...]
    otherwise: Condition


Condition: TypeAlias = Unknown | Present | Compared | Not | Every | Some | First


def holds(condition: Condition, request: Request) -> Answer:
    """Tell whether a condition holds for a request."""
    match condition:
        case Unknown():
            return None
        case Present() | Compared():
            return _of_header(condition, request)
        case Not(part):
            answer = holds(part, request)
            return None if answer is None else not answer
        case Every(parts):
            return _joined((holds(part, request) for part in parts), decides=False)
        case Some(parts):
            return _joined((holds(part, request) for part in parts), decides=True)
        case First():
            return _of_first(condition, request)


def _of_header(condition: Present | Compared, request: Request) -> Answer:
    if condition.header not in request:
        return None
    value = request[condition.header]
    if value is None or isinstance(condition, Present):
        return value is not None
    return fits(condition.matcher, value.partition("?")[0] if condition.without_query else value)


def _joined(answers: Iterable[Answer], *, decides: bool) -> Answer:
    found: Answer = not decides
    for answer in answers:
        if answer is decides:
            return decides
        found = None if answer is None else found
    return found


def _of_first(condition: First, request: Request) -> Answer:
    answers: set[Answer] = set()
    for case, then in condition.cases:
        answer = holds(case, request)
        if answer is not False:
            answers.add(holds(then, request))
        if answer:
            break
    else:
        answers.add(holds(condition.otherwise, request))
    return answers.pop() if len(answers) == 1 else None


def fits(matcher: Message, value: str) -> Answer:
    """Tell whether a text fits a StringMatcher; None where that cannot be told."""
    ignores_case = matcher.get("ignore_case") is True
    for how, compare in _HOW.items():
        wanted = matcher.get(how)
        if isinstance(wanted, str):
            return compare(value.lower(), wanted.lower()) if ignores_case else compare(value, wanted)
    try:
        return re.fullmatch(inner(matcher, "safe_regex")["regex"], value) is not None
    except (re.error, KeyError, TypeError, RecursionError, OverflowError):
        return None


def wanted(matcher: Message) -> tuple[str, str]:
    """Give how a StringMatcher compares and the text; two empty ones where it compares by an expression."""
    return next(((how, matcher[how]) for how in _HOW if isinstance(matcher.get(how), str)), ("", ""))


def leaves(condition: Condition) -> Iterator[Present | Compared]:
    """Give what a condition reads of requests."""
    match condition:
        case Present() | Compared():
            yield condition
        case Not(part):
            yield from leaves(part)
        case Every(parts) | Some(parts):
            for part in parts:
                yield from leaves(part)
        case First(cases, otherwise):
            for part in (*(part for case in cases for part in case), otherwise):
                yield from leaves(part)
        case Unknown():
            return
