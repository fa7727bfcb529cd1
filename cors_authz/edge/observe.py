"""Who is told of each check, in which order: the trace, the cases, the audit trail, the clocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from cors_authz.edge.cases import Case
from cors_authz.edge.observation import NotRecordedError, Observation, Observe, SpanIds
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Reason

CaseOf: TypeAlias = Callable[[Decision], Case]
"""Gives the case of a check, which is counted there."""
SpanOf: TypeAlias = Callable[[Observation], SpanIds | None]
"""Makes the span of a check; None where it is not sampled."""
Append: TypeAlias = Callable[[Observation, SpanIds | None, Case], None]
"""Records a check; may raise NotRecordedError."""
Note: TypeAlias = Callable[[Decision, Case], None]
"""Notes whose origin it was."""
Measure: TypeAlias = Callable[[Sequence[float], SpanIds | None, float], None]
"""Measures how long a check took, by its laps, in a span, at a time."""


class Told(NamedTuple):
    """Who is told; None is nobody."""

    case_of: CaseOf
    span_of: SpanOf | None = None
    append: Append | None = None
    measure: Measure | None = None
    note: Note | None = None


def observer(told: Told) -> Observe:
    """Put together what is told of each check. Where it must be recorded and cannot be, a refusal is counted."""
    case_of, span_of, append, measure, note = told

    def observe(seen: Observation) -> None:
        decision = seen.decision
        span = span_of(seen) if span_of else None
        case = case_of(decision)
        if measure:
            measure(seen.laps, span, decision.now)
        try:
            if append:
                append(seen, span, case)
        except NotRecordedError:
            case_of(refuse_unread(Reason.AUDIT_UNAVAILABLE, decision.now)).count += 1
            raise
        case.count += 1
        if note:
            note(decision, case)

    return observe
