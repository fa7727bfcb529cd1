"""An OTLP collector as those who send to it see it: what it did not take, said when that begins and when it ends."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from threading import Lock, local
from typing import Final

from cors_authz.edge.metrics.catalogue import EXPORT_FAILURES
from cors_authz.edge.metrics.sample import Sample

_log = logging.getLogger(__name__)

_MAX_CAUSE: Final = 300
_SDK_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)


class _Causes(logging.Filter):
    """Keeps what the SDK's exporters would log, for the thread that exports: they say it again for every batch."""

    def __init__(self) -> None:
        super().__init__()
        self._last = local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a cause, and log nothing."""
        # With one argument they say that they give up, mostly after what said why.
        if not self.last or (isinstance(record.args, tuple) and len(record.args) > 1):
            self._last.text = record.getMessage()
        return False

    def forget(self) -> None:
        self._last.text = ""

    @property
    def last(self) -> str:
        return getattr(self._last, "text", "")


_CAUSES: Final = _Causes()


def keep_quiet() -> None:
    """Let the SDK's exporters log nothing any more; a `Collector` says what they would. More than once is once."""
    for name in _SDK_LOGGERS:
        filters = logging.getLogger(name).filters
        if _CAUSES not in filters:
            # Before their own filter, which hides what it takes for a repetition.
            filters.insert(0, _CAUSES)


class Collector:
    """Counts what a collector did not take of one signal.

    Args:
        signal: `traces`, `metrics` or `logs`.
        address: where the collector is, and by which protocol, for people.
        advice: what to do when it takes nothing.
    """

    def __init__(self, signal: str, address: str, advice: str) -> None:
        self.address = address
        self._signal, self._advice = signal, advice
        self._lock = Lock()
        self._lost_since = 0
        self._is_failing = False
        self.failures = 0
        self.taken = 0
        self.lost = 0

    def begin(self) -> None:
        """Say that a batch is sent now, by this thread."""
        _CAUSES.forget()

    def end(self, items: int, *, taken: bool) -> None:
        """Say what became of the batch: of so many spans, records or readings."""
        with self._lock:
            was_failing, self._is_failing = self._is_failing, not taken
            if taken:
                self.taken += items
                lost, self._lost_since = self._lost_since, 0
            else:
                self.failures += 1
                self.lost += items
                lost = self._lost_since = self._lost_since + items
        if was_failing and taken:
            _log.warning("the OTLP collector at %s takes %s again; %s were lost", self.address, self._signal, lost)
        elif not was_failing and not taken:
            _log.error(
                "the OTLP collector at %s does not take %s, and decisions go on: %s; %s",
                *(self.address, self._signal, _CAUSES.last[:_MAX_CAUSE] or "no cause is known", self._advice),
            )

    def samples(self) -> Iterable[Sample]:
        """Read what was counted; a `Source`."""
        return (Sample(EXPORT_FAILURES, (self._signal,), self.failures),)
