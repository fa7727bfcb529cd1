"""What is counted of decisions."""

from __future__ import annotations

from collections import Counter
from threading import Thread

from cors_authz.edge.counters import BOUNDS_SECONDS, Counters, Counts, Decided
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Outcome, Reason
from tests.deciding import ask, compiled, decided

POLICY = compiled("""
    originGroups:
      web: {origins: ["https://shop.example"], trust: high}
    resourceGroups:
      api:
        match: [{hosts: [api.shop.example]}]
        allow: [{origins: [web], methods: [GET]}]
    """)
READ = decided(POLICY, ask("GET https://api.shop.example/a", origin="https://shop.example"))
STRANGER = decided(POLICY, ask("GET https://other.example/a"))


def test_nothing_was_counted_at_first() -> None:
    assert Counters().read() == Counts(Counter(), (0,) * (len(BOUNDS_SECONDS) + 1), 0.0)


def test_decisions_are_counted_by_outcome_reason_and_group() -> None:
    counters = Counters()
    for decision in (READ, READ, STRANGER, refuse_unread(Reason.REQUEST_MALFORMED)):
        counters.count(decision, 0.0)
    assert counters.read().decisions == {
        Decided(Outcome.ALLOW, Reason.RULE_ALLOWED, "api"): 2,
        Decided(Outcome.DENY, Reason.HOST_UNKNOWN, ""): 1,
        Decided(Outcome.DENY, Reason.REQUEST_MALFORMED, ""): 1,
    }


def test_a_duration_is_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    counters = Counters()
    for seconds in (BOUNDS_SECONDS[0], BOUNDS_SECONDS[0] * 1.01, BOUNDS_SECONDS[-1] * 2):
        counters.count(READ, seconds)
    counts = counters.read()
    assert counts.durations == (1, 1, *(0,) * (len(BOUNDS_SECONDS) - 2), 1)
    assert counts.seconds == BOUNDS_SECONDS[0] * 2.01 + BOUNDS_SECONDS[-1] * 2


def test_what_was_read_does_not_change_any_more() -> None:
    counters = Counters()
    before = counters.read()
    counters.count(READ, 0.0)
    assert before.decisions == {}


def test_threads_lose_no_count() -> None:
    counters = Counters()

    def count() -> None:
        for _ in range(5000):
            counters.count(READ, 0.0)

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counters.read().durations) == 20_000
