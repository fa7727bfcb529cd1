"""What holds of every decision, whatever is asked and whatever the policy says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from cors_authz.envoy.encode import Encoder
from cors_authz.fetch.origin import parse_origin
from cors_authz.fetch.request import Request
from cors_authz.pdp.decision import Decision, Outcome
from cors_authz.pdp.response import Header, whole
from cors_authz.policy.compiled import CompiledPolicy
from tests.deciding import DECISION_ID, answer_on, decided, wire
from tests.property.strategies import (
    UNLISTED,
    Asked,
    anything,
    browser_headers,
    guard_sets,
    policy_with,
    preflights,
    reads,
    reference_policies,
    serialized,
)

modest = settings(max_examples=200)

ORIGIN: Final = "access-control-allow-origin"
CREDENTIALS: Final = "access-control-allow-credentials"
LET_IN: Final = frozenset({Outcome.ALLOW, Outcome.PREFLIGHT_ALLOW})
_ON_THE_WIRE: Final = {
    Outcome.ALLOW: "ok_response",
    Outcome.ERROR: "error_response",
    Outcome.DENY: "denied_response",
    Outcome.PREFLIGHT_ALLOW: "denied_response",
    Outcome.PREFLIGHT_DENY: "denied_response",
}


def said(decision: Decision) -> dict[str, str]:
    """Give the headers to the client, blanks left out."""
    return {header.name: header.value for header in whole(decision, DECISION_ID).to_client if header.value}


def grants(decision: Decision) -> dict[str, str]:
    """Give what the answer grants to scripts."""
    return {name: value for name, value in said(decision).items() if name.startswith("access-control-")}


def decide_asked(asked: Asked, policy: CompiledPolicy) -> Decision:
    decision = decided(policy, asked.request, asked.tokens)
    event(decision.reason.value)
    return decision


@modest
@given(anything, guard_sets)
def test_whatever_is_asked_has_an_answer_with_a_status(asked: Asked, guards: tuple[str, ...]) -> None:
    policy = policy_with(guards)
    decision = decide_asked(asked, policy)
    response = wire(policy, decision)
    applied = not decision.shadow
    assert response.HasField("status")
    assert response.WhichOneof("http_response") == (_ON_THE_WIRE[decision.outcome] if applied else "ok_response")
    assert (response.status.code == 0) is (decision.outcome is Outcome.ALLOW or not applied)
    assert decision.status == 0 if decision.outcome is Outcome.ALLOW else decision.status in range(204, 504)


@modest
@given(anything, guard_sets)
def test_the_wire_says_what_the_answer_says(asked: Asked, guards: tuple[str, ...]) -> None:
    policy = policy_with(guards)
    decision = decide_asked(asked, policy)
    assert answer_on(wire(policy, decision)) == whole(decision, DECISION_ID)


@modest
@given(st.lists(anything, min_size=2, max_size=6))
def test_an_encoder_remembers_nothing_of_a_request(several: list[Asked]) -> None:
    policy = policy_with()
    encoder = Encoder(policy)
    for asked in several:
        decision = decided(policy, asked.request, asked.tokens)
        assert encoder.encode(decision, DECISION_ID) == Encoder(policy).encode(decision, DECISION_ID)


@modest
@given(anything, guard_sets)
def test_no_value_breaks_out_of_its_line(asked: Asked, guards: tuple[str, ...]) -> None:
    answer = whole(decide_asked(asked, policy_with(guards)), DECISION_ID)
    headers: tuple[Header, ...] = answer.to_client + answer.to_upstream
    assert not [header for header in headers if set("\r\n\0") & set(header.name + header.value)]


@modest
@given(anything)
def test_a_refused_preflight_grants_nothing_and_has_no_body(asked: Asked) -> None:
    decision = decide_asked(asked, policy_with())
    if decision.outcome is Outcome.PREFLIGHT_DENY:
        assert grants(decision) == {}
        assert whole(decision, DECISION_ID).body == ""


@modest
@given(anything)
def test_a_star_never_travels_with_credentials(asked: Asked) -> None:
    granted = grants(decide_asked(asked, policy_with()))
    assert not (granted.get(ORIGIN) == "*" and CREDENTIALS in granted)


@modest
@given(anything)
def test_an_echoed_origin_is_the_requests_and_is_listed(asked: Asked) -> None:
    policy = policy_with()
    decision = decide_asked(asked, policy)
    granted = grants(decision).get(ORIGIN, "*")
    if granted != "*":
        memberships = policy.origins.find(granted) or ()
        reader = decision.reader
        assert granted == asked.request.headers["origin"]
        assert reader is not None
        assert {membership.group for membership in memberships} & set(reader.origin_groups)


@modest
@given(anything)
def test_whoever_is_not_listed_is_granted_nothing(asked: Asked) -> None:
    decision = decide_asked(asked, policy_with())
    if decision.reader is None:
        star = {ORIGIN: "*", "access-control-expose-headers": "etag"}
        free = decision.group is not None and decision.group.origin_free and decision.outcome is Outcome.ALLOW
        assert grants(decision) == (star if free else {})


@modest
@given(anything)
def test_credentials_travel_only_by_a_rule_or_to_its_own_pages(asked: Asked) -> None:
    decision = decide_asked(asked, policy_with())
    origin = asked.request.headers.get("origin", "")
    own = f"{asked.request.scheme}://{asked.request.host}"
    no_referrer = origin == "null" and asked.request.headers.get("sec-fetch-site") == "same-origin"
    if decision.outcome is Outcome.ALLOW and not decision.shadow and origin not in {"", own} and not no_referrer:
        granted = {kind.value for kind in decision.rule.credentials} if decision.rule else set()
        removed = whole(decision, DECISION_ID).removed
        assert ("cookie" in removed) is ("cookie" not in granted)
        assert ("authorization" in removed) is ("bearer" not in granted)


@modest
@given(anything)
def test_vary_names_the_origin_wherever_an_answer_depends_on_it(asked: Asked) -> None:
    decision = decide_asked(asked, policy_with())
    free = decision.group is not None and decision.group.origin_free and not decision.facts.is_preflight  # type: ignore[union-attr]
    if not free and not decision.shadow:
        assert "Origin" in said(decision)["vary"].split(", ")


@modest
@given(anything)
def test_every_refusal_stays_out_of_caches(asked: Asked) -> None:
    decision = decide_asked(asked, policy_with())
    if decision.outcome in {Outcome.DENY, Outcome.PREFLIGHT_DENY, Outcome.ERROR} and not decision.shadow:
        assert said(decision)["cache-control"] == "no-store"


def _as_cached(request: Request, asked: Request, vary: tuple[str, ...]) -> Request:
    """Give the other request the values of every header that a cache compares."""
    names = [name.lower() for name in vary]
    kept = {name: value for name, value in asked.headers.items() if name not in names}
    compared = {name: request.headers[name] for name in names if name in request.headers}
    return request._replace(headers={**kept, **compared})


@modest
@given(reads(), reads(), guard_sets)
def test_what_a_cache_takes_for_the_same_has_the_same_answer(
    asked: Asked, other: Asked, guards: tuple[str, ...]
) -> None:
    policy = policy_with(guards)
    first = decide_asked(asked, policy)
    assert first.group is not None
    # Taken off a foreign origin's request, a token counts as missing there; such an answer is private to the token.
    assume(not (first.group.origin_free and first.group.providers))
    second = decided(policy, _as_cached(asked.request, other.request, first.group.vary), asked.tokens)
    assert (first.outcome, first.status) == (second.outcome, second.status)
    # A refusal is never kept, so it may say to each origin what concerns that origin.
    if first.outcome is Outcome.ALLOW:
        assert said(first) == said(second)


@modest
@given(anything, guard_sets, guard_sets)
def test_a_further_guard_never_turns_deny_into_allow(
    asked: Asked, guards: tuple[str, ...], further: tuple[str, ...]
) -> None:
    both = tuple(sorted({*guards, *further}))
    if decided(policy_with(both), asked.request, asked.tokens).outcome in LET_IN:
        fewer = decided(policy_with(guards), asked.request, asked.tokens)
        assert fewer.outcome in LET_IN


@modest
@given(anything, guard_sets, st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"]))
def test_a_method_override_never_lets_in_what_is_refused_without_it(
    asked: Asked, guards: tuple[str, ...], override: str
) -> None:
    """An upstream may honour the override or not, so both methods must be allowed."""
    policy = policy_with(guards)
    headers = {name: value for name, value in asked.request.headers.items() if name != "x-http-method-override"}
    plain = asked.request._replace(target="/a", headers=headers)
    if decided(policy, plain._replace(target=f"/a?_method={override}"), asked.tokens).outcome in LET_IN:
        assert decided(policy, plain, asked.tokens).outcome in LET_IN


@modest
@given(reads(), st.sampled_from(["GET", "POST", "OPTIONS"]), st.sampled_from(UNLISTED), guard_sets)
def test_nobodys_origin_and_an_origin_of_other_groups_are_answered_alike(
    asked: Asked, method: str, nobody: str, guards: tuple[str, ...]
) -> None:
    """`https://pr-7.web.example` is in a group of the policy, and no rule of these resource groups has that group."""
    policy = policy_with(guards)
    headers = {name: value for name, value in asked.request.headers.items() if name != "origin"}
    for host in ("sealed.example", "live.example", "tools.example"):
        request = asked.request._replace(method=method, host=host)
        one, two = (
            Encoder(policy).encode(
                decided(policy, request._replace(headers={**headers, "origin": origin}), asked.tokens), DECISION_ID
            )
            for origin in (nobody, "https://pr-7.web.example")
        )
        assert one == two


@modest
@given(preflights())
def test_a_preflight_is_told_what_it_asked_and_the_request_that_follows_is_admitted(asked: Asked) -> None:
    """Where no guard, version or protocol is left to the request itself, a page of another origin may rely on it."""
    policy = policy_with()
    decision = decide_asked(asked, policy)
    request = asked.request
    elsewhere = request.headers["origin"] != f"https://{request.host}"
    left_open = decision.shadow or request.host in {"tokens.example", "live.example"}
    if decision.outcome is Outcome.PREFLIGHT_ALLOW and elsewhere and not left_open:
        granted = grants(decision)
        method = request.headers["access-control-request-method"]
        follows = request._replace(method=method, headers={"origin": request.headers["origin"]})
        actual = decided(policy, follows, asked.tokens)
        assert granted["access-control-allow-methods"] == method
        assert actual.outcome is Outcome.ALLOW
        assert grants(actual)[ORIGIN] == granted[ORIGIN]
        assert grants(actual).get(CREDENTIALS) == granted.get(CREDENTIALS)


@modest
@given(st.sampled_from(sorted(reference_policies())), st.data(), browser_headers)
def test_the_reference_policies_answer_whatever_is_asked(
    name: str, data: st.DataObject, headers: Mapping[str, str]
) -> None:
    policy = reference_policies()[name]
    host = data.draw(st.sampled_from(sorted(policy.routes.exact)))
    listed = [st.sampled_from(sorted(policy.origins.exact))]
    origin = data.draw(st.one_of(*listed, serialized, st.just("")))
    method = data.draw(st.sampled_from(["GET", "POST", "OPTIONS"]))
    path = data.draw(st.sampled_from(["/", "/v2/a", "/api/a", "/mcp", "/feed", "/v3/transfers/a", "/accounts/1"]))
    request = Request(method, "https", host, path, {**headers, **({"origin": origin} if origin else {})})
    decision = decided(policy, request)
    response = wire(policy, decision)
    assert response.HasField("status")
    assert answer_on(response) == whole(decision, DECISION_ID)
    if decision.reader is None and parse_origin(origin) is not None:
        assert grants(decision) in ({}, {ORIGIN: "*"})
