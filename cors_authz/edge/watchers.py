"""All that watches the checks of one process, as its settings and OpenTelemetry's variables ask for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from cors_authz.edge.audit.trail import AuditTrail
from cors_authz.edge.clock import new_decision_id, now_seconds
from cors_authz.edge.ledger import Ledger
from cors_authz.edge.metrics.counters import Counters
from cors_authz.edge.metrics.options import MetricsOptions
from cors_authz.edge.metrics.process import process_samples
from cors_authz.edge.metrics.sample import Source
from cors_authz.edge.observe import AT_ONCE, Observer, Told
from cors_authz.edge.service import Watch, no_parent
from cors_authz.edge.settings import Settings
from cors_authz.edge.telemetry.otlp import Signal, is_wanted
from cors_authz.edge.tracing.tracing import Tracing

ORIGINS_PAGE = "/origins"

T = TypeVar("T")


class Running(Protocol):
    """What goes on beside the checks."""

    def start(self) -> None:
        """Begin; once only."""

    def stop(self) -> None:
        """End, in bounded time."""


class Watchers:
    """Traces, records and counts checks, each only where somebody asks for it.

    Args:
        settings: those of the service.
        worker: the number of this process where there are several.

    Raises: SettingsError for a setting or a variable that cannot be, or an audit trail that cannot be written.
    """

    def __init__(self, settings: Settings, worker: int | None) -> None:
        self._settings, self._worker = settings, worker
        self._is_counted = settings.metrics is not None or is_wanted(Signal.METRICS, os.environ)
        self._tracing = Tracing.from_environment(os.environ, worker, new_decision_id)
        self._audit = AuditTrail(settings.audit, new_decision_id(), worker) if settings.audit else None
        self._counters, self._ledger = Counters(), Ledger(now_seconds)
        self._observer = Observer(self._told(), 1 if settings.audit and settings.audit.writer.makes_wait else AT_ONCE)
        self._is_told = self._is_counted or self._audit is not None
        self._running: list[Running] = [part for part in (self._audit, self._tracing) if part is not None]

    def watch(self) -> Watch:
        """Give what the service tells its checks."""
        if self._is_told:
            return Watch(self._tracing.parent_of if self._tracing else no_parent, self._observer.observe)
        if self._tracing:
            return Watch(self._tracing.parent_of, self._tracing.span_of)
        return Watch()

    def let_go(self) -> None:
        """Keep nothing of checks that are over, nor of the policy that they were decided by."""
        self._observer.tell()

    def show(self, sources: Iterable[Source]) -> None:
        """Show metrics of ours, and of others, to whoever is to have them.

        Raises: SettingsError for an address that cannot be had.
        """
        counted = [
            self._told_first(self._counters.samples),
            self._told_first(self._ledger.samples),
        ]
        beside = [part.samples for part in (self._audit, self._tracing) if part is not None]
        all_sources = [*sources, process_samples, *counted, *beside]
        if is_wanted(Signal.METRICS, os.environ):
            # With OpenTelemetry's SDK behind it, it is imported only where it is asked for.
            from cors_authz.edge.metrics.otlp import export_from

            export = export_from(os.environ, all_sources, self._worker)
            self._running.append(export)
            all_sources.append(export.samples)
        if self._settings.metrics is not None:
            self._running.append(self._endpoint(self._settings.metrics, all_sources))

    def start(self) -> None:
        """Begin; once only."""
        if self._is_told:
            self._observer.start()
        for part in self._running:
            part.start()

    def stop(self) -> None:
        """End; what waits is written or sent, in bounded time; all at once, as each may wait for one that is deaf."""
        self._observer.stop()
        with ThreadPoolExecutor(max(1, len(self._running))) as endings:
            for ending in [endings.submit(part.stop) for part in self._running]:
                ending.result()

    def _told(self) -> Told:
        return Told(
            self._tracing.span_of if self._tracing else None,
            self._audit.append if self._audit else None,
            self._counters.measure if self._is_counted else None,
            (self._counters.count, self._ledger.note) if self._is_counted else (),
        )

    def _told_first(self, read: Callable[[], T]) -> Callable[[], T]:
        def read_all() -> T:
            self._observer.tell()
            return read()

        return read_all

    def _endpoint(self, options: MetricsOptions, sources: Iterable[Source]) -> Running:
        # With Prometheus' client library and an HTTP server behind it, for the same reason.
        from cors_authz.edge.metrics.endpoint import MetricsEndpoint

        return MetricsEndpoint(
            options.address(self._worker or 0), sources, {ORIGINS_PAGE: self._told_first(self._ledger.page)}
        )
