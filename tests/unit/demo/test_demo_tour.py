"""The tour's table, and how an answer is held against it."""

from __future__ import annotations

import string

import pytest

from cors_authz.demo.tour import STEPS, Call, Expected, Step, Witnessed, differences, filled, send
from cors_authz.demo.upstream import Seen, Upstream
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Reason

NAMES = {"port": "1", "shop": "http://shop:1", "evil": "http://evil:1", "clerk": "c.l.k", "visitor": "v.t.r"}
EXPECTED = Expected(
    400, Reason.REQUEST_MALFORMED, reached=True, headers={"vary": "Origin", "link": ""}, withheld=("cookie",)
)
RIGHT = Witnessed(
    400, {"vary": "Origin", "server": "envoy"}, refuse_unread(Reason.REQUEST_MALFORMED), Seen("GET", "/", ())
)

DIFFERENCES = {
    "what is expected differs in nothing": (RIGHT, ()),
    "an empty header counts as none": (RIGHT._replace(headers={"vary": "Origin", "link": ""}), ()),
    "the status": (RIGHT._replace(status=200), ("status is 200, expected 400",)),
    "the reason": (
        RIGHT._replace(decision=refuse_unread(Reason.INTERNAL_ERROR)),
        ("reason is internal_error, expected request_malformed",),
    ),
    "no decision at all": (RIGHT._replace(decision=None), ("reason is none, expected request_malformed",)),
    "the upstream": (RIGHT._replace(upstream=None), ("the upstream was not reached, expected the contrary",)),
    "a header's value": (RIGHT._replace(headers={"vary": "Accept"}), ("vary is `Accept`, expected `Origin`",)),
    "a header that is missing": (RIGHT._replace(headers={}), ("vary is ``, expected `Origin`",)),
    "a header too many": (
        RIGHT._replace(headers={"vary": "Origin", "link": "</x>"}),
        ("link is `</x>`, expected ``",),
    ),
    "a header that travelled, however it is written": (
        RIGHT._replace(upstream=Seen("GET", "/", (("Cookie", ""),))),
        ("the upstream saw `cookie`, which should not have travelled",),
    ),
}


@pytest.mark.parametrize("sentence", DIFFERENCES)
def test_differences(sentence: str) -> None:
    witnessed, expected = DIFFERENCES[sentence]
    assert differences(EXPECTED, witnessed) == expected


def test_a_step_is_filled_with_what_the_demo_knows() -> None:
    expected = Expected(200, Reason.RULE_ALLOWED, reached=True, headers={"x": "{shop}"})
    step = Step(
        "t", Call("GET", "api", "/{id}", {"origin": "{evil}", "authorization": "Bearer {clerk}"}, "b"), expected, "w"
    )
    assert filled(step, NAMES) == Step(
        "t",
        Call("GET", "api:1", "/{id}", {"origin": "http://evil:1", "authorization": "Bearer c.l.k"}, "b"),
        expected._replace(headers={"x": "http://shop:1"}),
        "w",
    )


def test_every_word_of_the_table_is_known() -> None:
    values = [
        value for step in STEPS for headers in (step.call.headers, step.expected.headers) for value in headers.values()
    ]
    words = {name for value in values for _, name, _, _ in string.Formatter().parse(value) if name}
    assert words == set(NAMES) - {"port"}


def test_titles_tell_the_steps_apart() -> None:
    assert len({step.title for step in STEPS}) == len(STEPS)


def test_every_step_says_whether_a_browser_lets_the_page_read() -> None:
    named = {name for step in STEPS if step.expected.status != 101 for name in step.expected.headers}
    silent = [
        s.title for s in STEPS if s.expected.status != 101 and "access-control-allow-origin" not in s.expected.headers
    ]
    assert named
    assert silent == []


def test_a_request_is_sent_as_it_stands_and_repeated_headers_of_the_answer_are_joined() -> None:
    with Upstream(extra_headers={"/x": [("Vary", "Origin"), ("Vary", "Accept")]}) as upstream:
        status, headers = send(upstream.address, Call("POST", "api:1", "/x", {"origin": "null"}, "stars=1"))
        (seen,) = upstream.requests()
    assert (status, headers["vary"]) == (200, "Origin, Accept")
    assert seen == Seen("POST", "/x", (("host", "api:1"), ("origin", "null"), ("content-length", "7")))
