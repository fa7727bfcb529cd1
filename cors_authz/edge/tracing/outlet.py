"""The way out of spans: the SDK's are made of ours, and its exporter sends them. Imports the SDK."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from cors_authz import __version__
from cors_authz.edge.observation import STAGES, Parent, SpanIds
from cors_authz.edge.telemetry.exporters import WatchedSpans
from cors_authz.edge.tracing.spans import CHECK_EVENT, GUARD_EVENT, NAME, STAGE_EVENT, VERDICT, FinishedSpan
from cors_authz.pdp.verdicts import Judgements

_NANOSECONDS: Final = 1_000_000_000
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SCOPE: Final = InstrumentationScope("cors_authz", __version__)
_DECIDED: Final = STAGES.index("decide") + 1
_STATUS: Final = {True: Status(StatusCode.ERROR), False: Status(StatusCode.UNSET)}


class OtlpOutlet:
    """Sends spans by OTLP.

    Args:
        exporter: sends them.
        resource: says who sends.
    """

    def __init__(self, exporter: WatchedSpans, resource: Resource) -> None:
        self._exporter, self._resource = exporter, resource
        self.collector = exporter.collector

    def send(self, spans: Sequence[FinishedSpan]) -> bool:
        """Send a batch, for as long as the exporter tries, and tell whether it was taken."""
        taken = self._exporter.export([sdk_span(each, self._resource) for each in spans])
        return taken is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Break off what is under way."""
        self._exporter.shutdown()


def sdk_span(finished: FinishedSpan, resource: Resource) -> ReadableSpan:
    """Make the SDK's span of ours."""
    parent = finished.parent
    return ReadableSpan(
        name=NAME,
        context=_context(finished.ids, parent, is_remote=False),
        parent=_context(parent.ids, parent, is_remote=True) if parent else None,
        resource=resource,
        attributes=finished.attributes,
        events=tuple(_events(finished)),
        kind=SpanKind.SERVER,
        instrumentation_scope=_SCOPE,
        status=_STATUS[finished.is_error],
        start_time=finished.began,
        end_time=_instant(finished, finished.laps[-1]),
    )


def _context(ids: SpanIds, parent: Parent | None, *, is_remote: bool) -> SpanContext:
    state = TraceState.from_header([parent.state]) if parent and parent.state else None
    return SpanContext(int(ids.trace_id, 16), int(ids.span_id, 16), is_remote, _SAMPLED, state)


def _events(finished: FinishedSpan) -> Iterator[Event]:
    """Tell each stage when it ended, and what was asked in one of them when that one did."""
    laps = finished.laps
    ends = laps[1:]
    # A fault leaves stages out; the answer to it is encoded all the same.
    for stage, end in zip((*STAGES[: len(ends) - 1], STAGES[-1]), ends, strict=True):
        yield Event(STAGE_EVENT, {STAGE_EVENT: stage}, _instant(finished, end))
    decided = _instant(finished, laps[_DECIDED] if len(laps) > _DECIDED else laps[-1])
    yield from _judged(CHECK_EVENT, finished.checks, decided)
    yield from _judged(GUARD_EVENT, finished.guards, decided)


def _judged(event: str, judgements: Judgements, timestamp: int) -> Iterator[Event]:
    for name, verdict in judgements:
        yield Event(event, {event: name, VERDICT: verdict.value}, timestamp)


def _instant(finished: FinishedSpan, lap: float) -> int:
    return finished.began + round((lap - finished.laps[0]) * _NANOSECONDS)
