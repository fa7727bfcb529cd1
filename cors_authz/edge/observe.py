"""Who is told of each check, in which order: the trace, the cases, the audit trail, the clocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from cors_authz.edge.cases import Case
from cors_authz.edge.observation import NotRecordedError, Observation, Observe, SpanIds
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Reason

SpanOf: TypeAlias = Callable[[Observation], SpanIds | None]
"""Gives the span of a check, None where it is not sampled."""
CaseOf: TypeAlias = Callable[[Decision], Case]
"""Gives the case of a check, which is counted there."""
Append: TypeAlias = Callable[[Observation, SpanIds | None, Case], None]
"""Records a check; may raise NotRecordedError."""
Measure: TypeAlias = Callable[[Sequence[float], float, SpanIds | None], None]
"""Measures how long a check took, by its laps, at a time, in a span."""


class Told(NamedTuple):
    """Who is told: `append` and `measure` may be told nothing."""

    case_of: CaseOf
    append: Append
    measure: Measure
    span_of: SpanOf


def observer(told: Told) -> Observe:
    """Put together what is told of each check. Where it must be recorded and cannot be, a refusal is counted."""
    case_of, append, measure, span_of = told

    def observe(seen: Observation) -> None:
        decision = seen.decision
        span = span_of(seen)
        case = case_of(decision)
        measure(seen.laps, decision.now, span)
        try:
            append(seen, span, case)
        except NotRecordedError:
            case_of(refuse_unread(Reason.AUDIT_UNAVAILABLE, decision.now)).add(decision.now)
            raise
        case.add(decision.now)

    return observe


def no_span(_seen: Observation) -> SpanIds | None:
    """Give no check a span."""
    return None


def no_record(_seen: Observation, _span: SpanIds | None, _case: Case) -> None:
    """Record nothing."""


def no_measure(_laps: Sequence[float], _now: float, _span: SpanIds | None) -> None:
    """Measure nothing."""
