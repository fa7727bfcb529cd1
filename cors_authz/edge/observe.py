"""Who is told of each check, in which order: the trace, the audit trail, the counters, the ledger of origins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from cors_authz.edge.observation import NotRecordedError, Observation, Observe, SpanIds
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Reason

SpanOf: TypeAlias = Callable[[Observation], SpanIds | None]
"""Gives the span of a check, None where it is not sampled."""
Take: TypeAlias = Callable[[Observation, SpanIds | None], None]
Note: TypeAlias = Callable[[Observation], None]


def observer(span_of: SpanOf, append: Take, count: Take, note: Note) -> Observe:
    """Put together what is told of each check.

    Args:
        span_of: gives a check its span.
        append: records it; may raise NotRecordedError, and then a refusal is counted in its place.
        count: counts it.
        note: notes whose origin it was.
    """

    def observe(seen: Observation) -> None:
        span = span_of(seen)
        try:
            append(seen, span)
        except NotRecordedError:
            count(_unrecorded(seen), span)
            raise
        count(seen, span)
        note(seen)

    return observe


def no_span(_seen: Observation) -> SpanIds | None:
    """Give no check a span."""
    return None


def no_record(_seen: Observation, _span: SpanIds | None) -> None:
    """Record nothing."""


def _unrecorded(seen: Observation) -> Observation:
    return seen._replace(decision=refuse_unread(Reason.AUDIT_UNAVAILABLE, seen.decision.now))
