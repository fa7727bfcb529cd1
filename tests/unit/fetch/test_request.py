"""Requests: what kind a browser makes of them, which method runs, which names pretend to be ours."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cors_authz.fetch.request import (
    Kind,
    Request,
    Site,
    is_preflight,
    is_websocket,
    is_write,
    kind_of,
    overriding_method,
    site_of,
    spoofed_names,
)
from tests.deciding import ask

URL = "https://api.example/a"
OWN = "https://api.example"
PAGE = "https://page.example"


class Case(NamedTuple):
    """A request, and its kind."""

    request: Request
    then: Kind


KINDS = {
    "no browser says nothing": Case(ask(f"GET {URL}"), Kind.NOT_A_BROWSER),
    "no browser writes": Case(ask(f"POST {URL}"), Kind.NOT_A_BROWSER),
    "an empty origin is none": Case(ask(f"POST {URL}", origin=""), Kind.NOT_A_BROWSER),
    "an empty Sec-Fetch-Site is none": Case(ask(f"POST {URL}", sec_fetch_site=""), Kind.NOT_A_BROWSER),
    "its own page by Sec-Fetch-Site": Case(ask(f"POST {URL}", sec_fetch_site="same-origin"), Kind.SAME_ORIGIN),
    "typed by the user": Case(ask(f"GET {URL}", sec_fetch_site="none"), Kind.SAME_ORIGIN),
    "its own page by Origin": Case(ask(f"POST {URL}", origin=OWN), Kind.SAME_ORIGIN),
    "its own page by Origin, whatever the site says": Case(
        ask(f"POST {URL}", origin=OWN, sec_fetch_site="cross-site"), Kind.SAME_ORIGIN
    ),
    "its own page without a referrer": Case(
        ask(f"POST {URL}", origin="null", sec_fetch_site="same-origin"), Kind.SAME_ORIGIN
    ),
    "null without a word": Case(ask(f"POST {URL}", origin="null"), Kind.CROSS_ORIGIN),
    "null typed by the user": Case(ask(f"POST {URL}", origin="null", sec_fetch_site="none"), Kind.CROSS_ORIGIN),
    "null of the same site": Case(ask(f"POST {URL}", origin="null", sec_fetch_site="same-site"), Kind.CROSS_ORIGIN),
    "another scheme is another origin": Case(ask(f"GET {URL}", origin="http://api.example"), Kind.CROSS_ORIGIN),
    "another port is another origin": Case(ask(f"GET {URL}", origin=f"{OWN}:8443"), Kind.CROSS_ORIGIN),
    "a foreign origin": Case(ask(f"GET {URL}", origin=PAGE), Kind.CROSS_ORIGIN),
    "a foreign origin outweighs same-origin": Case(
        ask(f"GET {URL}", origin=PAGE, sec_fetch_site="same-origin"), Kind.CROSS_ORIGIN
    ),
    "a foreign origin outweighs none": Case(ask(f"GET {URL}", origin=PAGE, sec_fetch_site="none"), Kind.CROSS_ORIGIN),
    "a cross-site write without an origin": Case(ask(f"POST {URL}", sec_fetch_site="cross-site"), Kind.CROSS_ORIGIN),
    "a same-site write without an origin": Case(ask(f"PUT {URL}", sec_fetch_site="same-site"), Kind.CROSS_ORIGIN),
    "a write with a site that is none": Case(ask(f"POST {URL}", sec_fetch_site="mars"), Kind.CROSS_ORIGIN),
    "a write with the site twice": Case(
        ask(f"POST {URL}", sec_fetch_site="same-origin,same-origin"), Kind.CROSS_ORIGIN
    ),
    "the site is read in its own case": Case(ask(f"POST {URL}", sec_fetch_site="Same-Origin"), Kind.CROSS_ORIGIN),
    "a WebSocket of another site": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", upgrade="websocket"), Kind.CROSS_ORIGIN
    ),
    "a script's read": Case(ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="cors"), Kind.READ),
    "a read in the mode same-origin": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="same-origin", sec_fetch_dest="image"), Kind.READ
    ),
    "a cors load of a script": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="cors", sec_fetch_dest="script"), Kind.READ
    ),
    "neither mode nor destination": Case(ask(f"GET {URL}", sec_fetch_site="same-site"), Kind.READ),
    "an unknown mode with an empty destination": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="mars", sec_fetch_dest="empty"), Kind.READ
    ),
    "a blind fetch": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="no-cors", sec_fetch_dest="empty"), Kind.EMBED
    ),
    "an image": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="no-cors", sec_fetch_dest="image"), Kind.EMBED
    ),
    "an image that hides its mode": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_dest="image"), Kind.EMBED
    ),
    "a frame is no navigation of a tab": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="iframe"), Kind.EMBED
    ),
    "an object is no navigation of a tab": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="object"), Kind.EMBED
    ),
    "a document that is not navigated to": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="no-cors", sec_fetch_dest="document"), Kind.EMBED
    ),
    "a link": Case(
        ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document"),
        Kind.NAVIGATION,
    ),
    "a link in a HEAD": Case(
        ask(f"HEAD {URL}", sec_fetch_site="same-site", sec_fetch_mode="navigate", sec_fetch_dest="document"),
        Kind.NAVIGATION,
    ),
    "a form that posts": Case(
        ask(f"POST {URL}", sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document"),
        Kind.CROSS_ORIGIN,
    ),
    "OPTIONS of another site is as GET": Case(
        ask(f"OPTIONS {URL}", sec_fetch_site="cross-site", sec_fetch_mode="cors"), Kind.READ
    ),
    "a preflight": Case(ask(f"OPTIONS {URL}", origin=PAGE, access_control_request_method="PUT"), Kind.PREFLIGHT),
    "a preflight of its own page": Case(
        ask(f"OPTIONS {URL}", origin=OWN, access_control_request_method="PUT"), Kind.PREFLIGHT
    ),
    "a preflight of nobody's origin": Case(
        ask(f"OPTIONS {URL}", origin="null", access_control_request_method="PUT"), Kind.PREFLIGHT
    ),
}


@pytest.mark.parametrize("case", KINDS.values(), ids=KINDS)
def test_kind_of(case: Case) -> None:
    assert kind_of(case.request, case.request.method, OWN) is case.then


def test_the_method_that_will_run_makes_the_kind() -> None:
    overridden = ask(f"GET {URL}", sec_fetch_site="cross-site", sec_fetch_mode="cors")
    assert kind_of(overridden, "DELETE", OWN) is Kind.CROSS_ORIGIN


PREFLIGHTS = {
    "all three": (ask(f"OPTIONS {URL}", origin=PAGE, access_control_request_method="PUT"), True),
    "an empty method is still asked for": (ask(f"OPTIONS {URL}", origin=PAGE, access_control_request_method=""), True),
    "without an origin": (ask(f"OPTIONS {URL}", access_control_request_method="PUT"), False),
    "with an empty origin": (ask(f"OPTIONS {URL}", origin="", access_control_request_method="PUT"), False),
    "without a method": (ask(f"OPTIONS {URL}", origin=PAGE, access_control_request_headers="x-a"), False),
    "by another method": (ask(f"GET {URL}", origin=PAGE, access_control_request_method="PUT"), False),
    "by a method in lower case": (ask(f"options {URL}", origin=PAGE, access_control_request_method="PUT"), False),
}


@pytest.mark.parametrize(("request_", "then"), PREFLIGHTS.values(), ids=PREFLIGHTS)
def test_is_preflight(request_: Request, then: bool) -> None:  # noqa: FBT001 - the expectation
    assert is_preflight(request_) is then


UPGRADES = {
    "websocket": True, "WebSocket": True, "h2c, websocket": True, "websocket ,h2c": True,
    "": False, "h2c": False, "websockets": False, "web socket": False,
}  # fmt: skip


@pytest.mark.parametrize(("upgrade", "then"), UPGRADES.items(), ids=UPGRADES)
def test_is_websocket(upgrade: str, then: bool) -> None:  # noqa: FBT001 - the expectation
    assert is_websocket(ask(f"GET {URL}", upgrade=upgrade)) is then
    assert not is_websocket(ask(f"GET {URL}"))


WRITES = {
    "GET": False, "HEAD": False, "OPTIONS": False,
    "POST": True, "QUERY": True, "get": True, "PURGE": True, "": True,
}  # fmt: skip


@pytest.mark.parametrize(("method", "then"), WRITES.items(), ids=WRITES)
def test_is_write(method: str, then: bool) -> None:  # noqa: FBT001 - the expectation
    assert is_write(method) is then


OVERRIDES: dict[str, tuple[dict[str, str], str, str | None]] = {
    "none": ({}, "", ""),
    "the usual header": ({"x_http_method_override": "DELETE"}, "", "DELETE"),
    "the second header": ({"x_http_method": "DELETE"}, "", "DELETE"),
    "the third header": ({"x_method_override": "DELETE"}, "", "DELETE"),
    "in the query": ({}, "_method=DELETE", "DELETE"),
    "encoded in the query": ({}, "%5Fmethod=%44ELETE", "DELETE"),
    "lower case runs as upper case": ({"x_http_method_override": "patch"}, "", "PATCH"),
    "two that agree": ({"x_http_method": "put", "x_method_override": "PUT"}, "_method=Put", "PUT"),
    "two that differ": ({"x_http_method": "PUT", "x_method_override": "DELETE"}, "", None),
    "header and query that differ": ({"x_http_method": "PUT"}, "_method=DELETE", None),
    "two in the query that differ": ({}, "_method=PUT&_method=DELETE", None),
    "one header twice": ({"x_http_method": "PUT,PUT"}, "", None),
    "a forbidden method": ({"x_http_method": "TRACE"}, "", None),
    "a forbidden method in lower case": ({}, "_method=connect", None),
    "no token": ({"x_http_method": "PUT /"}, "", None),
    "an empty header": ({"x_http_method": ""}, "", None),
    "an empty parameter": ({}, "_method=", None),
}


@pytest.mark.parametrize(("headers", "query", "then"), OVERRIDES.values(), ids=OVERRIDES)
def test_overriding_method(headers: dict[str, str], query: str, then: str | None) -> None:
    assert overriding_method(ask(f"POST {URL}", **headers), query) == then


SITES = {
    "": Site.ABSENT, "same-origin": Site.SAME_ORIGIN, "none": Site.NONE, "same-site": Site.SAME_SITE,
    "cross-site": Site.CROSS_SITE, "mars": Site.CROSS_SITE, "none,none": Site.CROSS_SITE, " none": Site.CROSS_SITE,
}  # fmt: skip


@pytest.mark.parametrize(("value", "then"), SITES.items(), ids=SITES)
def test_site_of(value: str, then: Site) -> None:
    assert site_of(ask(f"GET {URL}", sec_fetch_site=value)) is then


def test_a_request_without_the_header_has_no_site() -> None:
    assert site_of(ask(f"GET {URL}")) is Site.ABSENT


def test_names_that_pretend_to_be_ours() -> None:
    ours = (
        "x-cors-authz-tenant", "X-Cors-Authz-Roles", "x_cors_authz_tenant", "x-cors_authz-new", "x-cors-authz-",
        "x.cors.authz.tenant", "x~cors~authz~roles",
    )  # fmt: skip
    others = ("x-cors-authz", "x-cors", "cors-authz-tenant", "xx-cors-authz-tenant", "xcorsauthz-tenant")
    assert spoofed_names((*ours, *others)) == ours
