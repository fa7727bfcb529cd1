"""An OTLP collector as those who send to it see it: what it did not take, said when that begins and when it ends."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from threading import Lock, local
from typing import Final

from cors_authz.edge.metrics.catalogue import EXPORT_FAILURES
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.telemetry.advice import Place

_log = logging.getLogger(__name__)

_MAX_CAUSE: Final = 300
_SDK_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)
# What they say while they still try; what comes of it is told once they gave up.
_TRANSIENT: Final = re.compile(
    r"Transient error (.*?) encountered while exporting .*?, retrying in [0-9.]+s\.(?: Error details: (.*))?", re.DOTALL
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
            self._last.text = _without_retrying(record.getMessage())
        return False

    def forget(self) -> None:
        self._last.text = ""

    @property
    def last(self) -> str:
        return getattr(self._last, "text", "")


def _without_retrying(cause: str) -> str:
    transient = _TRANSIENT.fullmatch(cause)
    return ": ".join(filter(None, transient.groups())) if transient else cause


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
        place: where the collector is.
        keeps: whether who sends keeps what is not taken, and says itself what becomes of decisions and what is lost.
    """

    def __init__(self, signal: str, place: Place, *, keeps: bool = False) -> None:
        self.address = place.address
        self._meanwhile, self._told_lost = ("", "") if keeps else (", and decisions go on", "; %s were lost")
        self._signal, self._place = signal, place
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
            told = self._told_lost and self._told_lost % lost
            _log.warning("the OTLP collector at %s takes %s again%s", self.address, self._signal, told)
        elif not was_failing and not taken:
            cause = _CAUSES.last[:_MAX_CAUSE] or "no cause is known"
            _log.error(
                "the OTLP collector at %s does not take %s%s: %s; %s",
                *(self.address, self._signal, self._meanwhile, cause, self._place.advice(cause)),
            )

    def samples(self) -> Iterable[Sample]:
        """Read what was counted; a `Source`."""
        return (Sample(EXPORT_FAILURES, (self._signal,), self.failures),)
