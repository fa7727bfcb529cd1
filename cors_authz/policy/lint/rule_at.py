"""The allow rules of a policy, each with its resource group and the places of what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cors_authz.policy import schema
from cors_authz.policy.effective import EffectiveRule
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding, Place, Severity
from cors_authz.policy.subject import Subject


class RuleAt(NamedTuple):
    """An allow rule, and the resource group where it stands."""

    group: Named[schema.ResourceGroup]
    rule: EffectiveRule

    @property
    def model(self) -> schema.AllowRule:
        """What the policy writes."""
        return self.rule.model

    def place(self, *path: str | int) -> Place:
        """Where something in the rule stands; what is not there stands at its nearest parent."""
        return self.group.place("allow", self.rule.index, *path)

    def finding(self, code: str, text: str, *path: str | int, severity: Severity = Severity.ERROR) -> Finding:
        """Say something of what stands at a path of the rule."""
        return Finding(self.place(*path), code, text, severity, self.group.about)

    def admitted(self, subject: Subject) -> Iterator[tuple[int, Named[schema.OriginGroup]]]:
        """The origin groups of the rule that exist in the subject's environment, with their positions."""
        for index, name in enumerate(self.model.origins):
            if name in subject.patterns:
                yield index, subject.estate.origin_groups[name]


def rules_at(subject: Subject) -> Iterator[RuleAt]:
    """Every allow rule of the policy."""
    for name, rules in subject.rules.items():
        for rule in rules:
            yield RuleAt(subject.estate.resource_groups[name], rule)
