"""Who is told of a check: everyone, some at a time, and a refusal where a record is required and cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from cors_authz.edge.cases import Case, Cases, Features
from cors_authz.edge.observation import NotRecordedError, Observation, SpanIds
from cors_authz.edge.observe import AT_ONCE, Observer, Told
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Reason
from tests.deciding import NOW
from tests.serving import until

SEEN = Observation(refuse_unread(Reason.REQUEST_MALFORMED, NOW), "1" * 32, (1.0, 1.5))
OTHER = SEEN._replace(decision_id="2" * 32)
SPAN = SpanIds("1" * 32, "2" * 16)


class Listening:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.cases = Cases(lambda _about, _checks: None)

    def everything(self) -> Told:
        """Listen everywhere."""
        return Told(
            self.cases.of,
            lambda seen: SPAN if seen is SEEN else None,
            lambda *about: self.told.append(("record", *about)),
            lambda *about: self.told.append(("measure", *about)),
            lambda *about: self.told.append(("note", *about)),
        )

    def case(self) -> Case:
        """Give the case of the checks."""
        return self.cases.of(SEEN.decision)


def test_each_check_is_told_to_everyone_with_its_span_and_its_case() -> None:
    listening = Listening()
    Observer(listening.everything(), 1).observe(SEEN)
    case = listening.case()
    assert listening.told == [
        ("record", SEEN, SPAN, case),
        ("measure", (1.0, 1.5), SPAN, NOW),
        ("note", SEEN.decision, case),
    ]
    assert case.count == 1


def test_some_are_told_at_once_in_their_order() -> None:
    listening = Listening()
    observer = Observer(listening.everything(), 2)
    observer.observe(SEEN)
    assert listening.told == []
    observer.observe(OTHER)
    case = listening.case()
    assert listening.told == [
        ("record", SEEN, SPAN, case),
        ("record", OTHER, None, case),
        ("measure", (1.0, 1.5), SPAN, NOW),
        ("measure", (1.0, 1.5), None, NOW),
        ("note", SEEN.decision, case),
        ("note", SEEN.decision, case),
    ]
    assert case.count == 2


def test_who_asks_is_told_of_those_that_wait() -> None:
    listening = Listening()
    observer = Observer(listening.everything())
    observer.observe(SEEN)
    observer.tell()
    observer.tell()
    assert (listening.case().count, len(listening.told)) == (1, 3)


@contextmanager
def started(observer: Observer) -> Iterator[Observer]:
    observer.start()
    try:
        yield observer
    finally:
        observer.stop()


def test_one_that_waits_for_others_in_vain_is_told_all_the_same() -> None:
    listening = Listening()
    with started(Observer(listening.everything())) as observer:
        observer.observe(SEEN)
        until(lambda: listening.case().count == 1)


def test_at_the_end_nothing_is_left_untold() -> None:
    listening = Listening()
    with started(Observer(listening.everything())) as observer:
        for _ in range(AT_ONCE - 1):
            observer.observe(SEEN)
    assert listening.case().count == AT_ONCE - 1


def test_a_fault_of_one_who_is_told_does_not_end_the_telling(caplog: pytest.LogCaptureFixture) -> None:
    cases, faults = Cases(lambda _about, _checks: None), [RuntimeError("injected")]

    def append(_seen: Observation, _span: SpanIds | None, _case: Case) -> None:
        if faults:
            raise faults.pop()

    with started(Observer(Told(cases.of, append=append))) as observer:
        observer.observe(SEEN)
        until(lambda: "could not be told" in caplog.text)
        observer.observe(SEEN)
        until(lambda: cases.of(SEEN.decision).count == 1)


def test_what_cannot_be_recorded_is_counted_as_the_refusal_that_it_becomes() -> None:
    cases = Cases(lambda _about, _checks: None)

    def append(_seen: Observation, _span: SpanIds | None, _case: Case) -> None:
        raise NotRecordedError

    with pytest.raises(NotRecordedError):
        Observer(Told(cases.of, append=append), 1).observe(SEEN)
    assert cases.of(SEEN.decision).count == 0
    assert cases.of(refuse_unread(Reason.AUDIT_UNAVAILABLE)).count == 1


def test_threads_are_told_once_each() -> None:
    counted: list[int] = []

    def take(_about: Features, checks: int) -> None:
        counted.append(checks)

    cases = Cases(take)
    records: list[str] = []
    told = Told(cases.of, append=lambda seen, _span, _case: records.append(seen.decision_id))
    with started(Observer(told)) as observer:

        def check(number: int) -> None:
            for index in range(1000):
                observer.observe(SEEN._replace(decision_id=f"{number}/{index}"))

        threads = [Thread(target=check, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    cases.settle()
    assert (len(records), len(set(records)), sum(counted)) == (4000, 4000, 4000)
