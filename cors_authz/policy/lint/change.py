"""Findings about change: environments, rate limits, rollout and lockdown, and what is not yet applied.

Suppressions, exceptions, overlays and owners have modules of their own; their rules are among these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Final

from cors_authz.policy import schema
from cors_authz.policy.compiled import Trust
from cors_authz.policy.estate import Estate
from cors_authz.policy.finding import Finding, Place, Severity
from cors_authz.policy.lint import exceptions, overlays, owners, suppressions
from cors_authz.policy.lint.wording import unknown_name_text
from cors_authz.policy.rollout import RolloutStep
from cors_authz.policy.subject import Subject

# --- environments ---------------------------------------------------------------------------------------------------


def unknown_environments(subject: Subject) -> Iterator[Finding]:
    """CX046: what is tagged with a misspelled environment exists nowhere."""
    declared = subject.estate.environments
    for name, place, about in _tags(subject.estate):
        if name not in declared:
            yield Finding(place, "CX046", unknown_name_text(name, "environment", declared), about=about)


def _tags(estate: Estate) -> Iterator[tuple[str, Place, str]]:
    for origins in estate.origin_groups.values():
        for index, name in enumerate(origins.model.environments):
            yield name, origins.place("environments", index), origins.about
    for exception in estate.exceptions.values():
        for index, name in enumerate(exception.model.environments):
            yield name, exception.place("environments", index), exception.about
    for group in estate.resource_groups.values():
        for entry, match in enumerate(group.model.match):
            for index, name in enumerate(match.environments):
                yield name, group.place("match", entry, "environments", index), group.about


# --- rate limits ----------------------------------------------------------------------------------------------------


def limits_of_unknown_groups(subject: Subject) -> Iterator[Finding]:
    """CX046: a limit on something misspelled limits nothing."""
    groups = subject.estate.resource_groups
    for limit in subject.estate.rate_limits.values():
        for index, name in enumerate(limit.model.resource_groups):
            if name not in groups:
                text = unknown_name_text(name, "resource group", groups)
                yield Finding(limit.place("resourceGroups", index), "CX046", text, about=limit.about)


def limits_by_no_tenant(subject: Subject) -> Iterator[Finding]:
    """CX047: where nothing names a tenant, all count as one, and one of them uses up what others need."""
    tenants = subject.estate.bundle.model.tenants
    if tenants or any(route.host.tenant or route.path.tenant for route in subject.routes) or not subject.routes:
        return
    for limit in subject.estate.rate_limits.values():
        for index, key in enumerate(limit.model.by):
            if key == "tenant":
                text = f"`{limit.name}` counts by tenant, and no route and no `tenants` names one; drop it from `by`"
                yield Finding(limit.place("by", index), "CX047", text, about=limit.about)


# --- rollout --------------------------------------------------------------------------------------------------------


def rollouts_that_do_not_arrive(subject: Subject) -> Iterator[Finding]:
    """CX047: two revisions would decide forever, and by the origin who asks."""
    bundle = subject.estate.bundle
    steps = _steps(subject)
    if steps and steps[-1].enforce < _WHOLE:
        text = f"rollout.steps end at {steps[-1].enforce:g}%; the last step is {_WHOLE}%"
        yield Finding(bundle.place("rollout", "steps", len(steps) - 1), "CX047", text, about="rollout")


_WHOLE: Final = 100


def steps_that_do_not_grow(subject: Subject) -> Iterator[Finding]:
    """CX047: a step back would take the new revision from those who have it already."""
    for index, (before, step) in enumerate(pairwise(_steps(subject)), 1):
        if step.enforce <= before.enforce:
            text = f"a step at {step.enforce:g}% after one at {before.enforce:g}%; each step of a rollout enforces more"
            place = subject.estate.bundle.place("rollout", "steps", index, "enforce")
            yield Finding(place, "CX047", text, about="rollout")


def steps_without_time(subject: Subject) -> Iterator[Finding]:
    """CX047: a step that does not last shows nothing."""
    for index, step in enumerate(_steps(subject)[:-1]):
        if not step.for_:
            text = f"the step at {step.enforce:g}% does not say for how long; add for: 30m"
            yield Finding(subject.estate.bundle.place("rollout", "steps", index), "CX047", text, about="rollout")


def _steps(subject: Subject) -> tuple[RolloutStep, ...]:
    rollout = subject.estate.bundle.model.rollout
    return rollout.steps if rollout else ()


# --- lockdown -------------------------------------------------------------------------------------------------------


def unknown_first_parties(subject: Subject) -> Iterator[Finding]:
    """CX046: in a lockdown, one's own pages would be locked out."""
    groups = subject.estate.origin_groups
    for index, name in enumerate(_first_parties(subject)):
        if name not in groups:
            place = subject.estate.bundle.place("lockdown", "firstParty", index)
            yield Finding(place, "CX046", unknown_name_text(name, "origin group", groups), about="lockdown")


def weak_first_parties(subject: Subject) -> Iterator[Finding]:
    """CX014: a lockdown leaves open what is trusted most, and that alone."""
    for index, name in enumerate(_first_parties(subject)):
        group = subject.estate.origin_groups.get(name)
        if group and Trust[group.model.trust.upper()] < Trust.HIGH:
            trust = "none" if group.model.any else group.model.trust
            text = f"`{name}` has trust {trust}; lockdown.firstParty takes groups of trust high"
            place = subject.estate.bundle.place("lockdown", "firstParty", index)
            yield Finding(place, "CX014", text, about="lockdown")


def _first_parties(subject: Subject) -> tuple[str, ...]:
    lockdown = subject.estate.bundle.model.lockdown
    return lockdown.first_party if lockdown else ()


def lockdowns_of_no_duration(subject: Subject) -> Iterator[Finding]:
    """CX047: a lockdown that is over when it begins closes nothing."""
    bundle = subject.estate.bundle
    if bundle.model.lockdown and bundle.model.lockdown.max_duration == timedelta(0):
        text = "lockdown.maxDuration `0s` lets no lockdown last; say how long one may, such as 8h"
        yield Finding(bundle.place("lockdown", "maxDuration"), "CX047", text, about="lockdown")


# --- not yet applied ------------------------------------------------------------------------------------------------

_NOT_YET: Final = (
    ("exceptions", "exceptions", "nothing is granted by them"),
    ("rateLimits", "rate_limits", "nothing is limited by them: limit in Envoy"),
    ("rollout", "rollout", "a new revision decides everything at once"),
    ("lockdown", "lockdown", "nothing is closed by it: withdraw rules instead"),
)


def sections_not_yet_applied(subject: Subject) -> Iterator[Finding]:
    """CX054: whoever reads such a section would rely on it."""
    for key, attribute, consequence in _NOT_YET:
        for document in subject.estate.documents:
            if getattr(document.model, attribute, None) and not isinstance(document.model, schema.TenantOverlay):
                are = "are" if key.endswith("s") else "is"
                text = f"`{key}` {are} read and checked, and not yet applied by this version: {consequence}"
                yield Finding(document.key_place(key), "CX054", text, Severity.WARNING, key)
                break


def overlays_not_yet_applied(subject: Subject) -> Iterator[Finding]:
    """CX054: a tenant would rely on origins that are refused."""
    for overlay in subject.estate.overlays[:1]:
        text = "`TenantOverlay` is read and checked, and not yet applied by this version: per-tenant groups stay empty"
        yield Finding(overlay.place("kind"), "CX054", text, Severity.WARNING, "kind")


def signatures_not_yet_checked(subject: Subject) -> Iterator[Finding]:
    """CX054: a name in the text would be taken for a proof that its holder signed."""
    bundle = subject.estate.bundle
    if bundle.model.people:
        text = (
            "keys of `people` are read, and no signature is checked by this version:"
            " that an owner or approver signed rests on the review of the policy alone"
        )
        yield Finding(bundle.document.key_place("people"), "CX054", text, Severity.WARNING, "people")


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    *suppressions.RULES,
    unknown_environments,
    *exceptions.RULES,
    *overlays.RULES,
    *owners.RULES,
    limits_of_unknown_groups,
    limits_by_no_tenant,
    rollouts_that_do_not_arrive,
    steps_that_do_not_grow,
    steps_without_time,
    unknown_first_parties,
    weak_first_parties,
    lockdowns_of_no_duration,
    sections_not_yet_applied,
    overlays_not_yet_applied,
    signatures_not_yet_checked,
)
