"""What a client got against what was decided: a sentence for each way in which the two may differ."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cors_authz.pdp.response import Delivery
from cors_authz.review.delivery import Decided, Delivered, Finding, Verdict, compare, decided_of

ORIGIN = "https://shop.example"
SITE_VARY = "Origin, Sec-Fetch-Site"
NOTHING = Delivery("", "", "", "")
GRANTED = Delivery(ORIGIN, "true", "ETag,X-Total", SITE_VARY)
ALLOWED = Decided("allow", "rule_allowed", "d1", "r7", "api", "api/0", shadow=False, awaited=GRANTED)
STRANGER = ALLOWED._replace(reason="unlisted_read", rule="", awaited=NOTHING._replace(vary=SITE_VARY))
REFUSED = ALLOWED._replace(outcome="deny", reason="role_missing")
PREFLIGHT = ALLOWED._replace(outcome="preflight_allow", reason="preflight_allowed")
SHADOW = ALLOWED._replace(shadow=True)

AGREES = (Finding(Verdict.AGREES),)


def upstream(**headers: str) -> Delivered:
    """Give what an upstream answered: all that was granted but for these."""
    return Delivered(200, "via_upstream", reached_upstream=True, headers=GRANTED._replace(**headers))


def own(headers: Delivery, status: int = 403, details: str = "ext_authz_denied") -> Delivered:
    """Give an answer of Envoy's own, without an upstream."""
    return Delivered(status, details, reached_upstream=False, headers=headers)


def allow_origin(manner: str) -> tuple[Finding, ...]:
    return (Finding(Verdict.ALLOW_ORIGIN_DIFFERS, manner),)


class Case(NamedTuple):
    """A decision, what was delivered, and what is found."""

    decided: Decided | None
    delivered: Delivered
    found: tuple[Finding, ...]


UNCHECKED = upstream()._replace(headers=NOTHING)
GONE = own(NOTHING, 0, "downstream_remote_disconnect")
FOLLOWED = Delivered(302, "internal_redirect", reached_upstream=True, headers=NOTHING)
NO_ROUTE_TO_UPSTREAM = own(NOTHING, 503, "no_healthy_upstream")

CASES = {
    "the client got what was decided": Case(ALLOWED, upstream(), AGREES),
    "nothing was granted and nothing came": Case(
        STRANGER, upstream()._replace(headers=NOTHING._replace(vary="origin,sec-fetch-site")), AGREES
    ),
    "the permission is missing": Case(ALLOWED, upstream(allow_origin=""), allow_origin("missing")),
    "somebody wrote another origin over it": Case(ALLOWED, upstream(allow_origin="*"), allow_origin("overwritten")),
    "the origin differs in case, which browsers refuse": Case(
        ALLOWED, upstream(allow_origin="https://Shop.example"), allow_origin("overwritten")
    ),
    "somebody added a second line": Case(ALLOWED, upstream(allow_origin=f"{ORIGIN},{ORIGIN}"), allow_origin("doubled")),
    "somebody granted what we did not": Case(
        STRANGER, upstream()._replace(headers=STRANGER.awaited._replace(allow_origin="*")), allow_origin("added")
    ),
    "somebody granted it twice": Case(
        STRANGER, upstream()._replace(headers=STRANGER.awaited._replace(allow_origin="*,*")), allow_origin("doubled")
    ),
    "the permission for cookies is missing": Case(
        ALLOWED, upstream(allow_credentials=""), (Finding(Verdict.CREDENTIALS_DIFFERS, "missing"),)
    ),
    "somebody added the permission for cookies": Case(
        ALLOWED._replace(awaited=GRANTED._replace(allow_credentials="")),
        upstream(),
        (Finding(Verdict.CREDENTIALS_DIFFERS, "added"),),
    ),
    "somebody wrote another word over it": Case(
        ALLOWED, upstream(allow_credentials="True"), (Finding(Verdict.CREDENTIALS_DIFFERS, "overwritten"),)
    ),
    "exposed names in another order and case are the same": Case(
        ALLOWED, upstream(expose_headers="x-total, etag"), AGREES
    ),
    "the exposed names are missing": Case(
        ALLOWED, upstream(expose_headers=""), (Finding(Verdict.EXPOSE_HEADERS_DIFFERS, "missing"),)
    ),
    "a further name is exposed": Case(
        ALLOWED, upstream(expose_headers="etag,x-total,x-debug"), (Finding(Verdict.EXPOSE_HEADERS_DIFFERS, "added"),)
    ),
    "a name of ours is not exposed": Case(
        ALLOWED, upstream(expose_headers="etag"), (Finding(Verdict.EXPOSE_HEADERS_DIFFERS, "overwritten"),)
    ),
    "an upstream's further names in Vary do no harm": Case(
        ALLOWED, upstream(vary="Accept-Encoding,SEC-FETCH-SITE , origin"), AGREES
    ),
    "a star in Vary covers every name": Case(ALLOWED, upstream(vary="accept, *"), AGREES),
    "a name that Vary needs is missing": Case(
        ALLOWED, upstream(vary="Accept, Origin"), (Finding(Verdict.VARY_MISSES, "sec-fetch-site"),)
    ),
    "Vary is missing": Case(ALLOWED, upstream(vary=""), (Finding(Verdict.VARY_MISSES, "origin, sec-fetch-site"),)),
    "everything differs at once": Case(
        ALLOWED,
        upstream(allow_origin="*", allow_credentials="", expose_headers="*", vary="Origin"),
        (
            Finding(Verdict.ALLOW_ORIGIN_DIFFERS, "overwritten"),
            Finding(Verdict.CREDENTIALS_DIFFERS, "missing"),
            Finding(Verdict.EXPOSE_HEADERS_DIFFERS, "overwritten"),
            Finding(Verdict.VARY_MISSES, "sec-fetch-site"),
        ),
    ),
    "a refusal of ours came as it was decided": Case(REFUSED, own(GRANTED), AGREES),
    "a refusal of ours lost its permission": Case(
        REFUSED, own(GRANTED._replace(allow_origin="")), allow_origin("missing")
    ),
    "of a preflight's answer the origin alone is compared": Case(
        PREFLIGHT, own(NOTHING._replace(allow_origin=ORIGIN), 204), AGREES
    ),
    "a preflight's answer that somebody overwrote": Case(
        PREFLIGHT, own(NOTHING._replace(allow_origin="*"), 204), allow_origin("overwritten")
    ),
    "Envoy's own answer has the headers all the same": Case(ALLOWED, own(GRANTED, 503, "no_healthy_upstream"), AGREES),
    "Envoy's own answer without the headers is one finding, not four": Case(
        ALLOWED, NO_ROUTE_TO_UPSTREAM, (Finding(Verdict.MISSING_ON_LOCAL_REPLY),)
    ),
    "Envoy's own answer after it asked an upstream, which broke off": Case(
        ALLOWED,
        NO_ROUTE_TO_UPSTREAM._replace(reached_upstream=True, details="upstream_reset_before_response_started"),
        (Finding(Verdict.MISSING_ON_LOCAL_REPLY),),
    ),
    "Envoy's own answer with another origin was overwritten, not lost": Case(
        ALLOWED, own(GRANTED._replace(allow_origin="*"), 503, "lua_response"), allow_origin("overwritten")
    ),
    "Envoy's own answer to whom nothing was granted lacks nothing but names in Vary": Case(
        STRANGER, NO_ROUTE_TO_UPSTREAM, (Finding(Verdict.VARY_MISSES, "origin, sec-fetch-site"),)
    ),
    "a refusal that did not hold: the upstream answered": Case(REFUSED, upstream(), (Finding(Verdict.NOT_APPLIED),)),
    "a preflight that we answered and the upstream answered too": Case(
        PREFLIGHT, upstream(), (Finding(Verdict.NOT_APPLIED),)
    ),
    "a fault of ours that let the request through": Case(
        ALLOWED._replace(outcome="error"), upstream(), (Finding(Verdict.NOT_APPLIED),)
    ),
    "a refusal that did not hold, to a client that left": Case(
        REFUSED, GONE._replace(reached_upstream=True), (Finding(Verdict.NOT_APPLIED),)
    ),
    "the client left before there was a response": Case(ALLOWED, GONE, (Finding(Verdict.NO_RESPONSE),)),
    "the client left while the upstream worked": Case(
        ALLOWED, GONE._replace(reached_upstream=True), (Finding(Verdict.NO_RESPONSE),)
    ),
    "Envoy followed the upstream's redirect, and no client got that": Case(
        ALLOWED, FOLLOWED, (Finding(Verdict.NO_RESPONSE),)
    ),
    "Envoy followed the redirect of an upstream that should not have been asked": Case(
        REFUSED, FOLLOWED, (Finding(Verdict.NOT_APPLIED),)
    ),
    "in shadow, what would change is found and nothing is missed": Case(
        SHADOW, upstream(allow_origin="*"), allow_origin("overwritten")
    ),
    "in shadow, Envoy followed the upstream's redirect": Case(SHADOW, FOLLOWED, (Finding(Verdict.NO_RESPONSE),)),
    "in shadow, the upstream's own headers may be what ours would be": Case(SHADOW, upstream(), AGREES),
    "in shadow, a refusal does not hold, and need not": Case(
        SHADOW._replace(outcome="deny", awaited=NOTHING), upstream()._replace(headers=NOTHING), AGREES
    ),
    "in shadow, Envoy's own answer has no headers of ours to lose": Case(
        SHADOW, NO_ROUTE_TO_UPSTREAM._replace(headers=GRANTED._replace(allow_origin="")), allow_origin("missing")
    ),
    "an upstream answered and nobody was asked": Case(None, UNCHECKED, (Finding(Verdict.UNCHECKED),)),
    "an upstream refused and nobody was asked": Case(
        None, UNCHECKED._replace(status=404), (Finding(Verdict.UNCHECKED),)
    ),
    "Envoy followed an upstream's redirect and nobody was asked": Case(None, FOLLOWED, (Finding(Verdict.UNCHECKED),)),
    "an upstream was called unasked by a client that left": Case(
        None, GONE._replace(reached_upstream=True), (Finding(Verdict.UNCHECKED),)
    ),
    "Envoy served something of its own and nobody was asked": Case(
        None, own(NOTHING, 200, "direct_response"), (Finding(Verdict.UNCHECKED),)
    ),
    "Envoy redirected and nobody was asked": Case(
        None, own(NOTHING, 399, "direct_response"), (Finding(Verdict.UNCHECKED),)
    ),
    "Envoy refused before it asked": Case(
        None, own(NOTHING, 400, "http1.codec_error"), (Finding(Verdict.ANSWERED_BEFORE_CHECK),)
    ),
    "Envoy asked, got no answer and refused": Case(
        None, own(NOTHING, 503, "ext_authz_error"), (Finding(Verdict.CHECK_FAILED),)
    ),
    "the client left before anybody was asked": Case(None, GONE, (Finding(Verdict.NO_RESPONSE),)),
}


@pytest.mark.parametrize("sentence", CASES)
def test_what_is_found(sentence: str) -> None:
    decided, delivered, found = CASES[sentence]

    assert compare(decided, delivered) == found


METADATA = {
    "outcome": "allow",
    "reason": "rule_allowed",
    "decision_id": "d1",
    "revision": "r7",
    "group": "api",
    "rule": "api/0",
    "allow_origin": ORIGIN,
    "allow_credentials": "true",
    "expose_headers": "ETag,X-Total",
    "vary": SITE_VARY,
}
READ: dict[str, tuple[dict[str, object], Decided | None]] = {
    "all that the service writes": ({**METADATA}, ALLOWED),
    "shadow is a truth value": ({**METADATA, "shadow": True}, SHADOW),
    "what Envoy adds is left alone": ({**METADATA, "ext_authz_duration": False}, ALLOWED),
    "a text in place of a truth value is none": ({**METADATA, "shadow": "true"}, ALLOWED),
    "a truth value in place of a text is none": (
        {**METADATA, "vary": True},
        ALLOWED._replace(awaited=GRANTED._replace(vary="")),
    ),
    "an outcome alone": (
        {"outcome": "error"},
        Decided("error", "", "", "", "", "", shadow=False, awaited=NOTHING),
    ),
    "nothing": ({}, None),
    "another service's metadata": ({"user": "u1", "decision_id": "x"}, None),
    "an outcome that is no text": ({**METADATA, "outcome": True}, None),
}


@pytest.mark.parametrize("sentence", READ)
def test_decisions_are_read_from_the_metadata(sentence: str) -> None:
    metadata, expected = READ[sentence]

    assert decided_of(metadata) == expected


TEXTS = st.sampled_from(["", "*", ORIGIN, "true", "Origin", "Origin, Accept", "a,,b"]) | st.text(max_size=12)
HEADERS = st.builds(Delivery, TEXTS, TEXTS, TEXTS, TEXTS)
DECIDED = st.builds(
    Decided,
    st.sampled_from(["allow", "deny", "preflight_allow", "preflight_deny", "error", "unheard-of"]),
    *[TEXTS] * 5,
    st.booleans(),
    HEADERS,
)
DELIVERED = st.builds(
    Delivered,
    st.integers(0, 2**32 - 1),
    st.sampled_from(["via_upstream", "ext_authz_error", ""]),
    st.booleans(),
    HEADERS,
)


@given(st.none() | DECIDED, DELIVERED)
def test_there_is_always_a_verdict_and_agreement_stands_alone(decided: Decided | None, delivered: Delivered) -> None:
    verdicts = [finding.verdict for finding in compare(decided, delivered)]

    assert verdicts
    assert len(set(verdicts)) == len(verdicts)
    assert Verdict.AGREES not in verdicts or verdicts == [Verdict.AGREES]


@given(DECIDED, HEADERS)
def test_an_upstreams_answer_agrees_only_with_the_very_origin_that_was_granted(decided: Decided, got: Delivery) -> None:
    delivered = Delivered(200, "via_upstream", reached_upstream=True, headers=got)

    if compare(decided, delivered) == AGREES:
        assert got.allow_origin == decided.awaited.allow_origin
