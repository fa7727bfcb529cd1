"""Where a policy and its use have drifted apart: listed origins that nobody uses, and unlisted ones that ask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from string import ascii_lowercase, digits
from typing import Final, NamedTuple

from cors_authz.fetch.origin import OPAQUE, Origin, parse_origin
from cors_authz.review.listing import Asking, Listed, Listing
from cors_authz.review.usage import Span, Tally, Usage

MAX_HOST_OF_TYPO: Final = 100
"""Nobody mistypes a longer host by hand; each character more has eighty texts near it to be looked up."""

_LETTERS: Final = ascii_lowercase + digits + "-.:"
_WWW: Final = "www."
_OTHER_SCHEME: Final = {"http": "https", "https": "http"}


class TooShortError(Exception):
    """The sources cannot tell what was unused for so long.

    They do not reach back far enough: `span` is what they cover, None if they hold no decision. Or `silence` is a time
    without any decision that is more than half of what was asked for: files are missing, or a line has a wrong time. Or
    the ends of some files, which `Sources.torn` names, are missing.
    """

    def __init__(self, span: Span | None, silence: Span | None = None) -> None:
        super().__init__()
        self.span = span
        self.silence = silence


class StaleLine(NamedTuple):
    """A line of the policy that nobody used for long, and when somebody did; None for never within the sources."""

    line: Listed
    last: float | None


def stale(usage: Usage, listing: Listing, seconds: float) -> tuple[StaleLine, ...]:
    """Find the lines that nobody used in so many seconds up to the end of the sources, in the order of the policy.

    A line is used where an origin that it admits asks for a resource group whose rules name its origin group, whatever
    was answered. Where several lines of one origin group admit an origin, the narrowest is used.

    Args:
        usage: what was added up with the same listing.
        listing: the origins that the policy lists.
        seconds: for how long.

    Raises: TooShortError.
    """
    span = usage.sources.reach()
    if span is None or span.until - span.since < seconds or usage.sources.torn:
        raise TooShortError(span)
    since = span.until - seconds
    for gap in usage.sources.silent_days(span):
        silence = Span(max(gap.since, since), gap.until)
        if silence.until - silence.since > seconds / 2:
            raise TooShortError(span, silence)
    lasts = {line: tally.last for line, tally in usage.listed.items()}
    return tuple(StaleLine(line, lasts.get(line)) for line in listing.lines() if lasts.get(line, 0.0) < since)


@unique
class Likeness(Enum):
    """How an unlisted origin is like one that the policy lists, or why it is like none."""

    OPAQUE = "null"
    MALFORMED = "malformed"
    ELSEWHERE = "listed elsewhere"
    SCHEME = "another scheme"
    PORT = "another port"
    WWW = "with or without www."
    TYPO = "one typo away"


class Mark(NamedTuple):
    """A likeness, and to what: a listed origin, or the origin group that lists this one."""

    likeness: Likeness
    near: str = ""


class Wanted(NamedTuple):
    """How often an origin asked for a resource group."""

    group: str
    asks: float


@dataclass(frozen=True, slots=True)
class Stranger:
    """An unlisted origin that asks: how often and when, for what (most wanted first), and what it is like."""

    origin: str
    tally: Tally
    wanted: tuple[Wanted, ...]
    mark: Mark | None


def strangers(usage: Usage, listing: Listing, top: int) -> tuple[Stranger, ...]:
    """Find the origins that ask most often where no rule is for them, the most frequent first.

    Args:
        usage: what was added up.
        listing: the origins that the policy lists; who was listed when he asked, and is not any more, is a stranger.
        top: how many.
    """
    tallies: dict[str, Tally] = {}
    asks: dict[str, dict[str, float]] = {}
    for who, tally in usage.rows.items():
        if who.origin is None or who.tenant is None or listing.is_known(Asking(who.tenant, who.group, who.origin)):
            continue
        tallies.setdefault(who.origin, Tally(tally.first, tally.last)).add(tally)
        groups = asks.setdefault(who.origin, {})
        groups[who.group] = groups.get(who.group, 0) + tally.asks
    ranked = sorted(tallies, key=lambda origin: (-tallies[origin].asks, origin))[:top]
    return tuple(Stranger(origin, tallies[origin], _ranked(asks[origin]), _mark(origin, listing)) for origin in ranked)


def _ranked(asks: Mapping[str, float]) -> tuple[Wanted, ...]:
    return tuple(sorted((Wanted(*each) for each in asks.items()), key=lambda each: (-each.asks, each.group)))


def _mark(origin: str, listing: Listing) -> Mark | None:
    if origin == OPAQUE:
        return Mark(Likeness.OPAQUE)
    groups = listing.elsewhere(origin)
    if groups:
        return Mark(Likeness.ELSEWHERE, groups[0])
    parsed = parse_origin(origin)
    if parsed is None:
        mended = origin.strip().lower().rstrip("/")
        return Mark(Likeness.MALFORMED, mended if listing.lists(mended) else "")
    return next((Mark(likeness, near) for likeness, near in _neighbours(parsed, listing) if listing.lists(near)), None)


def _neighbours(origin: Origin, listing: Listing) -> Iterator[tuple[Likeness, str]]:
    """Give what may have been meant, the likelier first."""
    other = _OTHER_SCHEME.get(origin.scheme)
    if other:
        yield Likeness.SCHEME, _written(origin._replace(scheme=other))
        yield Likeness.SCHEME, _written(origin._replace(scheme=other, port=""))
    host = origin.host
    yield (
        Likeness.WWW,
        _written(origin._replace(host=host.removeprefix(_WWW) if host.startswith(_WWW) else _WWW + host)),
    )
    for port in listing.ports_of(origin.scheme, host):
        yield Likeness.PORT, _written(origin._replace(port=port))
    if len(host) > MAX_HOST_OF_TYPO:
        return
    for near in _one_edit_away(host + (f":{origin.port}" if origin.port else "")):
        yield Likeness.TYPO, f"{origin.scheme}://{near}"


def _written(origin: Origin) -> str:
    return f"{origin.scheme}://{origin.host}{':' if origin.port else ''}{origin.port}"


def _one_edit_away(text: str) -> Iterator[str]:
    """Give every text that one letter less, more or other, or two letters swapped, make of a text."""
    for at in range(len(text) + 1):
        head, tail = text[:at], text[at:]
        yield from (head + letter + tail for letter in _LETTERS)
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in _LETTERS if letter != tail[0])
        if len(tail) > 1 and tail[0] != tail[1]:
            yield head + tail[1] + tail[0] + tail[2:]
