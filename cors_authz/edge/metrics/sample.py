"""A metric, and what is read of it at one moment, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum, unique
from typing import NamedTuple, TypeAlias

from cors_authz.edge.observation import SpanIds


@unique
class Kind(Enum):
    """How a metric is read: Prometheus' and OpenTelemetry's words for the same three."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@unique
class Stability(Enum):
    """What a user may build on."""

    STABLE = "stable"
    """Name and labels stay until the next major version; values may be added to labels."""
    ALPHA = "alpha"
    """May change or go with any version."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of ours.

    Args:
        name: as Prometheus has it, with its unit and `_total`.
        kind: how it is read.
        text: what it says, in one sentence.
        labels: the names of its labels; each of them takes a bounded number of values.
        use: what to do with it, in one sentence.
        stability: what a user may build on.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    use: str = ""
    stability: Stability = Stability.STABLE


class Exemplar(NamedTuple):
    """A value that was measured in a sampled span, and when, in seconds since the epoch."""

    span: SpanIds
    value: float
    now: float


class Distribution(NamedTuple):
    """A histogram: a count for each bound and one for what is beyond, and the latest exemplar of each bucket."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    exemplars: tuple[Exemplar | None, ...] = ()


class Sample(NamedTuple):
    """What a metric says for one set of values of its labels."""

    metric: Metric
    labels: tuple[str, ...]
    value: float | Distribution


Source: TypeAlias = Callable[[], Iterable[Sample]]
"""Reads what one part of the service counted; quick, from any thread, never raises."""
