"""The metrics by OTLP: read now and then, and sent from a thread of its own to a collector that may be slow or away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource

from cors_authz.edge.clock import now_seconds
from cors_authz.edge.metrics.otlp_data import metrics_data
from cors_authz.edge.metrics.sample import Sample, Source
from cors_authz.edge.metrics.sources import Sources
from cors_authz.edge.telemetry.exporters import WatchedMetrics
from cors_authz.edge.telemetry.otlp import metric_exporter, resource
from cors_authz.edge.telemetry.variables import seconds_of

_log = logging.getLogger(__name__)

STOP_SECONDS: Final = 2.0
"""How long the end waits for the last reading to be taken."""

_PREFERENCE: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Pace:
    """How often metrics are sent, and how long that may take.

    Spec: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#periodic-exporting-metricreader.
    """

    interval_seconds: float = 60.0
    timeout_seconds: float = 30.0


def pace_of(environ: Mapping[str, str]) -> Pace:
    """Read the pace from the standard variables.

    Raises: SettingsError for a variable that cannot be.
    """
    defaults = {
        "OTEL_METRIC_EXPORT_INTERVAL": Pace().interval_seconds,
        "OTEL_METRIC_EXPORT_TIMEOUT": Pace().timeout_seconds,
    }
    return Pace(
        *(
            seconds_of(name, environ.get(name, "").strip(), int(seconds * _MILLISECONDS))
            for name, seconds in defaults.items()
        )
    )


def export_from(environ: Mapping[str, str], sources: Iterable[Source], worker: int | None) -> MetricsExport:
    """Make what the standard variables ask for; `is_wanted(Signal.METRICS, environ)` says whether they do.

    Args:
        environ: the environment of the process.
        sources: what is sent.
        worker: the number of the worker, where there are several.

    Raises: SettingsError for a variable that cannot be.
    """
    wish = environ.get(_PREFERENCE, "").strip()
    if wish.lower() not in {"", "cumulative"}:
        _log.warning(
            "%s: `%s` is not done here, metrics are cumulative; let the collector convert them", _PREFERENCE, wish
        )
    return MetricsExport(sources, metric_exporter(environ), resource(worker), pace_of(environ))


class MetricsExport:
    """Sends all metrics every so many seconds, and a last time at the end; counters count from its beginning on.

    Args:
        sources: what is sent.
        exporter: sends it, and counts what the collector did not take.
        about: who sends.
        pace: how often.
        clock: gives the time in seconds since the epoch.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        exporter: WatchedMetrics,
        about: Resource,
        pace: Pace,
        clock: Callable[[], float] = now_seconds,
    ) -> None:
        self._sources = Sources((*sources, self.samples))
        self._exporter = exporter
        self._about = about
        self._pace = pace
        self._clock = clock
        self._began = clock()
        self._ended = Event()
        self._thread = Thread(target=self._run, name="metrics export", daemon=True)

    def start(self) -> None:
        """Begin to send; once only."""
        self._thread.start()

    def stop(self) -> None:
        """Send a last reading; what the collector has not taken after `STOP_SECONDS` is given up."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)
        self._exporter.shutdown()

    def samples(self) -> Iterable[Sample]:
        """Read how often the collector took nothing; a `Source`."""
        return self._exporter.collector.samples()

    def read(self) -> MetricsData:
        """Read all metrics, as the SDK's exporters take them."""
        return metrics_data(self._sources.read(), self._about, self._began, self._clock())

    def _run(self) -> None:
        while not self._ended.wait(self._pace.interval_seconds):
            self._send()
        self._send()

    def _send(self) -> None:
        try:
            self._exporter.export(self.read(), self._pace.timeout_seconds * _MILLISECONDS)
        except Exception:  # noqa: BLE001 - whatever it is, the next reading is sent
            _log.exception("a reading of the metrics could not be sent by OTLP")
