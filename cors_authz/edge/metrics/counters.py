"""What was decided, how often, for whom, and how long it took: counted in place, read whenever somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, TypeAlias, TypeVar

from cors_authz.edge.cases import Features
from cors_authz.edge.metrics.catalogue import CHECK_SECONDS, DECISIONS, ORIGIN_DECISIONS, STAGE_SECONDS
from cors_authz.edge.metrics.sample import Distribution, Exemplar, Sample
from cors_authz.edge.observation import STAGES, SpanIds
from cors_authz.fetch.origin import OPAQUE
from cors_authz.fetch.request import Kind
from cors_authz.pdp.decision import Outcome, Reason
from cors_authz.policy.compiled import Trust

BOUNDS_SECONDS: Final = (25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3)
"""The upper bounds of the buckets of a check's durations; one more bucket takes what is longer."""
STAGE_BOUNDS_SECONDS: Final = (1e-6, 2.5e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 10e-3)
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

_Decided: TypeAlias = tuple[Outcome, Reason, str, bool]
"""What decisions are counted by: with the group, and whether in shadow."""
_Asked: TypeAlias = tuple[str, Trust, bool, Outcome]
"""What they are counted by once more: the origin group and its trust, and whether a credential travels on."""
K = TypeVar("K", bound=tuple[object, ...])


class Counters:
    """Counts checks; OpenTelemetry's instruments would cost ten times as much. Safe to use from many threads."""

    def __init__(self) -> None:
        self._decided: dict[_Decided, int] = {}
        self._asked: dict[_Asked, int] = {}
        self._durations = _Durations(BOUNDS_SECONDS)
        self._stages = tuple(_Durations(STAGE_BOUNDS_SECONDS) for _ in STAGES)

    def take(self, about: Features, checks: int) -> None:
        """Count checks of a case."""
        group = about.group or NONE
        decided = (about.outcome, about.reason, group, about.shadow)
        _add(self._decided, decided, (*decided[:2], OTHER, about.shadow), checks)
        asked = (_asker(about), _trust(about), about.credentials, about.outcome)
        _add(self._asked, asked, (OTHER, *asked[1:]), checks)

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
        for (outcome, reason, group, shadow), count in self._decided.copy().items():
            yield Sample(DECISIONS, (outcome.value, reason.value, group, _BOOLEAN[shadow]), count)
        for (origin_group, trust, credentials, outcome), count in self._asked.copy().items():
            labels = (origin_group, trust.name.lower(), _BOOLEAN[credentials], outcome.value)
            yield Sample(ORIGIN_DECISIONS, labels, count)
        yield Sample(CHECK_SECONDS, (), self._durations.read())
        for stage, durations in zip(STAGES, self._stages, strict=True):
            yield Sample(STAGE_SECONDS, (stage,), durations.read())


def _add(counts: dict[K, int], key: K, other: K, count: int) -> None:
    """Count under a key, or under `other` where there is no more room."""
    if key not in counts and len(counts) >= MAX_SERIES:
        key = other
    counts[key] = counts.get(key, 0) + count


def _asker(about: Features) -> str:
    """Name the origin group, or what an origin is that stands for none."""
    if about.is_opaque:
        return OPAQUE
    if about.origin_group:
        return about.origin_group
    if not about.has_origin:
        return NONE
    return OWN if about.kind is Kind.SAME_ORIGIN else UNLISTED


def _trust(about: Features) -> Trust:
    return Trust.NONE if about.is_opaque else about.trust


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
