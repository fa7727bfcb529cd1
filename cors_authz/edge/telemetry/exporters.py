"""The SDK's OTLP exporters, each with a `Collector` that is told what became of every batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from cors_authz.edge.telemetry.collector import Collector


class WatchedSpans(SpanExporter):
    """Exports spans; never raises."""

    def __init__(self, exporter: SpanExporter, collector: Collector) -> None:
        self._exporter = exporter
        self.collector = collector

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch, and count it."""
        result = SpanExportResult.FAILURE
        self.collector.begin()
        try:
            result = self._exporter.export(spans)
        finally:
            self.collector.end(len(spans), taken=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        """Break off what is under way."""
        self._exporter.shutdown()


class WatchedMetrics(MetricExporter):
    """Exports metrics; a reading of all of them counts as one."""

    def __init__(self, exporter: MetricExporter, collector: Collector) -> None:
        # As the SDK's reader asks for them.
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001
        self._exporter = exporter
        self.collector = collector

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:  # noqa: ANN401 - the SDK's signature
        """Send a reading, and count it."""
        result = MetricExportResult.FAILURE
        self.collector.begin()
        try:
            result = self._exporter.export(metrics_data, timeout_millis, **kwargs)
        finally:
            self.collector.end(1, taken=result is MetricExportResult.SUCCESS)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Wait for nothing: nothing is kept here."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:  # noqa: ANN401 - the SDK's signature
        """Break off what is under way."""
        self._exporter.shutdown(timeout_millis, **kwargs)


class WatchedLogs(LogRecordExporter):
    """Exports records of a log."""

    def __init__(self, exporter: LogRecordExporter, collector: Collector) -> None:
        self._exporter = exporter
        self.collector = collector

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Send a batch, and count it."""
        result = LogRecordExportResult.FAILURE
        self.collector.begin()
        try:
            result = self._exporter.export(batch)
        finally:
            is_taken = result is LogRecordExportResult.SUCCESS
            # Who sends records keeps those that are not taken, and sends them again.
            self.collector.end(len(batch) if is_taken else 0, taken=is_taken)
        return result

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for nothing: nothing is kept here."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Break off what is under way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # the SDK's
