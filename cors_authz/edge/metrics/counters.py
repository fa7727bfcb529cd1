"""What was decided, how often, for whom, and how long it took: counted in place, read whenever somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias, TypeVar

from cors_authz.edge.metrics.catalogue import CHECK_SECONDS, DECISIONS, ORIGIN_DECISIONS, STAGE_SECONDS
from cors_authz.edge.metrics.sample import Distribution, Exemplar, Sample
from cors_authz.edge.observation import STAGES, SpanIds
from cors_authz.fetch.origin import OPAQUE
from cors_authz.fetch.request import Kind
from cors_authz.pdp.decision import Decision, Outcome, Reason
from cors_authz.pdp.facts import Facts
from cors_authz.policy.compiled import Credential, Trust

BOUNDS_SECONDS: Final[tuple[float, ...]] = (
    25e-6,
    50e-6,
    100e-6,
    250e-6,
    500e-6,
    1e-3,
    2.5e-3,
    5e-3,
    10e-3,
    25e-3,
    100e-3,
)
"""The upper bounds of the buckets of a check's durations; one more bucket takes what is longer."""
STAGE_BOUNDS_SECONDS: Final[tuple[float, ...]] = (1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 10e-3)
"""The same for the durations of its stages."""

MAX_SERIES: Final = 2000
"""So many sets of labels a metric takes; what comes later is counted under the group `OTHER`."""
OTHER: Final = "other"
NONE: Final = "none"
"""The group where no route matched, and the origin group where there is no Origin."""
OWN: Final = "own"
"""The origin group of a page that calls its own origin."""
UNLISTED: Final = "unlisted"
"""The origin group where no rule of the resource group has the origin."""

_ALL_LAPS: Final = len(STAGES) + 1
_BOOLEAN: Final = {True: "true", False: "false"}

# Bound here since, on Python 3.11, a member costs more to look up than a header.
_SAME_ORIGIN: Final = Kind.SAME_ORIGIN
_NO_TRUST: Final = Trust.NONE
_COOKIE: Final = Credential.COOKIE
_BEARER: Final = Credential.BEARER

_Decided: TypeAlias = tuple[Outcome, Reason, str, bool]
"""What decisions are counted by: with the group, and whether in shadow."""
_Asked: TypeAlias = tuple[str, Trust, bool, Outcome]
"""What they are counted by once more: the origin group and its trust, and whether a credential travels on."""
_Cell: TypeAlias = list[int]
"""One count, added to in place: on CPython no thread comes between the two halves of a `+=`."""
K = TypeVar("K", bound=tuple[object, ...])


class Counters:
    """Counts checks; OpenTelemetry's instruments would cost ten times as much. Safe to use from many threads."""

    def __init__(self) -> None:
        self._decided: dict[_Decided, _Cell] = {}
        self._asked: dict[_Asked, _Cell] = {}
        self._durations = _Durations(BOUNDS_SECONDS)
        self._stages = tuple(_Durations(STAGE_BOUNDS_SECONDS) for _ in STAGES)

    def count(self, decision: Decision) -> None:
        """Count a check. Never raises."""
        outcome, reason, _, facts, _, _, shadow, _ = decision
        group, asker, trust, carries = NONE, NONE, _NO_TRUST, False
        if facts is not None:
            group = facts.group.name if facts.group else NONE
            asker = facts.origin_group if facts.origin != OPAQUE else ""
            trust = facts.policy.trust.get(asker, _NO_TRUST) if asker else _NO_TRUST
            asker = asker or _unlisted(facts)
            granted = facts.credentials
            carries = bool(granted) and _carries(facts.request.headers, granted)
        decided = (outcome, reason, group, shadow)
        cell = self._decided.get(decided) or _cell(self._decided, decided, (outcome, reason, OTHER, shadow))
        cell[0] += 1
        asked = (asker, trust, carries, outcome)
        cell = self._asked.get(asked) or _cell(self._asked, asked, (OTHER, trust, carries, outcome))
        cell[0] += 1

    def measure(self, laps: Sequence[float], span: SpanIds | None, now: float) -> None:
        """Measure a check. Never raises.

        Args:
            laps: those of its observation.
            span: its span; the latest one of each bucket of durations is kept as an example.
            now: the time of its decision.
        """
        self._durations.add(laps[-1] - laps[0], span, now)
        if len(laps) == _ALL_LAPS:
            for durations, (began, ended) in zip(self._stages, pairwise(laps), strict=True):
                durations.add(ended - began, None, now)

    def samples(self) -> Iterator[Sample]:
        """Read what was counted up to now; a `Source`."""
        for (outcome, reason, group, shadow), cell in self._decided.copy().items():
            yield Sample(DECISIONS, (outcome.value, reason.value, group, _BOOLEAN[shadow]), cell[0])
        for (origin_group, trust, credentials, outcome), cell in self._asked.copy().items():
            labels = (origin_group, trust.name.lower(), _BOOLEAN[credentials], outcome.value)
            yield Sample(ORIGIN_DECISIONS, labels, cell[0])
        yield Sample(CHECK_SECONDS, (), self._durations.read())
        for stage, durations in zip(STAGES, self._stages, strict=True):
            yield Sample(STAGE_SECONDS, (stage,), durations.read())


def _cell(cells: dict[K, _Cell], key: K, other: K) -> _Cell:
    """Begin to count under a key, or under `other` where there is no more room."""
    return cells.setdefault(key if len(cells) < MAX_SERIES else other, [0])


def _unlisted(facts: Facts) -> str:
    """Say what an origin is that the resource group does not list."""
    if not facts.origin:
        return NONE
    if facts.origin == OPAQUE:
        return OPAQUE
    return OWN if facts.kind is _SAME_ORIGIN else UNLISTED


def _carries(headers: Mapping[str, str], granted: frozenset[Credential]) -> bool:
    """Tell whether a request carries a cookie or an Authorization that travels on with it."""
    return ("cookie" in headers and _COOKIE in granted) or ("authorization" in headers and _BEARER in granted)


class _Durations:
    """A histogram that is written in place."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, seconds: float, span: SpanIds | None, now: float) -> None:
        bucket = bisect_left(self._bounds, seconds)
        self._counts[bucket] += 1
        self._total += seconds
        if span is not None:
            self._exemplars[bucket] = Exemplar(span, seconds, now)

    def read(self) -> Distribution:
        return Distribution(self._bounds, tuple(self._counts), self._total, tuple(self._exemplars))
