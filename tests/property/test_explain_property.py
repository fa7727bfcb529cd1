"""Whatever is asked, an explanation agrees with the decision, and says something of every check and every header."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hypothesis import event, given, settings
from hypothesis import strategies as st

from cors_authz.edge.policy_files import read_sources
from cors_authz.fetch.request import Request, spoofed_names
from cors_authz.pdp.decide import CHECKS, decide
from cors_authz.pdp.decision import Outcome
from cors_authz.pdp.explain import explain
from cors_authz.pdp.match import match
from cors_authz.pdp.readings import Readings, TokenReading, TokenState
from cors_authz.pdp.response import DECISION_ID, whole
from cors_authz.pdp.steps import Step, Verdict
from cors_authz.pdp.verdicts import Judgement, judge_checks, judge_guards
from cors_authz.policy.compiled import CompiledPolicy, Route
from cors_authz.policy.load import load_policy
from tests.deciding import environments_of

REFERENCE: Final = Path(__file__).parents[1] / "policies" / "reference"
SOURCES: Final = tuple(read_sources(path) for path in sorted(REFERENCE.iterdir()))
POLICIES: Final[tuple[CompiledPolicy, ...]] = tuple(
    load_policy(sources, environments_of(sources)[0]).policy for sources in SOURCES
)


def _routes(policy: CompiledPolicy) -> Iterator[Route]:
    for hosts in policy.routes.exact.values():
        for host in hosts:
            yield from host.paths.find(())
            for length in (("v1",), ("v2", "a"), ("v2", "orders", "7"), ("v2", "admin", "x")):
                yield from host.paths.find(length)


def _filled(pattern: str) -> str:
    return (
        pattern.replace("{tenant}", "acme")
        .replace("{version}", "v2")
        .replace("/**", "/a/b")
        .replace("*.", "x.")
        .replace("*", "y")
    )


TARGETS: Final = ("/", "/v1/a", "/v2/admin/x", "/a//b", "/a%2Fb", "", "/v2/orders/7?_method=TRACE", "/x?v=v1", "/..")
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "", "QUERY")
HEADERS: Final = {
    "access-control-request-method": ("GET", "PUT", "DELETE", "TRACE", "p ut"),
    "access-control-request-headers": ("content-type", "authorization,content-type", "x-unknown", "a b"),
    "sec-fetch-site": ("same-origin", "same-site", "cross-site", "none", "odd"),
    "sec-fetch-mode": ("cors", "no-cors", "navigate", "websocket"),
    "sec-fetch-dest": ("empty", "document", "image"),
    "upgrade": ("websocket",),
    "content-type": ("application/json", "text/plain", "application/grpc-web+proto"),
    "authorization": ("Bearer x",),
    "cookie": ("a=b",),
    "x-http-method-override": ("DELETE", "CONNECT"),
    "x-cors-authz-tenant": ("acme",),
    "access-control-request-private-network": ("true",),
    "api-version": ("v1", "v9"),
}
NAMES: Final = st.sampled_from(sorted(HEADERS))


@st.composite
def _origins(draw: st.DrawFn, policy: CompiledPolicy) -> str:
    listed = st.sampled_from(sorted(policy.origins.exact) or ["https://x.example"])
    others = st.sampled_from(["null", "https://evil.example", "HTTPS://no", "https://pr-7.preview.shop.example", ""])
    return draw(st.one_of(listed, listed, others))


@st.composite
def _requests(draw: st.DrawFn, policy: CompiledPolicy) -> Request:
    routes = sorted({(_filled(route.host), _filled(route.path)) for route in _routes(policy)})
    # Most requests reach the later checks, or the property says little of them.
    host, target = draw(st.sampled_from([*routes * 6, ("unknown.example", "/"), ("a b", "/")]))
    headers = {name: draw(st.sampled_from(HEADERS[name])) for name in draw(st.sets(NAMES, max_size=4))}
    if draw(st.booleans()):
        headers["access-control-request-method"] = draw(st.sampled_from(["GET", "POST", "PUT"]))
    origin = draw(_origins(policy))
    if origin:
        headers["origin"] = origin
    return Request(
        method=draw(st.one_of(st.sampled_from(["GET", "POST", "OPTIONS"]), st.sampled_from(METHODS))),
        scheme=draw(st.sampled_from(["https", "http"])),
        host=host,
        target=draw(st.sampled_from([target] * 3 * len(TARGETS) + [*TARGETS])),
        headers=headers,
        source=draw(st.sampled_from(["", "10.0.0.1", "no address"])),
        principal=draw(st.sampled_from(["", "spiffe://mesh/ns/acme/sa/x"])),
        spoofed=spoofed_names(headers),
    )


_CLAIMS: Final = st.fixed_dictionaries(
    {},
    optional={
        "iat": st.sampled_from([0, 1.79e9, "x"]),
        "roles": st.sampled_from([["admin"], "clerk support", 7]),
        "realm_access": st.just({"roles": ["admin", "clerk"]}),
        "tenant": st.sampled_from(["acme", "globex"]),
    },
)


@st.composite
def _readings(draw: st.DrawFn, policy: CompiledPolicy) -> Readings:
    def token(state: TokenState) -> TokenReading:
        return TokenReading(state, draw(_CLAIMS) if state is TokenState.VALID else {}, "why")

    states = st.one_of(st.just(TokenState.VALID), st.sampled_from(TokenState))
    now = draw(st.sampled_from([0.0, 1.78e9, 1.79e9, 4e9]))
    return Readings(now, {name: token(draw(states)) for name in policy.providers})


def _flat(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _flat(step.steps)


@settings(max_examples=200)
@given(data=st.data())
def test_an_explanation_agrees_with_the_decision(data: st.DataObject) -> None:
    policy = data.draw(st.sampled_from(POLICIES))
    facts = match(data.draw(_requests(policy)), policy)
    readings = data.draw(_readings(policy))
    explanation = explain(facts, readings)
    decision = decide(facts, readings)
    event(f"{decision.outcome.value} {decision.reason.value}")
    answer = whole(decision, DECISION_ID)

    assert explanation.decision == decision
    assert [step.name for step in explanation.steps] == [check.name for check in CHECKS]
    verdicts = [step.verdict for step in explanation.steps]
    objecting = verdicts.count(Verdict.OBJECTS)
    assert objecting == (0 if decision.outcome in {Outcome.ALLOW, Outcome.PREFLIGHT_ALLOW} else 1)
    asked = verdicts.index(Verdict.OBJECTS) + 1 if objecting else len(CHECKS)
    assert Verdict.NOT_ASKED not in verdicts[:asked]
    assert set(verdicts[asked:]) <= {Verdict.NOT_ASKED}
    assert all(step.sentence for step in _flat(explanation.steps))

    assert [(header.name, header.value) for header in explanation.to_client] == [h[:2] for h in answer.to_client]
    assert [(header.name, header.value) for header in explanation.to_upstream] == [h[:2] for h in answer.to_upstream]
    assert tuple(header.name for header in explanation.removed) == answer.removed
    explained = [header.because for header in (*explanation.to_client, *explanation.to_upstream)]
    assert all(because.why for because in (*explained, *(header.because for header in explanation.removed)))
    assert explanation.body == answer.body
    assert explanation.conclusions


@settings(max_examples=100)
@given(data=st.data())
def test_the_guards_of_an_explanation_hold_as_the_decision_has_it(data: st.DataObject) -> None:
    policy = data.draw(st.sampled_from([policy for policy in POLICIES if policy.providers]))
    facts = match(data.draw(_requests(policy)), policy)
    explanation = explain(facts, data.draw(_readings(policy)))
    guards = explanation.steps[-1].steps
    objecting = [step.name for step in guards if step.verdict is Verdict.OBJECTS]
    guard = explanation.decision.guard
    assert objecting == ([f"guard `{guard.name}`"] if guard else [])


@settings(max_examples=200)
@given(data=st.data())
def test_the_verdicts_of_a_decision_are_those_of_its_explanation(data: st.DataObject) -> None:
    policy = data.draw(st.sampled_from(POLICIES))
    facts = match(data.draw(_requests(policy)), policy)
    readings = data.draw(_readings(policy))
    decision = decide(facts, readings)
    steps = explain(facts, readings).steps
    event(decision.reason.value)

    concerns = facts.group.concerns if facts.group else 0
    asked = [check.is_asked(facts.kind, concerns) for check in CHECKS]
    checks = tuple(
        Judgement(step.name, step.verdict) for step, was_asked in zip(steps, asked, strict=True) if was_asked
    )
    guards = tuple(Judgement(f"guard `{name}`", verdict) for name, verdict in judge_guards(decision))
    assert judge_checks(decision, readings.tokens) == checks
    assert guards == tuple(Judgement(step.name, step.verdict) for step in steps[-1].steps)
