"""Explain a decision: the same checks as `decide`, asked one by one, with what each saw and what follows from it."""

from __future__ import annotations

from typing import NamedTuple

from cors_authz.fetch.browser import Conclusion
from cors_authz.pdp.conclusions import conclude
from cors_authz.pdp.decide import CHECKS, Check, decide, refuse
from cors_authz.pdp.decision import Decision, Objection
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.header_reasons import (
    Explained,
    Removed,
    reasons_of_removal,
    reasons_to_client,
    reasons_to_upstream,
)
from cors_authz.pdp.readings import Readings
from cors_authz.pdp.response import DECISION_ID, whole
from cors_authz.pdp.steps import Step, step_of, unasked


class Explanation(NamedTuple):
    """A decision and all that led to it: a step for each check, each header with its reason, and what a browser makes.

    Where the id of a decision would stand, `pdp.response.DECISION_ID` does.
    """

    decision: Decision
    steps: tuple[Step, ...]
    to_client: tuple[Explained, ...]
    to_upstream: tuple[Explained, ...]
    removed: tuple[Removed, ...]
    body: str
    conclusions: tuple[Conclusion, ...]


def explain(facts: Facts, readings: Readings) -> Explanation:
    """Explain the answer to a request.

    Returns: the explanation, whatever the request is; its decision is the one of `decide`. Never raises.
    """
    steps, objection = _ask_all(facts, readings)
    decision = decide(facts, readings) if objection is None else refuse(objection, facts, readings.now)
    answer = whole(decision, DECISION_ID)
    return Explanation(
        decision=decision,
        steps=steps,
        to_client=reasons_to_client(decision, answer),
        to_upstream=reasons_to_upstream(decision, answer),
        removed=reasons_of_removal(decision, answer),
        body=answer.body,
        conclusions=conclude(decision, answer),
    )


def _ask_all(facts: Facts, readings: Readings) -> tuple[tuple[Step, ...], Objection | None]:
    steps: list[Step] = []
    first: tuple[Check, Objection] | None = None
    for check in CHECKS:
        if first is not None:
            steps.append(unasked(check, first[0]))
            continue
        asked = check.is_asked(facts.kind, facts.group.concerns if facts.group else 0)
        objection = check.objects(facts, readings) if asked else None
        steps.append(step_of(check, objection, facts, readings))
        first = (check, objection) if objection is not None else None
    return tuple(steps), first[1] if first else None
