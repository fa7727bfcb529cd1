"""What a browser concludes from answers, clause by clause of the Fetch standard."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cors_authz.fetch.browser import (
    MAX_AGE_CAPS,
    Asked,
    Conclusion,
    Credentials,
    Engine,
    Headers,
    Verdict,
    check_cors,
    check_preflight,
    conclude_embed,
    conclude_navigation,
    conclude_reading,
    conclude_websocket,
    exposed_names,
    note_on_local_network,
)
from cors_authz.fetch.request import Site

WEB: Final = "https://shop.example"
INCLUDE, OMIT = Credentials.INCLUDE, Credentials.OMIT
ORIGIN: Final = ("access-control-allow-origin", WEB)
ANY: Final = ("access-control-allow-origin", "*")
COOKIES: Final = ("access-control-allow-credentials", "true")
READS: Final = Conclusion(Verdict.GOES_ON, "the page may read the answer")
SAFELIST: Final = Conclusion(Verdict.NOTE, "scripts may read the safelisted response headers only")


def fails(why: str) -> Conclusion:
    return Conclusion(Verdict.STOPS, f"the page sees a network error: {why}")


class Reading(NamedTuple):
    """A credentials mode, the headers of an answer, and what the browser concludes."""

    credentials: Credentials
    response: Headers
    then: Conclusion
    origin: str = WEB


READINGS: Final = {
    "the origin is named": Reading(OMIT, [ORIGIN], READS),
    "blanks around the origin do not count": Reading(OMIT, [("access-control-allow-origin", f" {WEB}\t")], READS),
    "any origin may read without credentials": Reading(OMIT, [ANY], READS),
    "any origin does not count with credentials": Reading(
        INCLUDE, [ANY, COOKIES], fails("`*` does not count where credentials travel")
    ),
    "no origin is named": Reading(OMIT, [COOKIES], fails("the answer names no origin")),
    "a blanked origin is none": Reading(
        OMIT, [("access-control-allow-origin", "")], fails("the answer names no origin")
    ),
    "another origin is named": Reading(
        OMIT, [ORIGIN], fails(f"the answer names `{WEB}`, not `https://evil.example`"), origin="https://evil.example"
    ),
    "the case of an origin counts": Reading(
        OMIT,
        [("access-control-allow-origin", "https://Shop.example")],
        fails(f"the answer names `https://Shop.example`, not `{WEB}`"),
    ),
    "two origins are none": Reading(OMIT, [ORIGIN, ORIGIN], fails(f"the answer names `{WEB}, {WEB}`, not `{WEB}`")),
    "the opaque origin can be named": Reading(
        INCLUDE, [("access-control-allow-origin", "null"), COOKIES], READS, origin="null"
    ),
    "credentials are permitted": Reading(INCLUDE, [ORIGIN, COOKIES], READS),
    "credentials are not permitted": Reading(
        INCLUDE,
        [ORIGIN],
        fails("credentials travel, and the answer does not say Access-Control-Allow-Credentials: true"),
    ),
    "the case of true counts": Reading(
        INCLUDE,
        [ORIGIN, ("access-control-allow-credentials", "True")],
        fails("credentials travel, and the answer does not say Access-Control-Allow-Credentials: true"),
    ),
    "permission for credentials is not needed without them": Reading(OMIT, [ORIGIN], READS),
}


@pytest.mark.parametrize("case", READINGS.values(), ids=READINGS)
def test_the_cors_check(case: Reading) -> None:
    assert check_cors(Asked(case.origin, case.credentials), case.response) == case.then


class Preflight(NamedTuple):
    """What is asked for, the answer, and why the request is not sent; empty where it is."""

    method: str
    headers: tuple[str, ...]
    response: Headers
    objection: str = ""
    credentials: Credentials = OMIT
    status: int = 204


def methods(value: str) -> tuple[str, str]:
    return ("access-control-allow-methods", value)


def names(value: str) -> tuple[str, str]:
    return ("access-control-allow-headers", value)


PREFLIGHTS: Final = {
    "method and headers are granted": Preflight("PUT", ("x-a", "x-b"), [ORIGIN, methods("GET, PUT"), names("X-A,x-b")]),
    "lists over several lines are one": Preflight(
        "PUT", ("x-b",), [ORIGIN, methods("PUT"), names("x-a"), names("x-b")]
    ),
    "empty elements of a list do not count": Preflight("PUT", ("x-a",), [ORIGIN, methods(",PUT, ,"), names(", x-a")]),
    "a safelisted method needs no grant": Preflight("POST", (), [ORIGIN]),
    "status 200 counts": Preflight("PUT", (), [ORIGIN, methods("PUT")], status=200),
    "status 299 counts": Preflight("PUT", (), [ORIGIN, methods("PUT")], status=299),
    "status 300 does not count": Preflight(
        "PUT", (), [ORIGIN, methods("PUT")], "the preflight was answered 300, and only 200 to 299 count", status=300
    ),
    "status 199 does not count": Preflight(
        "PUT", (), [ORIGIN, methods("PUT")], "the preflight was answered 199, and only 200 to 299 count", status=199
    ),
    "the CORS check comes first": Preflight("PUT", (), [methods("PUT")], "the answer names no origin", status=403),
    "the CORS check knows of credentials": Preflight(
        "PUT",
        (),
        [ORIGIN, methods("PUT")],
        "credentials travel, and the answer does not say Access-Control-Allow-Credentials: true",
        credentials=INCLUDE,
    ),
    "the method is not granted": Preflight(
        "PUT", (), [ORIGIN, methods("GET, DELETE")], "the answer does not allow method `PUT`"
    ),
    "the case of a method counts": Preflight(
        "patch", (), [ORIGIN, methods("PATCH")], "the answer does not allow method `patch`"
    ),
    "any method is granted without credentials": Preflight("PUT", (), [ORIGIN, methods("*")]),
    "any method is taken literally with credentials": Preflight(
        "PUT", (), [ORIGIN, COOKIES, methods("*")], "the answer does not allow method `PUT`", credentials=INCLUDE
    ),
    "headers are not granted": Preflight(
        "GET", ("x-a", "x-b", "x-c"), [ORIGIN, names("x-b")], "the answer does not allow header `x-a`, `x-c`"
    ),
    "any header is granted without credentials": Preflight("GET", ("x-a",), [ORIGIN, names("*")]),
    "any header is taken literally with credentials": Preflight(
        "GET", ("x-a",), [ORIGIN, COOKIES, names("*")], "the answer does not allow header `x-a`", credentials=INCLUDE
    ),
    "any header does not cover authorization": Preflight(
        "GET",
        ("authorization", "x-a"),
        [ORIGIN, names("*")],
        "the answer does not allow header `authorization` by name, and `*` does not cover it",
    ),
    "authorization is granted by name": Preflight("GET", ("authorization",), [ORIGIN, names("*, Authorization")]),
    "what is no list of methods grants nothing": Preflight(
        "GET", (), [ORIGIN, methods("P UT")], "Access-Control-Allow-Methods or -Headers is not a list of names"
    ),
    "what is no list of headers grants nothing": Preflight(
        "GET", (), [ORIGIN, names("x a")], "Access-Control-Allow-Methods or -Headers is not a list of names"
    ),
}


@pytest.mark.parametrize("case", PREFLIGHTS.values(), ids=PREFLIGHTS)
def test_the_preflight_check(case: Preflight) -> None:
    asked = Asked(WEB, case.credentials, case.method, case.headers)
    concluded = check_preflight(asked, case.status, case.response)
    if case.objection:
        not_sent = "the browser does not send the request, and the page sees a network error: "
        assert concluded == (Conclusion(Verdict.STOPS, not_sent + case.objection),)
    else:
        assert concluded == (
            Conclusion(Verdict.GOES_ON, f"the browser sends the {case.method}"),
            Conclusion(Verdict.NOTE, "the permission is kept for 5 s"),
        )


def kept(seconds: int, engine: Engine | None = None) -> Conclusion:
    return Conclusion(Verdict.NOTE, f"the permission is kept for {seconds} s", engine)


AGES: Final = {
    "600": (kept(600),),
    "601": (kept(601, Engine.CHROMIUM), kept(601, Engine.FIREFOX), kept(600, Engine.WEBKIT)),
    "7201": (kept(7200, Engine.CHROMIUM), kept(7201, Engine.FIREFOX), kept(600, Engine.WEBKIT)),
    "86401": (kept(7200, Engine.CHROMIUM), kept(86400, Engine.FIREFOX), kept(600, Engine.WEBKIT)),
    "9" * 5000: (kept(7200, Engine.CHROMIUM), kept(86400, Engine.FIREFOX), kept(600, Engine.WEBKIT)),
    "0" * 5000 + "7": (kept(7),),
    "0": (Conclusion(Verdict.NOTE, "the permission is not kept"),),
    "": (kept(5),),
    "-1": (kept(5),),
    "10m": (kept(5),),
    "\u0665": (kept(5),),
}


@pytest.mark.parametrize("age", AGES, ids=[age[:12] or "empty" for age in AGES])
def test_the_permission_is_kept_as_each_engine_caps_it(age: str) -> None:
    response = [ORIGIN, ("access-control-max-age", age)]
    assert check_preflight(Asked(WEB, OMIT), 204, response)[1:] == AGES[age]


class Exposure(NamedTuple):
    """A credentials mode, the values of Access-Control-Expose-Headers, the names, and the sentence."""

    credentials: Credentials
    exposes: tuple[str, ...]
    names: frozenset[str] | None
    sentence: str


EXPOSURES: Final = {
    "nothing is exposed": Exposure(OMIT, (), frozenset(), SAFELIST.sentence),
    "names are exposed": Exposure(
        INCLUDE,
        ("ETag, location", "x-a"),
        frozenset({"etag", "location", "x-a"}),
        "scripts may read the safelisted response headers and `etag`, `location`, `x-a`",
    ),
    "a safelisted name says nothing new": Exposure(OMIT, ("expires",), frozenset({"expires"}), SAFELIST.sentence),
    "all names are exposed": Exposure(OMIT, ("*",), None, "scripts may read every response header but Set-Cookie"),
    "the star is literal with credentials": Exposure(
        INCLUDE,
        ("*, etag",),
        frozenset({"*", "etag"}),
        "scripts may read the safelisted response headers and `*`, `etag`"
        " (`*` is taken literally where credentials travel)",
    ),
    "cookies are never exposed": Exposure(OMIT, ("set-cookie",), frozenset(), SAFELIST.sentence),
    "what is no list exposes nothing": Exposure(OMIT, ("a b",), frozenset(), SAFELIST.sentence),
}


@pytest.mark.parametrize("case", EXPOSURES.values(), ids=EXPOSURES)
def test_scripts_read_the_safelist_and_what_is_exposed(case: Exposure) -> None:
    response = [ORIGIN, COOKIES, *(("access-control-expose-headers", value) for value in case.exposes)]
    assert exposed_names(case.credentials, response) == case.names
    assert conclude_reading(Asked(WEB, case.credentials), response) == (READS, Conclusion(Verdict.NOTE, case.sentence))


def test_nothing_of_an_answer_is_visible_if_it_may_not_be_read() -> None:
    response = [("access-control-expose-headers", "*")]
    assert conclude_reading(Asked(WEB, OMIT), response) == (fails("the answer names no origin"),)


SHOWN: Final = Conclusion(
    Verdict.GOES_ON, "the browser shows or runs the resource; scripts of the page read nothing of it"
)


def blocked(policy: str) -> Conclusion:
    return Conclusion(Verdict.STOPS, f"the browser blocks the resource: Cross-Origin-Resource-Policy is `{policy}`")


EMBEDS: Final = {
    "no policy blocks nothing": (Site.CROSS_SITE, "", SHOWN),
    "cross-origin blocks nothing": (Site.CROSS_SITE, "cross-origin", SHOWN),
    "same-site lets its sites": (Site.SAME_SITE, "same-site", SHOWN),
    "same-site blocks other sites": (Site.CROSS_SITE, "same-site", blocked("same-site")),
    "same-origin blocks siblings": (Site.SAME_SITE, "same-origin", blocked("same-origin")),
    "an unknown policy blocks nothing": (Site.CROSS_SITE, "none", SHOWN),
}


@pytest.mark.parametrize(("site", "policy", "then"), EMBEDS.values(), ids=EMBEDS)
def test_an_embedded_resource(site: Site, policy: str, then: Conclusion) -> None:
    assert conclude_embed(site, [("cross-origin-resource-policy", policy)]) == then


def test_without_script_nothing_is_read() -> None:
    assert conclude_navigation() == Conclusion(
        Verdict.GOES_ON, "the browser shows the answer as a page; the page that led here reads nothing"
    )


def test_a_socket_opens_without_a_cors_check() -> None:
    assert conclude_websocket(0) == Conclusion(
        Verdict.GOES_ON, "the socket opens if the server agrees: browsers do no CORS check here, so the server must"
    )
    assert conclude_websocket(403) == Conclusion(Verdict.STOPS, "the socket fails to open: status 403 is not 101")


LOCAL: Final = {
    "a private address": (WEB, "192.168.1.1:8443", "the local network"),
    "the last private address of a network": (WEB, "172.31.255.255", "the local network"),
    "the address after it": (WEB, "172.32.0.0", ""),
    "a link-local name": (WEB, "printer.local", "the local network"),
    "a unique local address": (WEB, "[fd00::1]:80", "the local network"),
    "the network of this host": (WEB, "0.0.0.0:80", "the local network"),
    "the address of this host as IPv6": (WEB, "[::]", "the local network"),
    "loopback": (WEB, "127.0.0.2", "the user's own device"),
    "loopback by name": (WEB, "App.localhost:3000", "the user's own device"),
    "loopback in capitals": (WEB, "LOCALHOST", "the user's own device"),
    "loopback as IPv6": (WEB, "[::1]", "the user's own device"),
    "a mapped loopback address": (WEB, "[::ffff:7f00:1]", "the user's own device"),
    "a mapped address": (WEB, "[::ffff:a00:1]", "the local network"),
    "a public address": (WEB, "1.1.1.1", ""),
    "a public name": (WEB, "api.shop.example", ""),
    "a name that only begins like loopback": (WEB, "localhost.shop.example", ""),
    "an opaque page": ("null", "10.0.0.1", "the local network"),
    "a local page on its own network": ("http://10.0.0.2", "10.0.0.1", ""),
    "a local page and the device": ("http://10.0.0.2", "localhost", "the user's own device"),
    "a page of the device": ("http://localhost:3000", "10.0.0.1", ""),
}


@pytest.mark.parametrize(("origin", "host", "where"), LOCAL.values(), ids=LOCAL)
def test_a_target_nearer_than_the_page_needs_the_users_permission(origin: str, host: str, where: str) -> None:
    sentence = f"the target is on {where}: the user must permit `{origin}` to reach it; no header can"
    expected = Conclusion(Verdict.NOTE, sentence, Engine.CHROMIUM) if where else None
    assert note_on_local_network(origin, host) == expected


FIELDS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "access-control-allow-origin",
                "access-control-allow-credentials",
                "access-control-allow-methods",
                "access-control-allow-headers",
                "access-control-max-age",
                "access-control-expose-headers",
            ]
        ),
        st.one_of(st.sampled_from(["*", "true", WEB, "PUT", "authorization", "x-a", "600", ""]), st.text(max_size=8)),
    ),
    max_size=8,
)


@settings(max_examples=200)
@given(fields=FIELDS, status=st.integers(100, 599), headers=st.sets(st.sampled_from(["authorization", "x-a"])))
def test_whoever_sends_credentials_is_never_granted_more(
    fields: list[tuple[str, str]], status: int, headers: set[str]
) -> None:
    """A browser that concludes with credentials that it may go on concludes so without them."""
    include, omit = (Asked(WEB, mode, "PUT", tuple(sorted(headers))) for mode in (INCLUDE, OMIT))
    if check_preflight(include, status, fields)[0].verdict is Verdict.GOES_ON:
        assert check_preflight(omit, status, fields)[0].verdict is Verdict.GOES_ON
    if check_cors(include, fields).verdict is Verdict.GOES_ON:
        assert check_cors(omit, fields).verdict is Verdict.GOES_ON
        assert ("access-control-allow-origin", "*") not in fields


@settings(max_examples=200)
@given(text=st.text(max_size=40), other=st.text(max_size=40))
def test_hosts_and_origins_are_data(text: str, other: str) -> None:
    note = note_on_local_network(text, other)
    assert note is None or note.engine is Engine.CHROMIUM


def test_every_engine_has_its_cap() -> None:
    assert set(MAX_AGE_CAPS) == set(Engine)
