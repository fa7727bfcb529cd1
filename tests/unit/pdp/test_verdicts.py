"""What became of each check and each guard of a decision; that it agrees with `explain` is a property elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import pytest

from cors_authz.fetch.request import Request
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Reason
from cors_authz.pdp.readings import TokenReading
from cors_authz.pdp.steps import Verdict
from cors_authz.pdp.verdicts import judge_checks, judge_guards
from tests.deciding import IDENTITY, ask, compiled, decided, preflight, token

POLICY: Final = compiled(
    IDENTITY
    + """
originGroups:
  web: {origins: ["https://web.example"], trust: high}
guards:
  signed-in: {authenticated: true, provider: main}
  clerk: {anyRole: [clerk], provider: main}
  lan: {sourceIn: [10.0.0.0/8], phase: both}
resourceGroups:
  api:
    match: [{hosts: [api.example]}]
    guards: [lan, signed-in]
    allow: [{origins: [web], methods: [PUT], credentials: [bearer], guards: [clerk]}]
  all:
    match: [{hosts: [all.example], paths: ["/{version}/**"]}]
    versions: {v1: {}}
    guards: [lan]
    allow: [{origins: [web], methods: [PUT], contentTypes: [application/json]}]
  open:
    match: [{hosts: [open.example]}]
    allow: [{origins: [web]}]
"""
)
API: Final = "https://api.example/"
WEB: Final = "https://web.example"
BEGIN: Final = "request: passes, host: passes, resource group: passes, tenant: passes, "


class Case(NamedTuple):
    """A request, its tokens, and each check and guard with its verdict."""

    request: Request
    checks: str
    guards: str = ""
    tokens: Mapping[str, TokenReading] = {}


CASES: Final = {
    "what is allowed passed everything that it was asked": Case(
        ask(f"PUT {API}", origin=WEB, source="10.0.0.1"),
        BEGIN + "origin: passes, protocol: passes, allow rule: passes, guards: passes",
        "lan: passes, signed-in: passes, clerk: passes",
        {"main": token(roles=["clerk"])},
    ),
    "a group without concerns asks less": Case(
        ask("GET https://open.example/"), BEGIN + "protocol: passes, browser proof: passes"
    ),
    "a group with every concern is asked everything": Case(
        ask("PUT https://all.example/v1/a", origin=WEB, source="10.0.0.1", content_type="application/json"),
        "request: passes, host: passes, resource group: passes, version: passes, tenant: passes, origin: passes, "
        "protocol: passes, allow rule: passes, retired version: passes, content type: passes, guards: passes",
        "lan: passes",
    ),
    "the first objection ends the questions": Case(
        ask("PUT https://open.example/", origin="https://evil.example"),
        BEGIN + "origin: passes, protocol: passes, allow rule: objects",
    ),
    "nothing is asked after an objection": Case(
        ask("GET https://unknown.example/"),
        "request: passes, host: objects, resource group: not asked, tenant: not asked, protocol: not asked, "
        "browser proof: not asked",
    ),
    "the guard that objected is told, and those before and after it": Case(
        ask(f"PUT {API}", origin=WEB, source="10.0.0.1"),
        BEGIN + "origin: passes, protocol: passes, allow rule: passes, guards: objects",
        "lan: passes, signed-in: objects, clerk: not asked",
    ),
    "a refusal that did not come to the guards tells none": Case(
        ask(f"DELETE {API}", origin=WEB),
        BEGIN + "origin: passes, protocol: passes, allow rule: objects, guards: not asked",
    ),
    "a preflight is asked the guards of both phases": Case(
        preflight(f"PUT {API}", WEB, source="10.0.0.1"),
        BEGIN + "origin: passes, preflight: passes, guards: passes",
        "lan: passes, signed-in: not asked, clerk: not asked",
    ),
}


@pytest.mark.parametrize("sentence", CASES)
def test_what_became_of_each_check_and_guard(sentence: str) -> None:
    case = CASES[sentence]
    decision = decided(POLICY, case.request, case.tokens)
    told = [judge_checks(decision, case.tokens), judge_guards(decision)]
    assert [", ".join(f"{name}: {verdict.value}" for name, verdict in each) for each in told] == [
        case.checks,
        case.guards,
    ]


def test_what_was_never_read_was_asked_nothing() -> None:
    decision = refuse_unread(Reason.INTERNAL_ERROR)
    assert (judge_checks(decision, {}), judge_guards(decision)) == ((), ())


def test_each_verdict_has_a_word() -> None:
    assert [verdict.value for verdict in Verdict] == ["passes", "objects", "not asked"]
