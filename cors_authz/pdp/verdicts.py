"""What became of each check and each guard of a decision: `explain` without its words, quick enough for a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from cors_authz.fetch.request import Kind
from cors_authz.pdp.decide import CHECKS
from cors_authz.pdp.decision import Decision, Outcome
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.readings import Readings, TokenReading
from cors_authz.pdp.steps import Verdict
from cors_authz.policy.compiled import EVERY_CONCERN, Guard


class Judgement(NamedTuple):
    """A check, or a guard of the policy, by its name, and what became of it."""

    name: str
    verdict: Verdict


Judgements: TypeAlias = tuple[Judgement, ...]

# Bound here since, on Python 3.11, a member costs more to look up than a header.
_PASSES: Final = Verdict.PASSES
_OBJECTS: Final = Verdict.OBJECTS
_NOT_ASKED: Final = Verdict.NOT_ASKED

_ALLOWED: Final = frozenset({Outcome.ALLOW, Outcome.PREFLIGHT_ALLOW})
_ASKED: Final = {
    kind: tuple(
        tuple(check for check in CHECKS if check.is_asked(kind, concerns)) for concerns in range(EVERY_CONCERN + 1)
    )
    for kind in Kind
}
_ALL_PASS: Final = {
    kind: tuple(tuple(Judgement(check.name, _PASSES) for check in checks) for checks in by_concerns)
    for kind, by_concerns in _ASKED.items()
}


def judge_checks(decision: Decision, tokens: Mapping[str, TokenReading]) -> Judgements:
    """Tell each check that the request was asked, in the order of `CHECKS`; none without facts. Never raises.

    Args:
        decision: the decision.
        tokens: what it was made with.
    """
    facts = decision.facts
    if facts is None:
        return ()
    concerns = facts.group.concerns if facts.group else 0
    if decision.outcome in _ALLOWED:
        return _ALL_PASS[facts.kind][concerns]
    checks = _ASKED[facts.kind][concerns]
    readings = Readings(decision.now, tokens)
    objector = next((at for at, check in enumerate(checks) if check.objects(facts, readings)), len(checks))
    return tuple(Judgement(check.name, _verdict(at, objector)) for at, check in enumerate(checks))


def judge_guards(decision: Decision) -> Judgements:
    """Tell each guard of class, group and rule, in this order; none that the decision did not come to. Never raises."""
    facts, culprit = decision.facts, decision.guard
    if facts is None or (culprit is None and decision.outcome not in _ALLOWED):
        return ()
    guards = (*(facts.group.guards if facts.group else ()), *(facts.rule.guards if facts.rule else ()))
    objector = next((at for at, guard in enumerate(guards) if guard is culprit), len(guards))
    return tuple(Judgement(guard.name, _guard_verdict(guard, at, objector, facts)) for at, guard in enumerate(guards))


def _guard_verdict(guard: Guard, at: int, objector: int, facts: Facts) -> Verdict:
    return _NOT_ASKED if facts.is_preflight and not guard.both_phases else _verdict(at, objector)


def _verdict(at: int, objector: int) -> Verdict:
    if at == objector:
        return _OBJECTS
    return _PASSES if at < objector else _NOT_ASKED
