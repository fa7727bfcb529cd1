"""Findings about suppressions, and the marks that suppressions leave on other findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from typing import Final

from cors_authz.policy import schema
from cors_authz.policy.estate import Estate, Named
from cors_authz.policy.finding import Finding, Severity
from cors_authz.policy.lint.wording import instant_text, unknown_name_text
from cors_authz.policy.subject import Subject

_LAST_CODE: Final = 54
_ERRORS: Final = frozenset(
    f"CX{number:03}"
    for number in (1, 2, 3, 5, 6, 8, 9, 10, 14, 15, 17, 24, 25, 29, 30, 31, 32, 46, 47, 48, 52)
)  # fmt: skip
"""Findings that are errors wherever they occur; others may warn here and refuse there."""


# --- in the text alone ----------------------------------------------------------------------------------------------


def suppressed_errors(subject: Subject) -> Iterator[Finding]:
    """CX023: a policy with an error does not load, whatever it says of itself."""
    for suppression in subject.estate.suppressions:
        if suppression.model.finding in _ERRORS:
            text = f"{suppression.model.finding} is an error and cannot be suppressed"
            yield Finding(suppression.place(), "CX023", text, about=suppression.about)


def suppressions_of_unknown_findings(subject: Subject) -> Iterator[Finding]:
    """CX046: a finding that does not exist is never said, so there is nothing to suppress."""
    for suppression in subject.estate.suppressions:
        code = suppression.model.finding
        if not 1 <= int(code.removeprefix("CX")) <= _LAST_CODE:
            text = f"`{code}` is no finding; they are CX001 to CX{_LAST_CODE:03}"
            yield Finding(suppression.place("finding"), "CX046", text, about=suppression.about)


def suppressions_of_nothing(subject: Subject) -> Iterator[Finding]:
    """CX023: what a suppression named has gone, and it waits for the next thing of that name."""
    for suppression in subject.estate.suppressions:
        if not _is_there(subject.estate, suppression.model.at):
            text = f"`{suppression.model.at}` is not in the policy; drop the suppression, or mend its `at`"
            yield Finding(suppression.place("at"), "CX023", text, Severity.WARNING, suppression.about)


def _is_there(estate: Estate, at: str) -> bool:
    section, _, rest = at.partition("/")
    name = rest.partition("/")[0]
    if section == "metadata":
        return True
    if section == "identity":
        identity = estate.bundle.model.identity
        return identity is not None and (not name or name in {"jwt", "mtls"})
    names = {
        "originGroups": estate.origin_groups,
        "resourceGroups": estate.resource_groups,
        "guards": estate.guards,
        "exceptions": estate.exceptions,
        "rateLimits": estate.rate_limits,
    }[section]
    return name in names if name else bool(names)


def suppressions_by_nobody(subject: Subject) -> Iterator[Finding]:
    """CX046: somebody takes the warning on, and can be asked."""
    people = subject.estate.bundle.model.people
    for suppression in subject.estate.suppressions if people else ():
        if suppression.model.by not in people:
            text = unknown_name_text(suppression.model.by, "person", people)
            yield Finding(suppression.place("by"), "CX046", text, about=suppression.about)


# --- against the time, and against all that is found ----------------------------------------------------------------


def marked(estate: Estate, findings: Iterable[Finding], now: datetime | None) -> Iterator[Finding]:
    """Mark the findings that a suppression covers; errors never are.

    Args:
        estate: the policy.
        findings: what is said of it.
        now: until when a suppression must hold; None lets each hold.
    """
    covered = {(_reach(estate, named), named.model.finding, named.model.at) for named in _holding(estate, now)}
    for finding in findings:
        suppressible = finding.severity is not Severity.ERROR
        yield replace(finding, suppressed=suppressible and not covered.isdisjoint(_names_of(finding)))


def ended(estate: Estate, now: datetime) -> Iterator[Finding]:
    """CX023: a suppression past its end is read as if it still held."""
    for named in estate.suppressions:
        if named.model.until <= now:
            text = f"ended at {instant_text(named.model.until)}, and {named.model.finding} counts again; drop it"
            yield Finding(named.place("until"), "CX023", f"the suppression {text}", Severity.WARNING, named.about)


def idle(estate: Estate, findings: Sequence[Finding], now: datetime | None) -> Iterator[Finding]:
    """CX023: a suppression that covers nothing hides the next finding of that name, which nobody has looked at.

    Args:
        estate: the policy.
        findings: all that is said of it, in each of its environments, without an error among it: what else would be
            said of a policy with errors is not known.
        now: until when a suppression must hold; None lets each hold.
    """
    found = {name for finding in findings for name in _names_of(finding)}
    for named in _holding(estate, now):
        code, at = named.model.finding, named.model.at
        if (_reach(estate, named), code, at) not in found and _is_there(estate, at):
            text = f"{code} is not found at `{at}`, so nothing is suppressed; drop the suppression, or mend it"
            yield Finding(named.place(), "CX023", text, Severity.WARNING, named.about)


def _holding(estate: Estate, now: datetime | None) -> Iterator[Named[schema.Suppression]]:
    return (named for named in estate.suppressions if now is None or now < named.model.until)


def _reach(estate: Estate, named: Named[schema.Suppression]) -> str:
    """Give the one file whose findings a suppression covers; empty for those of the bundle, which cover all."""
    return "" if named.document is estate.bundle.document else named.place().file


def _names_of(finding: Finding) -> Iterator[tuple[str, str, str]]:
    """Give what a suppression may call a finding: its reach, the code, and the object or what that is in."""
    names = accumulate(finding.about.split("/"), "{}/{}".format)
    return ((file, finding.code, at) for at in names for file in ("", finding.place.file))


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    suppressed_errors,
    suppressions_of_unknown_findings,
    suppressions_of_nothing,
    suppressions_by_nobody,
)
