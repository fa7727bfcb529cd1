"""The metrics as Prometheus reads them: its text format, or OpenMetrics with exemplars."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final, NamedTuple, cast

from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, exposition
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.samples import Exemplar as PrometheusExemplar
from prometheus_client.samples import Sample as Line

from cors_authz.edge.metrics.sample import Distribution, Exemplar, Sample
from cors_authz.edge.metrics.sources import Sources, unhurried

OPENMETRICS: Final = "application/openmetrics-text"
TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE: Final = f"{OPENMETRICS}; version=1.0.0; charset=utf-8"

_LINES_AT_ONCE: Final = 50


class Page(NamedTuple):
    """An answer to a scrape."""

    content_type: str
    body: bytes


class Exposition:
    """Writes the metrics for a scrape. Safe to use from many threads.

    Args:
        sources: what is read.
        sleep: waits for so many seconds, while checks go on.
    """

    def __init__(self, sources: Sources, sleep: Callable[[float], object] = time.sleep) -> None:
        self._sources = sources
        self._sleep = sleep

    def page(self, accept: str) -> Page:
        """Write all metrics: as OpenMetrics where an `Accept` header names it, else in the text format."""
        if _is_openmetrics(accept):
            return Page(OPENMETRICS_TYPE, openmetrics.generate_latest(self))  # type: ignore[no-untyped-call]
        return Page(TEXT_TYPE, exposition.generate_latest(self))

    def collect(self) -> Iterator[Family]:
        """Give the families of metrics, as the client library asks a registry for them."""
        for metric, samples in self._sources.read().items():
            family = Family(metric.name.removesuffix("_total"), metric.text, metric.kind.value)
            # Written as they are read: thousands of lines in one go would hold up a check for milliseconds.
            family.samples = cast("list[Line]", unhurried(_lines(samples), _LINES_AT_ONCE, self._sleep))
            yield family
        yield from GC_COLLECTOR.collect()
        yield from PLATFORM_COLLECTOR.collect()


def _is_openmetrics(accept: str) -> bool:
    types = (each.partition(";")[0].strip().lower() for each in accept.split(","))
    return OPENMETRICS in types


def _lines(samples: Iterable[Sample]) -> Iterator[Line]:
    for metric, values, value in samples:
        labels = dict(zip(metric.labels, values, strict=True))
        if isinstance(value, Distribution):
            yield from _lines_of_histogram(metric.name, labels, value)
        else:
            yield Line(metric.name, labels, value)


def _lines_of_histogram(name: str, labels: dict[str, str], value: Distribution) -> Iterator[Line]:
    bounds = (*value.bounds, math.inf)
    exemplars = value.exemplars or (None,) * len(bounds)
    for bound, count, exemplar in zip(bounds, accumulate(value.counts), exemplars, strict=True):
        yield Line(f"{name}_bucket", {**labels, "le": _written(bound)}, count, None, exemplar and _exemplar(exemplar))
    yield Line(f"{name}_count", labels, sum(value.counts))
    yield Line(f"{name}_sum", labels, value.total)


def _written(bound: float) -> str:
    return "+Inf" if bound == math.inf else repr(bound)


def _exemplar(exemplar: Exemplar) -> PrometheusExemplar:
    return PrometheusExemplar(exemplar.span._asdict(), exemplar.value, exemplar.now)
