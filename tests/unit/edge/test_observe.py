"""Who is told of a check: everyone, some at a time, and a refusal where a record is required and cannot be had."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from cors_authz.edge.observation import NotRecordedError, Observation, SpanIds
from cors_authz.edge.observe import AT_ONCE, Observer, Told
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Reason
from tests.deciding import NOW
from tests.serving import until

SEEN = Observation(refuse_unread(Reason.REQUEST_MALFORMED, NOW), "1" * 32, (1.0, 1.5))
OTHER = SEEN._replace(decision_id="2" * 32)
SPAN = SpanIds("1" * 32, "2" * 16)


class Listening:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def everything(self) -> Told:
        """Listen everywhere."""
        return Told(
            lambda seen: SPAN if seen is SEEN else None,
            lambda *about: self.told.append(("record", *about)),
            lambda *about: self.told.append(("measure", *about)),
            (lambda *about: self.told.append(("count", *about)), lambda *about: self.told.append(("note", *about))),
        )

    @property
    def counted(self) -> int:
        """How many checks it was told to count."""
        return sum(what == "count" for what, *_ in self.told)


def test_each_check_is_told_to_everyone_with_its_span() -> None:
    listening = Listening()
    Observer(listening.everything(), 1).observe(SEEN)
    assert listening.told == [
        ("record", SEEN, SPAN),
        ("measure", (1.0, 1.5), SPAN, NOW),
        ("count", SEEN.decision),
        ("note", SEEN.decision),
    ]


def test_some_are_told_at_once_in_their_order() -> None:
    listening = Listening()
    observer = Observer(listening.everything(), 2)
    observer.observe(SEEN)
    assert listening.told == []
    observer.observe(OTHER)
    assert listening.told == [
        ("record", SEEN, SPAN),
        ("record", OTHER, None),
        ("measure", (1.0, 1.5), SPAN, NOW),
        ("measure", (1.0, 1.5), None, NOW),
        ("count", SEEN.decision),
        ("count", SEEN.decision),
        ("note", SEEN.decision),
        ("note", SEEN.decision),
    ]


def test_who_asks_is_told_of_those_that_wait() -> None:
    listening = Listening()
    observer = Observer(listening.everything())
    observer.observe(SEEN)
    observer.tell()
    observer.tell()
    assert len(listening.told) == 4


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
        until(lambda: listening.counted == 1)


def test_at_the_end_nothing_is_left_untold() -> None:
    listening = Listening()
    with started(Observer(listening.everything())) as observer:
        for _ in range(AT_ONCE - 1):
            observer.observe(SEEN)
    assert listening.counted == AT_ONCE - 1


def test_a_fault_of_one_who_is_told_does_not_end_the_telling(caplog: pytest.LogCaptureFixture) -> None:
    counted: list[Decision] = []
    faults = [RuntimeError("injected")]

    def append(_seen: Observation, _span: SpanIds | None) -> None:
        if faults:
            raise faults.pop()

    with started(Observer(Told(append=append, counts=(counted.append,)))) as observer:
        observer.observe(SEEN)
        until(lambda: "could not be told" in caplog.text)
        observer.observe(SEEN)
        until(lambda: counted == [SEEN.decision])


def test_what_cannot_be_recorded_is_counted_as_the_refusal_that_it_becomes() -> None:
    counted: list[Decision] = []

    def append(_seen: Observation, _span: SpanIds | None) -> None:
        raise NotRecordedError

    with pytest.raises(NotRecordedError):
        Observer(Told(append=append, counts=(counted.append,)), 1).observe(SEEN)
    assert counted == [refuse_unread(Reason.AUDIT_UNAVAILABLE, NOW)]


def test_threads_are_told_once_each() -> None:
    counted: list[Decision] = []
    records: list[str] = []
    told = Told(append=lambda seen, _span: records.append(seen.decision_id), counts=(counted.append,))
    with started(Observer(told)) as observer:

        def check(number: int) -> None:
            for index in range(1000):
                observer.observe(SEEN._replace(decision_id=f"{number}/{index}"))

        threads = [Thread(target=check, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(records), len(set(records)), len(counted)) == (4000, 4000, 4000)
