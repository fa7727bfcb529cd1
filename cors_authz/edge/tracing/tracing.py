"""Traces: which checks get a span, and how the spans leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from cors_authz.edge.metrics.catalogue import SPANS
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.observation import Observation, SpanIds
from cors_authz.edge.telemetry.batches import Batches, BatchOptions
from cors_authz.edge.telemetry.otlp import Signal, is_wanted, resource, span_exporter
from cors_authz.edge.tracing.parent import ParentOf, parent_reader
from cors_authz.edge.tracing.sampling import Sampler, sampler_of
from cors_authz.edge.tracing.spans import FinishedSpan, finished_span

if TYPE_CHECKING:
    from cors_authz.edge.telemetry.collector import Collector

_DIGITS_OF_SPAN: Final = 16
_BATCHES: Final = "OTEL_BSP"


class Outlet(Protocol):
    """Where spans go. `collector` counts those that were taken, and those that were not."""

    collector: Collector

    def send(self, spans: Sequence[FinishedSpan]) -> bool:
        """Send a batch, and tell whether it was taken; may take its time."""

    def close(self) -> None:
        """Break off what is under way."""


class Tracing:
    """Makes a span of each check that is sampled, and sends it beside the checks.

    Args:
        parent_of: reads the parent from a call's metadata.
        is_sampled: tells which checks get a span.
        new_id: draws 32 hexadecimal digits, the first half of which name a span.
        outlet: where spans go.
        options: how many spans may wait.
    """

    def __init__(
        self,
        parent_of: ParentOf,
        is_sampled: Sampler,
        new_id: Callable[[], str],
        outlet: Outlet,
        options: BatchOptions,
    ) -> None:
        self.parent_of = parent_of
        self._is_sampled, self._new_id = is_sampled, new_id
        self._outlet = outlet
        self._batches: Batches[FinishedSpan] = Batches("spans", outlet.send, options)

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], worker: int | None, new_id: Callable[[], str]
    ) -> Tracing | None:
        """Do what OpenTelemetry's variables say; None where they ask for no traces.

        Args:
            environ: the environment.
            worker: the number of the worker, where there are several.
            new_id: see `Tracing`.

        Raises: SettingsError for a variable that cannot be.
        """
        if not is_wanted(Signal.TRACES, environ):
            return None
        parent_of, is_sampled = parent_reader(environ), sampler_of(environ)
        options = BatchOptions.from_environment(_BATCHES, environ)
        exporter = span_exporter(environ)
        from cors_authz.edge.tracing.outlet import OtlpOutlet

        return cls(parent_of, is_sampled, new_id, OtlpOutlet(exporter, resource(worker)), options)

    def span_of(self, observation: Observation) -> SpanIds | None:
        """Make the span of a check, and give its ids; None where the check is not sampled. Never raises."""
        parent, decision_id = observation.parent, observation.decision_id
        trace_id = decision_id if parent is None else parent.ids.trace_id
        if not self._is_sampled(trace_id, parent):
            return None
        ids = SpanIds(trace_id, self._new_id()[:_DIGITS_OF_SPAN])
        self._batches.add(finished_span(ids, observation))
        return ids

    def start(self) -> None:
        """Begin to send."""
        self._batches.start()

    def stop(self) -> None:
        """Send what waits; what the collector has not taken after two seconds is lost, and counted."""
        self._batches.stop()
        self._outlet.close()

    def samples(self) -> Iterable[Sample]:
        """Read how many spans were exported and dropped; a `Source`."""
        collector = self._outlet.collector
        yield Sample(SPANS, ("exported",), collector.taken)
        yield Sample(SPANS, ("dropped",), collector.lost + self._batches.dropped)
        yield from collector.samples()
