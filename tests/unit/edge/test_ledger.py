"""Who asks: what the ledger counts, what it leaves out, and what it does when it is full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Thread
from typing import Final, NamedTuple

import orjson
import pytest

from cors_authz.edge import ledger as module
from cors_authz.edge.ledger import Ledger
from cors_authz.edge.metrics.catalogue import NEW_ORIGINS, ORIGINS_FOLDED, TENANT_CHECKS
from cors_authz.fetch.request import Request
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Reason
from tests.deciding import ask, compiled, decided, preflight

BEGAN: Final = 1_000.0
ENDED: Final = 2_000.0
POLICY: Final = compiled("""
    originGroups:
      web: {origins: ["https://shop.example"], trust: high}
      previews: {origins: ["https://pr-{digits}.shop.example"], trust: low}
      elsewhere: {origins: ["https://other.example"], trust: low}
    resourceGroups:
      api:
        match:
        - {hosts: ["{tenant}.api.example"]}
        - {hosts: [paths.example], paths: ["/{tenant}/**"]}
        allow: [{origins: [web, previews], methods: [GET, POST]}]
      closed:
        match: [{hosts: [closed.example]}]
        allow: []
    """)
SHOP: Final = "https://shop.example"
EVIL: Final = "https://evil.example"
API: Final = "https://acme.api.example/a"


def _tell(ledger: Ledger, decision: Decision) -> None:
    ledger.note(decision)


def _ledger(*requests: Request, now: float = BEGAN) -> Ledger:
    ledger = Ledger(iter((BEGAN, ENDED, ENDED)).__next__)
    _note(ledger, *requests, now=now)
    return ledger


def _note(ledger: Ledger, *requests: Request, now: float = BEGAN) -> None:
    for request in requests:
        _tell(ledger, decided(POLICY, request, now=now))


def _entries(ledger: Ledger) -> list[dict[str, object]]:
    page = orjson.loads(ledger.page())
    entries: list[dict[str, object]] = page["entries"]
    return entries


def _counted(ledger: Ledger) -> dict[str, float]:
    return {sample.metric.name: float(str(sample.value)) for sample in ledger.samples() if not sample.labels}


def _of_tenants(ledger: Ledger) -> dict[tuple[str, ...], float]:
    return {sample.labels: float(str(sample.value)) for sample in ledger.samples() if sample.metric is TENANT_CHECKS}


def _many(count: int, start: int = 0) -> Iterable[Request]:
    return (ask(f"GET {API}", origin=f"https://{index}.evil.example") for index in range(start, start + count))


class Case(NamedTuple):
    """A request, and the parts of its entry that differ: None for a request that has no entry."""

    request: Request
    entry: Mapping[str, object] | None


OF_SHOP: Final = {"origin": SHOP, "origin_group": "web"}
OF_EVIL: Final = {"origin": EVIL, "origin_group": ""}
CASES: Final = {
    "a listed origin counts under its origin group": Case(ask(f"GET {API}", origin=SHOP), OF_SHOP),
    "an origin that a pattern admits counts under its own name": Case(
        ask(f"GET {API}", origin="https://pr-7.shop.example"),
        {"origin": "https://pr-7.shop.example", "origin_group": "previews"},
    ),
    "a listed origin that is refused is listed all the same": Case(
        ask(f"DELETE {API}", origin=SHOP), {**OF_SHOP, "outcomes": {"deny": 1}, "methods": ["DELETE"]}
    ),
    "a preflight counts by the method that it asks for": Case(
        preflight(f"POST {API}", SHOP), {**OF_SHOP, "outcomes": {"preflight_allow": 1}, "methods": ["POST"]}
    ),
    "an unlisted origin has no origin group": Case(
        ask(f"POST {API}", origin=EVIL), {**OF_EVIL, "outcomes": {"deny": 1}, "methods": ["POST"]}
    ),
    "an origin that another resource group lists is unlisted here": Case(
        ask(f"POST {API}", origin="https://other.example"),
        {"origin": "https://other.example", "origin_group": "", "outcomes": {"deny": 1}, "methods": ["POST"]},
    ),
    "the opaque origin is one of them": Case(
        ask(f"POST {API}", origin="null"),
        {"origin": "null", "origin_group": "", "outcomes": {"deny": 1}, "methods": ["POST"]},
    ),
    "an invented method is another one": Case(
        ask(f"BREW {API}", origin=EVIL), {**OF_EVIL, "outcomes": {"deny": 1}, "methods": ["other"]}
    ),
    "a host without a tenant has none": Case(
        ask("POST https://closed.example/", origin=EVIL),
        {**OF_EVIL, "tenant": "", "group": "closed", "outcomes": {"deny": 1}, "methods": ["POST"]},
    ),
    "a host that nobody governs has no resource group": Case(
        ask("POST https://nowhere.example/", origin=EVIL),
        {**OF_EVIL, "tenant": "", "group": "", "outcomes": {"deny": 1}, "methods": ["POST"]},
    ),
    "an over-long origin is cut": Case(
        ask(f"POST {API}", origin="https://" + "a" * 300),
        {"origin": "https://" + "a" * 248, "origin_group": "", "outcomes": {"deny": 1}, "methods": ["POST"]},
    ),
    "an over-long tenant is cut": Case(
        ask(f"GET https://paths.example/{'t' * 300}/a", origin=SHOP),
        {**OF_SHOP, "tenant": "t" * 256},
    ),
    "a page of the API's own origin is nobody foreign": Case(
        ask(f"POST {API}", origin="https://acme.api.example"), None
    ),
    "a request without an origin has nobody to count": Case(ask(f"GET {API}"), None),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_who_is_counted(case: Case) -> None:
    usual = {
        "tenant": "acme",
        "group": "api",
        "outcomes": {"allow": 1},
        "methods": ["GET"],
        "first": BEGAN,
        "last": BEGAN,
    }
    assert _entries(_ledger(case.request)) == ([] if case.entry is None else [{**usual, **case.entry}])


def test_a_request_that_could_not_be_read_has_nobody_to_count() -> None:
    ledger = _ledger()
    _tell(ledger, refuse_unread(Reason.REQUEST_MALFORMED))
    assert _entries(ledger) == []


def test_what_comes_again_adds_up_and_the_first_time_stays() -> None:
    ledger = _ledger(ask(f"GET {API}", origin=SHOP), now=10.0)
    _note(
        ledger, ask(f"GET {API}", origin=SHOP), preflight(f"POST {API}", SHOP), ask(f"PUT {API}", origin=SHOP), now=20.0
    )
    assert _entries(ledger) == [
        {
            "tenant": "acme",
            "group": "api",
            "origin": SHOP,
            "origin_group": "web",
            "outcomes": {"allow": 2, "deny": 1, "preflight_allow": 1},
            "methods": ["GET", "POST", "PUT"],
            "first": 10.0,
            "last": 20.0,
        }
    ]


def test_a_name_that_no_json_carries_is_mended() -> None:
    ledger = _ledger()
    decision = decided(POLICY, ask(f"GET {API}", origin=SHOP))
    assert decision.facts is not None
    _tell(ledger, decision._replace(facts=decision.facts._replace(tenants=("a\ud800b",))))
    assert [entry["tenant"] for entry in _entries(ledger)] == ["a?b"]


def test_tenants_and_resource_groups_are_counted_apart() -> None:
    hosts = ("acme.api.example", "globex.api.example", "closed.example")
    ledger = _ledger(*(ask(f"POST https://{host}/a", origin=SHOP) for host in hosts))
    assert [(entry["tenant"], entry["group"], entry["origin_group"]) for entry in _entries(ledger)] == [
        ("acme", "api", "web"),
        ("globex", "api", "web"),
        ("", "closed", ""),
    ]


def test_the_page_says_what_time_it_speaks_of() -> None:
    assert orjson.loads(_ledger().page()) == {"since": BEGAN, "until": ENDED, "folded": 0, "entries": []}


def test_an_unlisted_origin_is_new_once_wherever_it_asks() -> None:
    unlisted = (ask(f"POST {API}", origin=EVIL), ask("POST https://closed.example/", origin=EVIL))
    ledger = _ledger(*unlisted, *unlisted, ask(f"GET {API}", origin=SHOP))
    assert _counted(ledger) == {NEW_ORIGINS.name: 1, ORIGINS_FOLDED.name: 0}


@pytest.mark.changes_constants
def test_when_it_is_full_it_keeps_whom_it_knows_and_folds_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    ledger = _ledger(*_many(2), now=10.0)
    _note(ledger, *_many(4), ask(f"GET {API}", origin=SHOP), now=20.0)
    _note(ledger, *(ask(f"GET {API}", origin=f"https://pr-{number}.shop.example") for number in range(3)), now=30.0)
    told = [
        (entry["tenant"], entry["origin"], entry["origin_group"], entry["outcomes"], entry["last"])
        for entry in _entries(ledger)
    ]
    assert told == [
        ("acme", "https://0.evil.example", "", {"allow": 2}, 20.0),
        ("acme", "https://1.evil.example", "", {"allow": 2}, 20.0),
        (None, None, "", {"allow": 2}, 20.0),
        (None, SHOP, "web", {"allow": 1}, 20.0),
        (None, "https://pr-{digits}.shop.example", "previews", {"allow": 3}, 30.0),
    ]
    assert orjson.loads(ledger.page())["folded"] == 6


@pytest.mark.changes_constants
def test_a_flood_does_not_hide_that_further_origins_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 4)
    monkeypatch.setattr(module, "MAX_NEWCOMERS", 10)
    ledger = _ledger(*_many(100))
    _note(ledger, *_many(20, start=80))
    assert _counted(ledger)[NEW_ORIGINS.name] == 100
    _note(ledger, *_many(10))  # four of them have their entry
    assert _counted(ledger)[NEW_ORIGINS.name] == 106
    assert len(_entries(ledger)) == 5


@pytest.mark.changes_constants
def test_checks_of_tenants_are_counted_in_a_bounded_number_of_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TENANTS", 2)
    names = ("acme", "globex", "initech", "umbrella", "acme")
    requests = [ask(f"POST https://{name}.api.example/a", origin=SHOP) for name in names]
    ledger = _ledger(*requests, ask(f"DELETE {API}", origin=SHOP), ask("POST https://closed.example/", origin=SHOP))
    assert _of_tenants(ledger) == {
        ("acme", "allow"): 2,
        ("acme", "deny"): 1,
        ("globex", "allow"): 1,
        ("other", "allow"): 2,
    }


@pytest.mark.changes_constants
def test_tenants_that_a_full_ledger_folds_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 1)
    requests = [ask(f"GET https://{name}.api.example/a", origin=SHOP) for name in ("acme", "globex", "acme")]
    assert _of_tenants(_ledger(*requests)) == {("acme", "allow"): 2, ("other", "allow"): 1}


def test_a_reload_that_lists_an_origin_begins_another_entry() -> None:
    ledger = _ledger(ask(f"POST {API}", origin=EVIL))
    after = compiled("""
        originGroups:
          web: {origins: ["https://evil.example"], trust: high}
        resourceGroups:
          api:
            match: [{hosts: ["{tenant}.api.example"]}]
            allow: [{origins: [web], methods: [POST]}]
        """)
    _tell(ledger, decided(after, ask(f"POST {API}", origin=EVIL)))
    assert [(entry["origin_group"], entry["outcomes"]) for entry in _entries(ledger)] == [
        ("", {"deny": 1}),
        ("web", {"allow": 1}),
    ]


def test_threads_lose_no_count() -> None:
    ledger = _ledger()
    decision = decided(POLICY, ask(f"GET {API}", origin=SHOP))

    def note() -> None:
        for _ in range(5_000):
            _tell(ledger, decision)

    threads = [Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _entries(ledger)[0]["outcomes"] == {"allow": 20_000}
