"""Who asked: what is taken of audit lines and of services' pages, and how it adds up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pytest

from cors_authz.review import usage as module
from cors_authz.review.usage import Sources, Span, Tally, UnreadablePageError, Usage, Who

DAY: Final = 86_400.0
NOW: Final = 20_000 * DAY
LATER: Final = NOW + 30 * DAY
SHOP: Final = "https://shop.example"
WHO: Final = Who("acme", "api", "web", SHOP)
LONG_WHO: Final = WHO._replace(tenant="t" * 256, origin="https://" + "x" * 248)
DECISION: Final = {
    "kind": "decision",
    "time": NOW,
    "outcome": "allow",
    "reason": "rule_allowed",
    "origin": SHOP,
    "origin_group": "web",
    "method": "GET",
    "host": "acme.api.example",
    "tenant": "acme",
    "group": "api",
}


def _line(**changes: object) -> bytes:
    """Write a decision; what is changed to None is left out."""
    return json.dumps({name: value for name, value in (DECISION | changes).items() if value is not None}).encode()


def _read(*lines: bytes) -> Usage:
    usage = Usage(LATER)
    for line in lines:
        usage.read_line(line)
    return usage


def _page(*entries: dict[str, Any], since: float = NOW - DAY, until: float = NOW, folded: int = 0) -> bytes:
    return json.dumps({"since": since, "until": until, "folded": folded, "entries": entries}).encode()


def _entry(**changes: object) -> dict[str, Any]:
    entry = {
        "tenant": "acme",
        "group": "api",
        "origin": SHOP,
        "origin_group": "web",
        "outcomes": {"allow": 3},
        "methods": ["GET"],
        "first": NOW - 10,
        "last": NOW - 5,
    }
    return entry | changes


# --- Lines ------------------------------------------------------------------------------------------------------------


class Line(NamedTuple):
    """A line, and what is added up of it: whose, how many, by which methods."""

    line: bytes
    who: Who | None
    outcomes: Mapping[str, float] = MappingProxyType({"allow": 1})
    methods: frozenset[str] = frozenset({"GET"})


COUNTED: Final = {
    "a decision counts for its origin": Line(_line(), WHO),
    "a refusal counts as one": Line(_line(outcome="deny"), WHO, {"deny": 1}),
    "a line that was kept for four counts for four": Line(_line(share=0.25), WHO, {"allow": 4}),
    "an unlisted origin has no origin group": Line(_line(origin_group=None), WHO._replace(origin_group="")),
    "a request without a tenant has none": Line(_line(tenant=None), WHO._replace(tenant="")),
    "a method that was not recorded is none": Line(_line(method=None), WHO, methods=frozenset()),
    "an invented method is cut": Line(_line(method="X" * 500), WHO, methods=frozenset({"X" * 32})),
    "a preflight counts by the method that it asks for": Line(
        _line(outcome="preflight_deny", method="OPTIONS", headers={"access-control-request-method": "PUT"}),
        WHO,
        {"preflight_deny": 1},
        frozenset({"PUT"}),
    ),
    "a method that is no text is none": Line(_line(method=["GET"]), WHO, methods=frozenset()),
    "http to the host of an https service is another origin": Line(
        _line(origin="http://acme.api.example"), WHO._replace(origin="http://acme.api.example")
    ),
    "names are cut": Line(_line(origin="https://" + "x" * 500, tenant="t" * 500), LONG_WHO),
    "a line may have been kept for a million": Line(_line(share=1e-6), WHO, {"allow": 1e6}),
    "a request without an origin is nobody's": Line(_line(origin=None), None),
    "a page that asked its own origin is not foreign": Line(_line(reason="same_origin"), None),
    "nor is one that was refused there": Line(_line(origin="https://acme.api.example", outcome="deny"), None),
    "nor is one whose host names the default port": Line(
        _line(origin="https://acme.api.example", host="acme.api.example:443"), None
    ),
}


@pytest.mark.parametrize("case", COUNTED.values(), ids=COUNTED)
def test_what_a_decision_counts_for(case: Line) -> None:
    usage = _read(case.line)
    expected = {} if case.who is None else {case.who: Tally(NOW, NOW, dict(case.outcomes), set(case.methods))}
    assert (usage.rows, usage.sources.decisions, usage.sources.garbage) == (expected, 1, 0)


GARBAGE: Final = {
    "half a line": _line()[:40],
    "no object": b"[1]",
    "an empty object": b"{}",
    "bytes that are no text": b"\xff\xfe{}",
    "another kind": _line(kind="verdict"),
    "no kind": _line(kind=None),
    "a kind that is no text": _line(kind={}),
    "no time": _line(time=None),
    "a time that is text": _line(time="2026-11-20T00:00:00Z"),
    "a time that is true": _line(time=True),
    "a time before all": _line(time=0),
    "a time beyond all": _line(time=1e18),
    "a time more than a day ahead": _line(time=LATER + DAY + 1),
    "an unknown outcome": _line(outcome="maybe"),
    "an outcome that is a list": _line(outcome=["allow"]),
    "a share of nothing": _line(share=0),
    "a share of next to nothing": _line(share=9e-7),
    "a share of which the inverse is no number": _line(share=5e-324),
    "a share of more than all": _line(share=2),
    "a share that is true": _line(share=True),
    "a share that is text": _line(share="1"),
}


@pytest.mark.parametrize("line", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_record_is_counted_and_passed_over(line: bytes) -> None:
    usage = _read(line)
    assert (usage.rows, usage.sources) == ({}, Sources(garbage=1))


def test_deliveries_and_heads_are_counted_and_passed_over() -> None:
    usage = _read(_line(kind="delivery"), _line(kind="head"), b'{"kind":"head"}')
    assert (usage.rows, usage.sources) == ({}, Sources(others=3))


def test_what_comes_again_adds_up() -> None:
    usage = _read(
        _line(time=NOW + 5), _line(time=NOW - 5, outcome="preflight_allow", method="OPTIONS"), _line(share=0.5)
    )
    assert usage.rows == {WHO: Tally(NOW - 5, NOW + 5, {"allow": 3, "preflight_allow": 1}, {"GET", "OPTIONS"})}
    assert usage.sources.least_share == 0.5


def test_methods_of_an_origin_are_bounded() -> None:
    usage = _read(*(_line(method=f"M{number}") for number in range(100)))
    assert len(usage.rows[WHO].methods) == module.MAX_METHODS


def test_of_too_many_the_rarer_half_is_added_up_and_who_comes_late_and_often_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    rare = (_line(origin=f"https://{number}.example", origin_group=None) for number in range(50))
    usage = _read(_line(), _line(), *rare, *(_line(origin="https://late.example") for _ in range(30)))
    assert len(usage.rows) <= 11
    assert usage.rows[WHO].asks == 2
    assert usage.rows[WHO._replace(origin="https://late.example")].asks >= 29
    assert sum(tally.asks for tally in usage.rows.values()) == 82
    assert usage.rows[Who(None, "api", "", None)].asks >= 40


# --- Pages ------------------------------------------------------------------------------------------------------------


def test_the_pages_of_replicas_add_up() -> None:
    usage = Usage(LATER)
    usage.read_page(_page(_entry(), folded=2))
    usage.read_page(_page(_entry(outcomes={"allow": 1, "deny": 1}, methods=["POST"], first=NOW - 99), folded=1))
    assert usage.rows == {WHO: Tally(NOW - 99, NOW - 5, {"allow": 4, "deny": 1}, {"GET", "POST"})}
    assert (usage.sources.pages, usage.sources.folded) == (2, 3)


def test_whom_a_service_could_not_tell_apart_stays_so() -> None:
    usage = Usage(LATER)
    usage.read_page(_page(_entry(tenant=None, origin=None, origin_group="")))
    assert list(usage.rows) == [Who(None, "api", "", None)]


def test_a_clock_that_is_a_little_ahead_is_a_clock() -> None:
    usage = Usage(NOW - DAY)
    usage.read_line(_line())
    usage.read_page(_page(_entry()))
    assert (usage.sources.decisions, usage.sources.pages, usage.sources.garbage) == (1, 1, 0)


def test_names_and_methods_of_a_page_are_cut() -> None:
    usage = Usage(LATER)
    methods = [f"{number}{'X' * 500}" for number in range(100)]
    usage.read_page(_page(_entry(origin="https://" + "x" * 500, tenant="t" * 500, methods=methods)))
    assert usage.rows == {LONG_WHO: Tally(NOW - 10, NOW - 5, {"allow": 3}, {method[:32] for method in methods[:8]})}


PAGES: Final = {
    "no JSON": b"# HELP cors_authz_decisions_total",
    "no object": b"[]",
    "a number": b"1",
    "no entries": b'{"since":1,"until":2,"folded":0}',
    "entries that are none": b'{"since":1,"until":2,"folded":0,"entries":[1]}',
    "an entry without outcomes": _page(_entry(outcomes=[])),
    "a count that is none": _page(_entry(outcomes={"allow": "many"})),
    "an outcome that is none": _page(_entry(outcomes={"\x1b[1m": 1})),
    "a count that is text": _page(_entry(outcomes={"allow": "inf"})),
    "a count beyond all": _page(_entry(outcomes={"allow": 1e300})),
    "a count below nothing": _page(_entry(outcomes={"allow": -5})),
    "a count that is true": _page(_entry(outcomes={"allow": True})),
    "a number of the folded that is beyond all": _page().replace(b'"folded": 0', b'"folded": 1e400'),
    "a time that is text": _page().replace(b'"since": ', b'"since": "nan", "was": '),
    "a time before all": _page(since=-1e12),
    "a time beyond all": _page(since=10**30),
    "an end more than a day ahead": _page(until=LATER + DAY + 1),
    "an end before the begin": _page(since=NOW, until=NOW - 1),
    "an origin that was seen last before it was seen first": _page(_entry(first=NOW, last=NOW - 1)),
    "an origin that was seen in the far future": _page(_entry(last=1e300)),
    "an origin that is a list": _page(_entry(origin=["x"])),
    "a tenant that is a number": _page(_entry(tenant=5)),
    "a group that is none": _page(_entry(group=None)),
    "methods that are text": _page(_entry(methods="GET")),
    "a method that is a list": _page(_entry(methods=[["GET"]])),
}


@pytest.mark.parametrize("raw", PAGES.values(), ids=PAGES)
def test_of_what_is_no_page_nothing_is_taken(raw: bytes) -> None:
    usage = Usage(LATER)
    with pytest.raises(UnreadablePageError, match="it is no page of origins"):
        usage.read_page(raw)
    assert (usage.rows, usage.sources) == ({}, Sources())


def test_what_a_page_holds_is_no_flood_of_words() -> None:
    with pytest.raises(UnreadablePageError) as raised:
        Usage(LATER).read_page(_page(_entry(outcomes={"\x1b" * 5_000: 1})))
    assert len(str(raised.value)) < 1_000
    assert str(raised.value).isprintable()


# --- How far sources reach --------------------------------------------------------------------------------------------


class Reach(NamedTuple):
    """What lines and pages tell of, and how far they reach together."""

    lines: tuple[float, ...]
    pages: tuple[Span, ...]
    reach: Span | None


REACHES: Final = {
    "nothing reaches nowhere": Reach((), (), None),
    "lines reach from the first to the last": Reach((NOW, NOW - 5 * DAY), (), Span(NOW - 5 * DAY, NOW)),
    "a service reaches back to its start": Reach((), (Span(NOW - DAY, NOW),), Span(NOW - DAY, NOW)),
    "of several services, the one that started last counts": Reach(
        (), (Span(NOW - 9 * DAY, NOW), Span(NOW - DAY, NOW)), Span(NOW - DAY, NOW)
    ),
    "lines and a service that overlap reach as one": Reach(
        (NOW - 9 * DAY, NOW - DAY), (Span(NOW - 2 * DAY, NOW),), Span(NOW - 9 * DAY, NOW)
    ),
    "lines that end before the service starts do not count": Reach(
        (NOW - 9 * DAY, NOW - 5 * DAY), (Span(NOW - 2 * DAY, NOW),), Span(NOW - 2 * DAY, NOW)
    ),
    "lines that end as the service starts leave no break": Reach(
        (NOW - 9 * DAY, NOW - 2 * DAY), (Span(NOW - 2 * DAY, NOW),), Span(NOW - 9 * DAY, NOW)
    ),
    "lines within the time of a service add nothing": Reach(
        (NOW - DAY,), (Span(NOW - 2 * DAY, NOW),), Span(NOW - 2 * DAY, NOW)
    ),
}


@pytest.mark.parametrize("case", REACHES.values(), ids=REACHES)
def test_how_far_sources_reach(case: Reach) -> None:
    usage = _read(*(_line(time=time) for time in case.lines))
    for span in case.pages:
        usage.read_page(_page(since=span.since, until=span.until))
    assert usage.sources.reach() == case.reach


def test_days_without_a_decision_are_told() -> None:
    usage = _read(*(_line(time=NOW + day * DAY + 60) for day in (0, 1, 4, 6)))
    assert usage.sources.silent_days(Span(NOW, NOW + 6 * DAY)) == (
        Span(NOW + 2 * DAY, NOW + 4 * DAY),
        Span(NOW + 5 * DAY, NOW + 6 * DAY),
    )
    assert usage.sources.silent_days(Span(NOW, NOW + DAY)) == ()
    assert usage.sources.silent_days(Span(NOW + DAY, NOW + 4 * DAY)) == (Span(NOW + 2 * DAY, NOW + 4 * DAY),)


def test_a_service_leaves_no_day_out_since_its_start() -> None:
    usage = _read(*(_line(time=NOW + day * DAY) for day in (0, 2, 9)))
    usage.read_page(_page(since=NOW + 5 * DAY, until=NOW + 10 * DAY))
    assert usage.sources.silent_days(Span(NOW, NOW + 10 * DAY)) == (
        Span(NOW + DAY, NOW + 2 * DAY),
        Span(NOW + 3 * DAY, NOW + 5 * DAY),
    )


def test_a_service_that_ran_all_the_time_leaves_no_day_out() -> None:
    usage = _read(_line(time=NOW), _line(time=NOW + 9 * DAY))
    usage.read_page(_page(since=NOW, until=NOW + 9 * DAY))
    assert usage.sources.silent_days(Span(NOW, NOW + 9 * DAY)) == ()
