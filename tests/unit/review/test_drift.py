"""Drift between a policy and its use: which lines nobody used, which unlisted origins ask, and what they are like."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final, NamedTuple

import pytest

from cors_authz.policy.document import Source
from cors_authz.policy.load import load_policy
from cors_authz.review.drift import MAX_HOST_OF_TYPO, Likeness, Mark, TooShortError, Wanted, stale, strangers
from cors_authz.review.listing import Asking, Listing
from cors_authz.review.usage import Span, Usage

DAY: Final = 86_400.0
NOW: Final = 20_000 * DAY
POLICY: Final = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p}
environments: {prod: {like: prod}, test: {like: staging}}
originGroups:
  web: {origins: ["https://shop.example", "https://*.shop.example", "https://pr-{digits}.shop.example"], trust: high}
  partner: {origins: ["https://a.partner.example", "https://shop.example:8443"], trust: low, contact: x}
  elsewhere: {origins: ["https://desk.example"], trust: low, contact: x}
  test-only: {origins: ["https://test.example"], trust: low, contact: x, environments: [test]}
  tenants: {perTenant: {maxOrigins: 5}, trust: low, contact: x}
  everybody: {any: true}
resourceGroups:
  api:
    match:
    - {hosts: ["{tenant}.api.example"]}
    allow:
    - {origins: [partner, web, tenants, test-only], methods: [GET]}
  desk:
    match:
    - {hosts: [desk-api.example]}
    allow:
    - {origins: [elsewhere], methods: [GET]}
  open:
    match:
    - {hosts: [open.example]}
    sensitivity: public
    allow:
    - {origins: [everybody], methods: [GET]}
---
apiVersion: cors-authz/v1
kind: TenantOverlay
metadata: {tenant: acme, contact: it@acme.example, ticket: T-1}
originGroups:
  tenants: ["https://portal.acme.example"]
"""
LISTING: Final = Listing(load_policy([Source("policy.yaml", POLICY.encode())], "prod"))
LINES: Final = {(line.tenant, line.text) for line in LISTING.lines()}
SHOP: Final = "https://shop.example"


def _asked(origin: str, group: str = "api", tenant: str = "acme", days_ago: float = 1, share: float = 1) -> bytes:
    record = {"kind": "decision", "time": NOW - days_ago * DAY, "outcome": "allow", "method": "GET", "share": share}
    return json.dumps(record | {"origin": origin, "group": group, "tenant": tenant, "host": "x.example"}).encode()


def _used(lines: Iterable[bytes]) -> Usage:
    return _read(*(_asked("", days_ago=days_ago) for days_ago in range(0, 101, 20)), *lines)


def _read(*lines: bytes) -> Usage:
    usage = Usage(NOW, LISTING)
    for line in lines:
        usage.read_line(line)
    return usage


def _page(*entries: dict[str, object]) -> bytes:
    shared = {"group": "api", "outcomes": {"allow": 1}, "methods": [], "first": NOW - 1, "last": NOW - 1}
    page = {"since": NOW - 100 * DAY, "until": NOW, "folded": 1, "entries": [shared | entry for entry in entries]}
    return json.dumps(page).encode()


# --- Stale ------------------------------------------------------------------------------------------------------------


class Uses(NamedTuple):
    """Lines of the audit trail, and the lines of the policy, by tenant and text, that are in use by them."""

    asked: tuple[bytes, ...]
    used: set[tuple[str, str]]


USES: Final = {
    "without a request nothing is used": Uses((), set()),
    "an exact origin is used by its own requests": Uses((_asked(SHOP),), {("", SHOP)}),
    "a pattern is used by what it admits": Uses((_asked("https://a.shop.example"),), {("", "https://*.shop.example")}),
    "of two patterns of a group, the narrower is used": Uses(
        (_asked("https://pr-7.shop.example"),), {("", "https://pr-{digits}.shop.example")}
    ),
    "a refusal is a use too": Uses((_asked(SHOP).replace(b'"allow"', b'"deny"'),), {("", SHOP)}),
    "a request at the edge of the time is a use": Uses((_asked(SHOP, days_ago=90),), {("", SHOP)}),
    "an earlier one is none": Uses((_asked(SHOP, days_ago=90.01),), set()),
    "the latest counts, wherever it stands": Uses((_asked(SHOP, days_ago=2), _asked(SHOP, days_ago=95)), {("", SHOP)}),
    "a resource group that names no group of the origin uses none": Uses((_asked(SHOP, group="desk"),), set()),
    "a request that no resource group had uses none": Uses((_asked(SHOP, group=""),), set()),
    "a resource group that is gone counts for every group": Uses((_asked(SHOP, group="renamed"),), {("", SHOP)}),
    "a tenant's origin is used by its tenant": Uses(
        (_asked("https://portal.acme.example"),), {("acme", "https://portal.acme.example")}
    ),
    "and by no other": Uses((_asked("https://portal.acme.example", tenant="globex"),), set()),
    "what is open to any origin uses no line": Uses((_asked("https://x.example", group="open"),), set()),
    "a malformed origin uses no line": Uses((_asked("https://Shop.example"),), set()),
}


@pytest.mark.parametrize("case", USES.values(), ids=USES)
def test_which_lines_are_used(case: Uses) -> None:
    found = stale(_used(case.asked), LISTING, 90 * DAY)
    assert {(each.line.tenant, each.line.text) for each in found} == LINES - case.used


def test_what_does_not_exist_in_the_environment_is_not_listed() -> None:
    assert ("", "https://test.example") not in LINES


def test_a_stale_line_says_where_it_stands_and_when_it_was_used_last() -> None:
    found = stale(_used([_asked("https://a.partner.example", days_ago=95)]), LISTING, 90 * DAY)
    said = [(str(each.line.place), each.last) for each in found if each.line.origin_group == "partner"]
    assert said == [("policy.yaml:7:23", NOW - 95 * DAY), ("policy.yaml:7:52", None)]


def test_what_a_full_service_counts_by_pattern_is_used() -> None:
    usage = _used(())
    pattern = "https://*.shop.example"
    usage.read_page(_page({"tenant": None, "origin": pattern, "origin_group": "web"}))
    assert pattern not in {each.line.text for each in stale(usage, LISTING, 90 * DAY)}


@pytest.mark.parametrize(("seconds", "is_long_enough"), [(100 * DAY, True), (100 * DAY + 1, False)])
def test_sources_that_are_too_short_tell_nothing(seconds: float, *, is_long_enough: bool) -> None:
    if is_long_enough:
        assert stale(_used(()), LISTING, seconds) != ()
        return
    with pytest.raises(TooShortError) as raised:
        stale(_used(()), LISTING, seconds)
    assert raised.value.span == Span(NOW - 100 * DAY, NOW)


def test_empty_sources_tell_nothing() -> None:
    with pytest.raises(TooShortError) as raised:
        stale(Usage(NOW, LISTING), LISTING, 1)
    assert raised.value.span is None


def test_a_clock_that_is_years_ahead_makes_nothing_stale() -> None:
    usage = _used([_asked(SHOP), _asked("", days_ago=-25_000)])
    assert SHOP not in {each.line.text for each in stale(usage, LISTING, 90 * DAY)}
    assert usage.sources.garbage == 1


class Silence(NamedTuple):
    """How many days ago there was a decision, and the longest silence in the last ninety days, if it is too long."""

    days_ago: tuple[float, ...]
    silence: Span | None


SILENCES: Final = {
    "a silence of half the time is borne": Silence((100, 46, 0), None),
    "one of more is too long": Silence((100, 47, 0), Span(NOW - 46 * DAY, NOW)),
    "one line of long ago fills no years": Silence((19_999, 0), Span(NOW - 90 * DAY, NOW)),
    "what is silent before the time asked for does not count": Silence((200, 90, 45, 0), None),
    "nor does what of a silence is before it": Silence((200, 46, 0), None),
}


@pytest.mark.parametrize("case", SILENCES.values(), ids=SILENCES)
def test_sources_that_are_silent_for_most_of_the_time_tell_nothing(case: Silence) -> None:
    usage = _read(*(_asked(SHOP, days_ago=days_ago) for days_ago in case.days_ago))
    if case.silence is None:
        assert stale(usage, LISTING, 90 * DAY) != ()
        return
    with pytest.raises(TooShortError) as raised:
        stale(usage, LISTING, 90 * DAY)
    assert raised.value.silence == case.silence


def test_a_source_of_which_the_end_is_missing_tells_nothing() -> None:
    usage = _used(())
    usage.sources.torn.append("audit.jsonl.gz")
    with pytest.raises(TooShortError):
        stale(usage, LISTING, 90 * DAY)


# --- Strangers --------------------------------------------------------------------------------------------------------


def _strangers(*lines: bytes, top: int = 10) -> list[str]:
    return [stranger.origin for stranger in strangers(_used(lines), LISTING, top)]


KNOWN: Final = {
    "an exact origin": _asked(SHOP),
    "an origin that a pattern admits": _asked("https://a.shop.example"),
    "a tenant's origin": _asked("https://portal.acme.example"),
    "whoever asks for what is open to any origin": _asked("https://x.example", group="open"),
}


@pytest.mark.parametrize("line", KNOWN.values(), ids=KNOWN)
def test_who_is_no_stranger(line: bytes) -> None:
    assert _strangers(line) == []


def test_the_most_frequent_come_first_and_kept_lines_count_for_the_others() -> None:
    one, two, three = (f"https://{name}.example" for name in ("one", "two", "three"))
    lines = (_asked(one), _asked(two), _asked(two), _asked(three, share=0.1))
    assert _strangers(*lines) == [three, two, one]
    assert _strangers(*lines, top=2) == [three, two]


def test_a_stranger_is_added_up_over_tenants_and_says_what_it_wants_most() -> None:
    lines = (
        _asked("https://new.example", days_ago=9),
        _asked("https://new.example", group="desk", tenant="", days_ago=5),
        _asked("https://new.example", tenant="globex", days_ago=3),
    )
    (stranger,) = strangers(_used(lines), LISTING, 10)
    assert stranger.wanted == (Wanted("api", 2), Wanted("desk", 1))
    assert (stranger.tally.first, stranger.tally.last, stranger.tally.asks) == (NOW - 9 * DAY, NOW - 3 * DAY, 3)


def test_whom_a_service_could_not_tell_apart_is_no_single_stranger() -> None:
    usage = _used(())
    usage.read_page(_page({"tenant": None, "origin": None, "origin_group": ""}))
    assert strangers(usage, LISTING, 10) == ()


LIKE_SHOP: Final = {
    "http://shop.example": Mark(Likeness.SCHEME, SHOP),
    "http://shop.example:8080": Mark(Likeness.SCHEME, SHOP),
    "https://shop.example:9443": Mark(Likeness.PORT, SHOP),
    "https://shpo.example": Mark(Likeness.TYPO, SHOP),
    "https://shopp.example": Mark(Likeness.TYPO, SHOP),
    "https://shp.example": Mark(Likeness.TYPO, SHOP),
    "https://shop.example1": Mark(Likeness.TYPO, SHOP),
    "https://a.sh0p.example": Mark(Likeness.TYPO, "https://a.shop.example"),
    "https://www.a.partner.example": Mark(Likeness.WWW, "https://a.partner.example"),
    "https://desk.example": Mark(Likeness.ELSEWHERE, "elsewhere"),
    "null": Mark(Likeness.OPAQUE),
    "https://Shop.example/": Mark(Likeness.MALFORMED, SHOP),
    "shop.example": Mark(Likeness.MALFORMED),
    "https://evil.example": None,
    "https://shop.example.evil.example": None,
    "app://shop.example": None,
}


@pytest.mark.parametrize(("origin", "mark"), LIKE_SHOP.items())
def test_what_a_stranger_is_like(origin: str, mark: Mark | None) -> None:
    (stranger,) = strangers(_used([_asked(origin)]), LISTING, 10)
    assert stranger.mark == mark


@pytest.mark.parametrize(("length", "is_looked_for"), [(MAX_HOST_OF_TYPO, True), (MAX_HOST_OF_TYPO + 1, False)])
def test_in_a_host_that_nobody_types_no_slip_is_looked_for(length: int, *, is_looked_for: bool) -> None:
    end = f".{'b' * 40}.shoq.example"
    host = "a" * (length - len(end)) + end
    (stranger,) = strangers(_used([_asked(f"https://{host}")]), LISTING, 10)
    near = Mark(Likeness.TYPO, f"https://{host.replace('shoq', 'shop')}")
    assert stranger.mark == (near if is_looked_for else None)


def test_lists_that_serve_a_resource_group() -> None:
    assert (LISTING.lists_of("api"), LISTING.lists_of("open"), LISTING.lists_of("gone")) == (("web", "partner"), (), ())
    assert not LISTING.is_known(Asking("", "", SHOP))
