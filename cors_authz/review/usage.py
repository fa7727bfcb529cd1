"""Who asked: the foreign origins in decision lines of audit files, or in the pages of live services, added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from cors_authz.pdp.decision import Outcome, Reason
from cors_authz.policy.finding import shown
from cors_authz.review.listing import Asking, Listed, Listing

MAX_ROWS: Final = 100_000
"""Of more, the rarer half is added up by resource group: whoever comes often is known, whenever he begins."""

MAX_METHODS: Final = 8
"""Of one row; clients invent them."""

K = TypeVar("K")

_MAX_METHOD_CHARACTERS: Final = 32
_MAX_TEXT_CHARACTERS: Final = 256
"""As long as the service writes one."""
_MAX_CHECKS: Final = 1e15
_LEAST_SHARE: Final = 1e-6
"""Nobody keeps fewer records; of a smaller share, one line would speak for more checks than there are."""
_DAY_SECONDS: Final = 86_400
_OUTCOMES: Final = frozenset(outcome.value for outcome in Outcome)
# No set: what stands in a line may have no hash.
_OTHER_KINDS: Final = ("delivery", "head")
_PREFLIGHTS: Final = frozenset({Outcome.PREFLIGHT_ALLOW.value, Outcome.PREFLIGHT_DENY.value})
_DECISION: Final = "decision"
_OWN: Final = Reason.SAME_ORIGIN.value


class UnreadablePageError(Exception):
    """What a service answered is no page of its ledger of origins; the text says why."""


class Who(NamedTuple):
    """Whose checks are added up; no tenant and no origin stand for those that were too many to be told apart."""

    tenant: str | None
    group: str
    origin_group: str
    origin: str | None


@dataclass(slots=True)
class Tally:
    """What is added up of checks: their number by outcome, the methods, and seconds since the epoch.

    Numbers are estimates where audit lines are kept in a share: each line counts for those that were not kept.
    """

    first: float
    last: float
    outcomes: dict[str, float] = field(default_factory=dict)
    methods: set[str] = field(default_factory=set)

    @property
    def asks(self) -> float:
        """The number of checks."""
        return sum(self.outcomes.values())

    def add(self, other: Tally) -> None:
        """Add what another says."""
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count
        if len(self.methods) < MAX_METHODS:
            self.methods |= other.methods


class Span(NamedTuple):
    """A time in seconds since the epoch, from its first second to its last."""

    since: float
    until: float


@dataclass(slots=True)
class Sources:
    """What is known of the sources themselves. `lines_span` is the time of the lines, `pages_span` that of the pages.

    `others` are lines of deliveries and chain heads, `garbage` those that are no record, or of the future.
    `least_share` is the smallest share in which records of an outcome were kept. `folded` is how many checks the
    services had no room for. `torn` names files of which the end is missing.
    """

    decisions: int = 0
    others: int = 0
    garbage: int = 0
    pages: int = 0
    folded: int = 0
    least_share: float = 1.0
    lines_span: Span | None = None
    pages_span: Span | None = None
    days: set[int] = field(default_factory=set)
    torn: list[str] = field(default_factory=list)

    def reach(self) -> Span | None:
        """Say which time the sources cover without a break that they know of; the latest, where there is one.

        A service knows nothing from before its start, so of several the one that started last says how far they reach.
        """
        spans = sorted((span for span in (self.lines_span, self.pages_span) if span), key=lambda span: span.until)
        if not spans:
            return None
        *earlier, last = spans
        for span in earlier:
            if span.until >= last.since:
                last = Span(min(span.since, last.since), last.until)
        return last

    def silent_days(self, span: Span) -> tuple[Span, ...]:
        """Give the runs of whole days (UTC) in a span without any decision, where audit files may be missing.

        A service that runs tells of all days since its start.
        """
        told = _days_of(self.pages_span) if self.pages_span else range(0)
        days = _days_of(span)
        heard = sorted(day for day in self.days.union(told) if day in days)
        return tuple(
            Span((before + 1) * _DAY_SECONDS, after * _DAY_SECONDS)
            for before, after in pairwise(heard)
            if after - before > 1
        )


def _days_of(span: Span) -> range:
    return range(int(span.since // _DAY_SECONDS), int(span.until // _DAY_SECONDS) + 1)


class Usage:
    """Adds up who asked, in bounded memory, however long the sources are.

    Args:
        now: the time in seconds since the epoch. What tells of more than a day after it is garbage: one line with a
            wrong clock would move the end of the sources, and make everything old.
        listing: the origins of a policy, to add up by the line that lists them too.
    """

    def __init__(self, now: float, listing: Listing | None = None) -> None:
        self.rows: dict[Who, Tally] = {}
        self.listed: dict[Listed, Tally] = {}
        self.sources = Sources()
        self._latest = now + _DAY_SECONDS
        self._listing = listing

    def read_line(self, line: bytes) -> None:
        """Take a line of an audit file; what is no decision, or no record, is counted and passed over."""
        record = _record_of(line)
        kind = record.get("kind")
        if kind in _OTHER_KINDS:
            self.sources.others += 1
            return
        read = _read_decision(record, self._latest) if kind == _DECISION else None
        if read is None:
            self.sources.garbage += 1
            return
        self._note_line(read.tally.first, read.share)
        if read.who.origin and not _is_own(record, read.who.origin):
            self._add(read.who, read.tally)

    def read_page(self, raw: bytes) -> None:
        """Take the page `/origins` of one running service.

        Raises: UnreadablePageError; then nothing of it was taken.
        """
        page = _page_of(raw, self._latest)
        self.sources.pages += 1
        self.sources.folded += page.folded
        before = self.sources.pages_span or page.span
        self.sources.pages_span = Span(max(before.since, page.span.since), min(before.until, page.span.until))
        for who, tally in page.entries:
            self._add(who, tally)

    def _note_line(self, time: float, share: float) -> None:
        sources = self.sources
        sources.decisions += 1
        sources.least_share = min(sources.least_share, share)
        span = sources.lines_span or Span(time, time)
        sources.lines_span = Span(min(span.since, time), max(span.until, time))
        sources.days.add(int(time // _DAY_SECONDS))

    def _add(self, who: Who, tally: Tally) -> None:
        if self._listing is not None:
            asking = Asking(who.tenant, who.group, who.origin or "")
            for listed in self._listing.admitting(asking):
                _add_to(self.listed, listed, tally)
        _add_to(self.rows, who, tally)
        if len(self.rows) > MAX_ROWS:
            self._fold()

    def _fold(self) -> None:
        by_asks = sorted(self.rows, key=lambda who: self.rows[who].asks, reverse=True)
        for who in by_asks[MAX_ROWS // 2 :]:
            _add_to(self.rows, who._replace(tenant=None, origin=None), self.rows.pop(who))


def _add_to(tallies: dict[K, Tally], key: K, tally: Tally) -> None:
    known = tallies.get(key)
    if known is None:
        known = tallies[key] = Tally(tally.first, tally.last)
    known.add(tally)


# --- Lines ------------------------------------------------------------------------------------------------------------


class _Line(NamedTuple):
    who: Who
    tally: Tally
    share: float


def _record_of(line: bytes) -> Mapping[str, object]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def _read_decision(record: Mapping[str, object], latest: float) -> _Line | None:
    """Read a decision, None for one that lacks what each has."""
    time, outcome, share = _time(record.get("time"), latest), record.get("outcome"), record.get("share", 1.0)
    if time is None or not isinstance(outcome, str) or outcome not in _OUTCOMES:
        return None
    if isinstance(share, bool) or not isinstance(share, int | float) or not _LEAST_SHARE <= share <= 1:
        return None
    texts = [record.get(name, "") for name in ("tenant", "group", "origin_group", "origin")]
    who = Who(*(text[:_MAX_TEXT_CHARACTERS] if isinstance(text, str) else "" for text in texts))
    return _Line(who, Tally(time, time, {outcome: 1 / share}, {_method(record, outcome)} - {""}), share)


def _method(record: Mapping[str, object], outcome: str) -> str:
    """Give the method, of a preflight the one that it asks for."""
    method, headers = record.get("method"), record.get("headers")
    if outcome in _PREFLIGHTS and isinstance(headers, dict):
        method = headers.get("access-control-request-method", method)
    return method[:_MAX_METHOD_CHARACTERS] if isinstance(method, str) else ""


def _time(value: object, latest: float) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if isinstance(value, int | float) and is_number and 0 < value <= latest else None


def _is_own(record: Mapping[str, object], origin: str) -> bool:
    """Tell whether a page asked its own origin. One that was refused is known by its host, which https is part of."""
    host = str(record.get("host", "")).lower().removesuffix(":443")
    return record.get("reason") == _OWN or origin == f"https://{host}"


# --- Pages ------------------------------------------------------------------------------------------------------------


class _Page(NamedTuple):
    span: Span
    folded: int
    entries: tuple[tuple[Who, Tally], ...]


def _page_of(raw: bytes, latest: float) -> _Page:
    try:
        page = orjson.loads(raw)
        span = _span(page, ("since", "until"), latest)
        entries = tuple(_read_entry(entry, latest) for entry in page["entries"])
        return _Page(span, int(_count(page["folded"])), entries)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadablePageError(f"it is no page of origins ({shown(repr(error))})") from error


def _read_entry(entry: Mapping[str, Any], latest: float) -> tuple[Who, Tally]:
    who = Who(
        None if entry["tenant"] is None else _text(entry["tenant"]),
        _text(entry["group"]),
        _text(entry["origin_group"]),
        None if entry["origin"] is None else _text(entry["origin"]),
    )
    outcomes = {Outcome(outcome).value: _count(count) for outcome, count in entry["outcomes"].items()}
    if not isinstance(entry["methods"], list):
        raise TypeError("methods are no list")
    methods = {_text(method)[:_MAX_METHOD_CHARACTERS] for method in islice(entry["methods"], MAX_METHODS)}
    first, last = _span(entry, ("first", "last"), latest)
    return who, Tally(first, last, outcomes, methods)


def _span(said: Mapping[str, Any], names: tuple[str, str], latest: float) -> Span:
    since, until = (_time(said[name], latest) for name in names)
    if since is None or until is None or since > until:
        raise ValueError(f"{' and '.join(names)} are no times, or in the future, or the second is before the first")
    return Span(since, until)


def _count(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MAX_CHECKS:
        raise ValueError("a number of checks is none")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a name is no text")
    return value[:_MAX_TEXT_CHARACTERS]
