"""An explanation for machines: one JSON object whose keys stay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from cors_authz.pdp.decision import Decision
from cors_authz.pdp.explain import Explanation
from cors_authz.pdp.header_reasons import Explained, Removed
from cors_authz.pdp.reasons import WORDS, mend_of
from cors_authz.pdp.steps import Step
from cors_authz.policy.finding import Place


def to_json(explanation: Explanation, notes: Iterable[str]) -> str:
    """Write an explanation as one JSON object.

    - `decision`: `outcome`, `reason`, `title`, `mend`, `status` (0: the request goes on), `shadow`, `group`, `rule`,
      `guard` (each null where there is none), `policy`, `revision`, `environment`
    - `steps`: in the order of the checks, each `name`, `verdict` (`passes`, `objects`, `not asked`), `sentence`,
      `place` (`file:line:column` or null) and `steps` of its own
    - `to_client`, `to_upstream`: each `name`, `value`, `blanks`, `why`, `place`
    - `removed`: each `name`, `sent`, `why`, `place`
    - `body`: of our own answer
    - `browser`: each `verdict` (`goes on`, `stops`, `note`), `sentence`, `engine` (null: all)
    - `notes`: what was assumed, and what could not be had
    """
    document = {
        "decision": _decision(explanation.decision),
        "steps": [_step(step) for step in explanation.steps],
        "to_client": [_header(header) for header in explanation.to_client],
        "to_upstream": [_header(header) for header in explanation.to_upstream],
        "removed": [_removed(header) for header in explanation.removed],
        "body": explanation.body,
        "browser": [
            {"verdict": each.verdict.value, "sentence": each.sentence, "engine": each.engine and each.engine.value}
            for each in explanation.conclusions
        ],
        "notes": list(notes),
    }
    return json.dumps(document, indent=2) + "\n"


def _decision(decision: Decision) -> Mapping[str, object]:
    group, rule, guard, facts = decision.group, decision.rule, decision.guard, decision.facts
    return {
        "outcome": decision.outcome.value,
        "reason": decision.reason.value,
        "title": WORDS[decision.reason].title,
        "mend": mend_of(decision),
        "status": decision.status,
        "shadow": decision.shadow,
        "group": group.name if group else None,
        "rule": rule.name if rule else None,
        "guard": guard.name if guard else None,
        "policy": facts.policy.name if facts else None,
        "revision": facts.policy.revision if facts else None,
        "environment": facts.policy.environment if facts else None,
    }


def _step(step: Step) -> Mapping[str, object]:
    return {
        "name": step.name,
        "verdict": step.verdict.value,
        "sentence": step.sentence,
        "place": _place(step.place),
        "steps": [_step(inner) for inner in step.steps],
    }


def _header(header: Explained) -> Mapping[str, object]:
    return {
        "name": header.name,
        "value": header.value,
        "blanks": header.blanks,
        "why": header.because.why,
        "place": _place(header.because.place),
    }


def _removed(header: Removed) -> Mapping[str, object]:
    return {
        "name": header.name,
        "sent": header.sent,
        "why": header.because.why,
        "place": _place(header.because.place),
    }


def _place(place: Place | None) -> str | None:
    return str(place) if place else None
