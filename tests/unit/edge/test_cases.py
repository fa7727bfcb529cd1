"""Checks that are alike are one case: which are, how they are counted, and what hostile clients get out of it."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from threading import Thread
from weakref import ref

import pytest

from cors_authz.edge import cases as module
from cors_authz.edge.cases import MAX_CASES, Cases, Features, features_of
from cors_authz.fetch.request import Kind, Request
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Outcome, Reason
from cors_authz.policy.compiled import Trust
from tests.deciding import IDENTITY, NOW, ask, compiled, decided, preflight, token

TEXT = (
    IDENTITY
    + """
originGroups:
  web: {origins: ["https://shop.example", "https://www.shop.example"], trust: high}
  previews: {origins: ["https://pr-{digits}.shop.example"], trust: medium}
resourceGroups:
  api:
    match: [{hosts: [api.shop.example, "{tenant}.api.shop.example"], paths: ["/{version}/**", "/{version}/a"]}]
    versions: {v1: {deprecated: 2026-06-01}, v2: {}}
    allow:
    - {origins: [web, previews], methods: [GET, POST], headers: [x-a], credentials: [cookie]}
  private:
    match: [{hosts: [private.shop.example]}]
    guards: [clerk]
    allow: [{origins: [web], methods: [GET], credentials: [bearer]}]
guards:
  clerk: {anyRole: [clerk], provider: main}
"""
)
POLICY = compiled(TEXT)
WEB, EVIL = "https://shop.example", "https://evil.example"
API = "https://api.shop.example/v2/b"
READ = decided(POLICY, ask(f"GET {API}", origin=WEB))


class Taken:
    """Adds up what it is told of."""

    def __init__(self) -> None:
        self.checks: Counter[Features] = Counter()

    def take(self, features: Features, checks: int) -> None:
        """Add it up."""
        assert checks > 0
        self.checks[features] += checks


def _take_nothing(_features: Features, _checks: int) -> None:
    """Add nothing up."""


def counted(*decisions: Decision) -> tuple[Cases, Taken]:
    taken = Taken()
    cases = Cases(taken.take)
    for decision in decisions:
        cases.of(decision).count += 1
    cases.settle()
    return cases, taken


def test_checks_that_are_alike_are_one_case_whatever_their_time_query_host_and_origin() -> None:
    cases = Cases(_take_nothing)
    first = cases.of(READ)
    assert cases.of(READ._replace(now=NOW + 9)) is first
    assert cases.of(decided(POLICY, ask(f"GET {API}?q=1", origin=WEB, x_a="1"))) is first
    assert cases.of(decided(POLICY, ask(f"GET {API}", origin="https://www.shop.example"))) is first


OTHERS: dict[str, Request] = {
    "an origin of another group": ask(f"GET {API}", origin="https://pr-7.shop.example"),
    "another method": ask(f"POST {API}", origin=WEB),
    "a tenant": ask("GET https://acme.api.shop.example/v2/b", origin=WEB),
    "another route of the group": ask("GET https://api.shop.example/v2/a", origin=WEB),
    "another version": ask("GET https://api.shop.example/v1/b", origin=WEB),
    "a cookie that travels on": ask(f"GET {API}", origin=WEB, cookie="a=b"),
    "a preflight": preflight(f"GET {API}", WEB),
    "a preflight that asks for a header": preflight(f"GET {API}", WEB, "x-a"),
    "no browser": ask(f"GET {API}"),
    "a refusal": ask(f"DELETE {API}", origin=WEB),
}


def test_checks_that_differ_in_what_is_counted_or_recorded_are_cases_of_their_own() -> None:
    cases = Cases(_take_nothing)
    found = {name: cases.of(decided(POLICY, request)) for name, request in OTHERS.items()}
    assert len({cases.of(READ), *found.values()}) == len(OTHERS) + 1


def test_origins_of_one_group_that_another_rule_of_their_own_admits_are_told_apart() -> None:
    policy = compiled("""
        originGroups:
          all: {origins: ["https://one.example", "https://two.example"], trust: low}
          one: {origins: ["https://one.example"], trust: high}
          two: {origins: ["https://two.example"], trust: medium}
        resourceGroups:
          api:
            match: [{hosts: [api.shop.example]}]
            allow:
            - {origins: [all], methods: [GET]}
            - {origins: [one, two], methods: [POST]}
        """)
    cases = Cases(_take_nothing)
    decisions = [
        decided(policy, ask("POST https://api.shop.example/", origin=f"https://{name}.example"))
        for name in ("one", "two")
    ]
    assert [cases.of(each).features.origin_group for each in decisions] == ["one", "two"]


def test_what_a_guard_found_is_told_apart() -> None:
    cases, request = Cases(_take_nothing), ask("GET https://private.shop.example/", origin=WEB)
    passes = decided(POLICY, request, {"main": token(roles=["clerk"])})
    refused = decided(POLICY, request, {"main": token(roles=["guest"])})
    missing = decided(POLICY, request)
    assert {each.reason for each in (passes, refused, missing)} == {
        Reason.RULE_ALLOWED,
        Reason.ROLE_MISSING,
        Reason.TOKEN_MISSING,
    }
    assert len({cases.of(each) for each in (passes, refused, missing)}) == 3


FEATURES: dict[str, tuple[Decision, Features]] = {
    "a listed origin": (
        decided(POLICY, ask(f"GET {API}", origin=WEB, cookie="a=b")),
        Features(
            Outcome.ALLOW,
            Reason.RULE_ALLOWED,
            shadow=False,
            group="api",
            kind=Kind.CROSS_ORIGIN,
            method="GET",
            has_origin=True,
            origin_group="web",
            trust=Trust.HIGH,
            credentials=True,
        ),
    ),
    "an unlisted one, of a tenant": (
        decided(POLICY, ask("POST https://acme.api.shop.example/v2/b", origin=EVIL, cookie="a=b")),
        Features(
            Outcome.DENY,
            Reason.ORIGIN_NOT_ALLOWED,
            shadow=False,
            group="api",
            kind=Kind.CROSS_ORIGIN,
            method="POST",
            has_origin=True,
        ),
    ),
    "an opaque one": (
        decided(POLICY, preflight(f"POST {API}", "null")),
        Features(
            Outcome.PREFLIGHT_DENY,
            Reason.ORIGIN_NOT_ALLOWED,
            shadow=False,
            group="api",
            kind=Kind.PREFLIGHT,
            method="POST",
            has_origin=True,
            is_opaque=True,
        ),
    ),
    "what could not be read": (
        refuse_unread(Reason.REQUEST_MALFORMED),
        Features(Outcome.DENY, Reason.REQUEST_MALFORMED, shadow=False),
    ),
}


@pytest.mark.parametrize(("decision", "features"), FEATURES.values(), ids=FEATURES)
def test_the_features_of_a_decision(decision: Decision, features: Features) -> None:
    assert features_of(decision) == features


def test_takers_are_told_what_is_new_and_nothing_twice() -> None:
    cases, taken = counted(READ, READ, refuse_unread(Reason.REQUEST_MALFORMED))
    cases.settle()
    cases.of(READ).count += 1
    cases.settle()
    assert taken.checks == {features_of(READ): 3, features_of(refuse_unread(Reason.REQUEST_MALFORMED)): 1}


def _strangers(count: int) -> Iterator[Decision]:
    return (decided(POLICY, ask(f"M{number} {API}", origin=EVIL)) for number in range(count))


def test_a_case_that_gave_way_is_told_with_all_that_was_counted() -> None:
    count = 3 * MAX_CASES + 5
    _, taken = counted(*_strangers(count))
    assert (len(taken.checks), taken.checks.total()) == (count, count)


def test_who_holds_a_case_that_gives_way_can_still_count_there() -> None:
    taken = Taken()
    cases = Cases(taken.take)
    held = cases.of(READ)
    for decision in _strangers(MAX_CASES + 1):
        cases.of(decision).count += 1
    held.count += 1
    cases.settle()
    assert taken.checks[features_of(READ)] == 1


def test_long_texts_of_hostile_clients_are_not_kept() -> None:
    cases = Cases(_take_nothing)
    decisions = list(_strangers(1))
    tracemalloc.start()
    try:
        for number in range(MAX_CASES):
            request = ask(f"M{number}{'A' * 60_000} {API}", origin=EVIL)
            cases.of(decided(POLICY, request)).count += 1
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cases.of(decisions[0]) is cases.of(decisions[0])
    assert kept < MAX_CASES * 4096


def test_another_policy_begins_anew_and_nothing_of_it_keeps_the_former_alive() -> None:
    former = compiled.__wrapped__(TEXT)
    taken = Taken()
    cases = Cases(taken.take)
    held = cases.of(decided(former, ask(f"GET {API}", origin=WEB)))
    held.count += 1
    gone = ref(former)
    assert cases.of(READ) is not held
    del former, held
    gc.collect()
    assert gone() is None
    cases.settle()
    assert taken.checks == {features_of(READ): 1}


@pytest.fixture
def _switching_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_switching_often")
def test_threads_lose_no_check_while_somebody_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CASES", 20)
    taken = Taken()
    cases = Cases(taken.take)
    strangers = list(_strangers(15))

    def count() -> None:
        for number in range(3000):
            for decision in (READ, strangers[number % 15]):
                cases.of(decision).count += 1

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        cases.settle()
    for thread in threads:
        thread.join()
    cases.settle()
    assert (taken.checks[features_of(READ)], taken.checks.total()) == (12_000, 24_000)
