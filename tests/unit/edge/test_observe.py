"""Who is told of a check: everyone, in one order, and a refusal where a record is required and cannot be had."""

from __future__ import annotations

import pytest

from cors_authz.edge.cases import Case, Cases, Features
from cors_authz.edge.observation import NotRecordedError, Observation, SpanIds
from cors_authz.edge.observe import Told, observer
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Reason
from tests.deciding import NOW

SEEN = Observation(refuse_unread(Reason.REQUEST_MALFORMED, NOW), "1" * 32, (1.0, 1.5))
SPAN = SpanIds("1" * 32, "2" * 16)


def _take_nothing(_features: Features, _checks: int) -> None:
    """Add nothing up."""


def test_each_is_told_with_the_span_and_the_case_of_the_check() -> None:
    told: list[tuple[object, ...]] = []
    cases = Cases(_take_nothing)
    observe = observer(
        Told(
            cases.of,
            lambda _seen: SPAN,
            lambda *about: told.append(("record", *about)),
            lambda *about: told.append(("measure", *about)),
            lambda *about: told.append(("note", *about)),
        )
    )
    observe(SEEN)
    case = cases.of(SEEN.decision)
    assert told == [("measure", (1.0, 1.5), SPAN, NOW), ("record", SEEN, SPAN, case), ("note", SEEN.decision, case)]
    assert case.count == 1


def test_what_cannot_be_recorded_is_counted_as_the_refusal_that_it_becomes() -> None:
    cases = Cases(_take_nothing)

    def append(_seen: Observation, _span: SpanIds | None, _case: Case) -> None:
        raise NotRecordedError

    with pytest.raises(NotRecordedError):
        observer(Told(cases.of, append=append))(SEEN)
    assert cases.of(SEEN.decision).count == 0
    assert cases.of(refuse_unread(Reason.AUDIT_UNAVAILABLE)).count == 1


def test_spans_records_and_measures_can_be_left_out() -> None:
    cases = Cases(_take_nothing)
    observer(Told(cases.of))(SEEN)
    assert cases.of(SEEN.decision).count == 1
