"""What is counted of checks: by what, how it is bounded, and how long it took."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from threading import Thread
from typing import NamedTuple
from weakref import ref

import pytest

from cors_authz.edge.metrics import counters as module
from cors_authz.edge.metrics.catalogue import CHECK_SECONDS, DECISIONS, ORIGIN_DECISIONS, STAGE_SECONDS
from cors_authz.edge.metrics.counters import BOUNDS_SECONDS, MAX_SERIES, Counters
from cors_authz.edge.metrics.sample import Distribution, Exemplar, Metric, Sample
from cors_authz.edge.observation import STAGES, SpanIds
from cors_authz.fetch.request import Request
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Reason
from cors_authz.policy.compiled import Trust
from tests.deciding import NOW, ask, compiled, decided, preflight

POLICY = compiled("""
    originGroups:
      web: {origins: ["https://shop.example"], trust: high}
      partner: {origins: ["https://partner.example"], trust: low, contact: a@b.example}
      open: {any: true}
    resourceGroups:
      api:
        match: [{hosts: [api.shop.example]}]
        allow:
        - {origins: [web], methods: [GET, POST], credentials: [cookie]}
        - {origins: [partner], methods: [GET], credentials: [bearer]}
      plain:
        match: [{hosts: [plain.shop.example]}]
        allow: [{origins: [web], methods: [GET]}]
      shadow:
        mode: shadow
        match: [{hosts: [shadow.shop.example]}]
        allow: [{origins: [web], methods: [GET]}]
      fonts:
        sensitivity: public
        match: [{hosts: [fonts.shop.example]}]
        allow: [{origins: [open], methods: [GET]}]
    """)
WEB, PARTNER, EVIL = "https://shop.example", "https://partner.example", "https://evil.example"
API = "https://api.shop.example/a"
READ = decided(POLICY, ask(f"GET {API}", origin=WEB))
LAPS = (1.0, 1.5, 1.75, 1.875, 1.9375, 2.0)
SPAN = SpanIds("a" * 32, "b" * 16)


def counted(*decisions: Decision) -> Counters:
    counters = Counters()
    for decision in decisions:
        counters.count(decision)
    return counters


def figures(samples: Iterable[Sample], metric: Metric) -> dict[tuple[str, ...], float | Distribution]:
    return {sample.labels: sample.value for sample in samples if sample.metric is metric}


def durations(counters: Counters, metric: Metric = CHECK_SECONDS, *labels: str) -> Distribution:
    found = figures(counters.samples(), metric)[labels]
    assert isinstance(found, Distribution)
    return found


class Case(NamedTuple):
    """A request, and the labels that it is counted by."""

    request: Request
    by_group: tuple[str, str, str, str]
    by_origin: tuple[str, str, str, str]


CASES = {
    "a listed page": Case(
        ask(f"GET {API}", origin=WEB),
        ("allow", "rule_allowed", "api", "false"),
        ("web", "high", "false", "allow"),
    ),
    "a listed page with a cookie that its rule lets through": Case(
        ask(f"GET {API}", origin=WEB, cookie="a=b"),
        ("allow", "rule_allowed", "api", "false"),
        ("web", "high", "true", "allow"),
    ),
    "a listed page with a token where its rule lets through cookies alone": Case(
        ask(f"GET {API}", origin=WEB, authorization="Bearer x"),
        ("allow", "rule_allowed", "api", "false"),
        ("web", "high", "false", "allow"),
    ),
    "a listed page with a cookie where its rule lets through none": Case(
        ask("GET https://plain.shop.example/", origin=WEB, cookie="a=b"),
        ("allow", "rule_allowed", "plain", "false"),
        ("web", "high", "false", "allow"),
    ),
    "a page of little trust with a token that its rule lets through": Case(
        ask(f"GET {API}", origin=PARTNER, authorization="Bearer x"),
        ("allow", "rule_allowed", "api", "false"),
        ("partner", "low", "true", "allow"),
    ),
    "a listed page with a method that no rule of it has": Case(
        ask(f"DELETE {API}", origin=PARTNER, authorization="Bearer x"),
        ("deny", "method_not_allowed", "api", "false"),
        ("partner", "low", "false", "deny"),
    ),
    "a preflight": Case(
        preflight(f"POST {API}", WEB),
        ("preflight_allow", "preflight_allowed", "api", "false"),
        ("web", "high", "false", "preflight_allow"),
    ),
    "a page that nobody lists": Case(
        ask(f"POST {API}", origin=EVIL, cookie="a=b"),
        ("deny", "origin_not_allowed", "api", "false"),
        ("unlisted", "none", "false", "deny"),
    ),
    "an origin that is none": Case(
        ask(f"GET {API}", origin="nonsense"),
        ("deny", "origin_malformed", "api", "false"),
        ("unlisted", "none", "false", "deny"),
    ),
    "a page of an opaque origin": Case(
        ask(f"POST {API}", origin="null"),
        ("deny", "origin_not_allowed", "api", "false"),
        ("null", "none", "false", "deny"),
    ),
    "a page of an opaque origin where any may read": Case(
        ask("GET https://fonts.shop.example/f", origin="null"),
        ("allow", "rule_allowed", "fonts", "false"),
        ("null", "none", "false", "allow"),
    ),
    "any page where any may read": Case(
        ask("GET https://fonts.shop.example/f", origin=EVIL),
        ("allow", "rule_allowed", "fonts", "false"),
        ("open", "none", "false", "allow"),
    ),
    "a page of the resource's own origin, with a cookie": Case(
        ask(f"POST {API}", origin="https://api.shop.example", cookie="a=b"),
        ("allow", "same_origin", "api", "false"),
        ("own", "none", "true", "allow"),
    ),
    "no browser, with a token": Case(
        ask(f"GET {API}", authorization="Bearer x"),
        ("allow", "not_a_browser", "api", "false"),
        ("none", "none", "true", "allow"),
    ),
    "a read without a grant, whose cookie does not travel on": Case(
        ask(f"GET {API}", origin=EVIL, cookie="a=b"),
        ("allow", "unlisted_read", "api", "false"),
        ("unlisted", "none", "false", "allow"),
    ),
    "a refusal that is not applied": Case(
        ask("POST https://shadow.shop.example/", origin=EVIL),
        ("deny", "origin_not_allowed", "shadow", "true"),
        ("unlisted", "none", "false", "deny"),
    ),
    "a host that no group has": Case(
        ask("GET https://other.example/a", origin=EVIL),
        ("deny", "host_unknown", "none", "false"),
        ("unlisted", "none", "false", "deny"),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_decision_is_counted_by_its_group_and_by_who_asked(case: Case) -> None:
    decision = decided(POLICY, case.request)
    samples = list(counted(decision, decision).samples())
    assert figures(samples, DECISIONS) == {case.by_group: 2}
    assert figures(samples, ORIGIN_DECISIONS) == {case.by_origin: 2}


def test_what_was_never_read_is_counted_too() -> None:
    samples = list(counted(refuse_unread(Reason.INTERNAL_ERROR)).samples())
    assert figures(samples, DECISIONS) == {("error", "internal_error", "none", "false"): 1}
    assert figures(samples, ORIGIN_DECISIONS) == {("none", "none", "false", "error"): 1}


def test_nothing_was_counted_at_first() -> None:
    nothing = Distribution(BOUNDS_SECONDS, (0,) * 12, 0.0, (None,) * 12)
    samples = list(Counters().samples())
    assert figures(samples, DECISIONS) == figures(samples, ORIGIN_DECISIONS) == {}
    assert figures(samples, CHECK_SECONDS) == {(): nothing}


def _renamed(decision: Decision, number: int) -> Decision:
    """Give the decision of a group and an origin group of other names, which are of high trust."""
    facts = decision.facts
    assert facts is not None
    assert facts.group is not None
    assert facts.standing is not None
    membership = facts.standing.membership._replace(group=f"o{number}")
    policy = replace(facts.policy, trust={f"o{number}": Trust.HIGH})
    standing, group = facts.standing._replace(membership=membership), replace(facts.group, name=f"g{number}")
    return decision._replace(facts=facts._replace(policy=policy, group=group, standing=standing))


def test_a_thousand_new_names_a_second_are_bounded_and_no_check_is_lost() -> None:
    counters, asked = Counters(), 3 * MAX_SERIES
    for number in range(asked):
        counters.count(_renamed(READ, number))
    samples = list(counters.samples())
    for metric, other in (
        (DECISIONS, ("allow", "rule_allowed", "other", "false")),
        (ORIGIN_DECISIONS, ("other", "high", "false", "allow")),
    ):
        found = figures(samples, metric)
        assert len(found) == MAX_SERIES + 1
        assert found[other] == asked - MAX_SERIES
        assert {count for labels, count in found.items() if labels != other} == {1}


@pytest.mark.changes_constants
def test_what_was_counted_before_the_room_was_gone_is_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SERIES", 1)
    shadowed = decided(POLICY, ask("GET https://plain.shop.example/", origin=WEB))
    samples = list(counted(READ, shadowed, READ, shadowed).samples())
    assert figures(samples, DECISIONS) == {
        ("allow", "rule_allowed", "api", "false"): 2,
        ("allow", "rule_allowed", "other", "false"): 2,
    }
    assert figures(samples, ORIGIN_DECISIONS) == {("web", "high", "false", "allow"): 4}


def test_a_duration_is_in_the_bucket_whose_bound_it_does_not_exceed() -> None:
    counters = Counters()
    for seconds in (BOUNDS_SECONDS[0], BOUNDS_SECONDS[0] * 1.01, BOUNDS_SECONDS[-1] * 2):
        counters.measure((0.0, seconds), None, NOW)
    found = durations(counters)
    assert found.counts == (1, 1, *(0,) * (len(BOUNDS_SECONDS) - 2), 1)
    assert found.total == BOUNDS_SECONDS[0] * 2.01 + BOUNDS_SECONDS[-1] * 2


def test_each_bucket_keeps_its_latest_sampled_span() -> None:
    counters = Counters()
    counters.measure((0.0, 30e-6), SPAN, NOW)
    counters.measure((0.0, 40e-6), SpanIds("c" * 32, "d" * 16), NOW + 1)
    counters.measure((0.0, 45e-6), None, NOW + 2)
    counters.measure((0.0, 1.0), SPAN, NOW)
    latest = Exemplar(SpanIds("c" * 32, "d" * 16), 40e-6, NOW + 1)
    assert durations(counters).exemplars == (None, latest, *(None,) * 9, Exemplar(SPAN, 1.0, NOW))


def test_stages_are_measured_where_all_of_their_laps_are_there() -> None:
    counters = Counters()
    for laps in (LAPS, LAPS, (LAPS[0], LAPS[-1]), LAPS[:4]):
        counters.measure(laps, None, NOW)
    found = {stage: durations(counters, STAGE_SECONDS, stage) for stage in STAGES}
    assert {stage: sum(each.counts) for stage, each in found.items()} == dict.fromkeys(STAGES, 2)
    assert [each.total for each in found.values()] == [2 * 0.5, 2 * 0.25, 2 * 0.125, 2 * 0.0625, 2 * 0.0625]
    assert (sum(durations(counters).counts), durations(counters).total) == (4, 3 * 1.0 + 0.875)


def test_what_was_read_does_not_change_any_more() -> None:
    counters = counted(READ)
    before, copy = list(counters.samples()), list(counters.samples())
    counters.measure((0.0, 1.0), SPAN, NOW)
    assert before == copy != list(counters.samples())


@pytest.fixture
def _switching_often() -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("_switching_often")
def test_threads_lose_no_check() -> None:
    counters = Counters()
    others = [_renamed(READ, number) for number in range(7)]

    def count() -> None:
        for number in range(3000):
            counters.count(READ)
            counters.count(others[number % 7])

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = figures(counters.samples(), DECISIONS)
    assert found["allow", "rule_allowed", "api", "false"] == 12_000
    assert len(found) == 8
    assert sum(value for value in found.values() if not isinstance(value, Distribution)) == 24_000


def test_nothing_that_is_counted_keeps_a_policy_alive() -> None:
    policy = compiled.__wrapped__("""
        originGroups: {web: {origins: ["https://shop.example"], trust: high}}
        resourceGroups:
          api: {match: [{hosts: [api.shop.example]}], allow: [{origins: [web], methods: [GET]}]}
        """)
    counters, gone = counted(decided(policy, ask(f"GET {API}", origin=WEB))), ref(policy)
    del policy
    gc.collect()
    assert gone() is None
    assert figures(counters.samples(), ORIGIN_DECISIONS) == {("web", "high", "false", "allow"): 1}
