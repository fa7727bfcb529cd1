"""The metrics as OpenTelemetry's SDK has them: cumulative, under the names that Prometheus knows, with exemplars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.metrics import Exemplar as OtlpExemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as OtlpMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from cors_authz import __version__
from cors_authz.edge.metrics.sample import Distribution, Exemplar, Kind, Metric, Sample

_SCOPE: Final = InstrumentationScope("cors_authz", __version__)
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_NANOSECONDS: Final = 1_000_000_000
_HEXADECIMAL: Final = 16


class _Times(NamedTuple):
    """From when on counters count, and when they were read, in nanoseconds since the epoch."""

    start_time_unix_nano: int
    time_unix_nano: int


def metrics_data(found: Mapping[Metric, Sequence[Sample]], about: Resource, began: float, now: float) -> MetricsData:
    """Write what was read.

    Args:
        found: the samples of each metric.
        about: who sends.
        began: from when on counters count, in seconds since the epoch.
        now: when it was read.
    """
    times = _Times(_nanoseconds(began), _nanoseconds(now))
    metrics = [
        OtlpMetric(metric.name, metric.text, _unit(metric), _points(metric, samples, times))
        for metric, samples in found.items()
    ]
    return MetricsData([ResourceMetrics(about, [ScopeMetrics(_SCOPE, metrics, "")], "")])


def _points(metric: Metric, samples: Iterable[Sample], times: _Times) -> Sum | Gauge | Histogram:
    points = [_point(sample, times) for sample in samples]
    if metric.kind is Kind.COUNTER:
        return Sum(points, _CUMULATIVE, is_monotonic=True)
    return Gauge(points) if metric.kind is Kind.GAUGE else Histogram(points, _CUMULATIVE)


def _point(sample: Sample, times: _Times) -> Any:  # noqa: ANN401 - of a number or of a histogram
    attributes = dict(zip(sample.metric.labels, sample.labels, strict=True))
    value = sample.value
    if not isinstance(value, Distribution):
        return NumberDataPoint(attributes, *times, value=value)
    unknown: Any = None
    return HistogramDataPoint(
        attributes,
        *times,
        count=sum(value.counts),
        sum=value.total,
        bucket_counts=value.counts,
        explicit_bounds=value.bounds,
        min=unknown,
        max=unknown,
        exemplars=[_exemplar(exemplar) for exemplar in value.exemplars if exemplar],
    )


def _exemplar(exemplar: Exemplar) -> OtlpExemplar:
    span = exemplar.span
    ids = {"span_id": int(span.span_id, _HEXADECIMAL), "trace_id": int(span.trace_id, _HEXADECIMAL)}
    return OtlpExemplar({}, exemplar.value, _nanoseconds(exemplar.now), **ids)


def _unit(metric: Metric) -> str:
    """Name the unit that stands in the metric's name; who translates back would add any other to the name."""
    base = metric.name.removesuffix("_total")
    return next((unit for suffix, unit in _UNITS.items() if base.endswith(suffix)), "")


_UNITS: Final = {"_seconds": "s", "_bytes": "By"}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * _NANOSECONDS)
