"""Text of a policy to findings, or to a policy that decides. `check` and the service come through here alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from cors_authz.policy.canonical import revision_of
from cors_authz.policy.compile import compile_policy
from cors_authz.policy.compiled import CompiledPolicy
from cors_authz.policy.document import Source, read_documents
from cors_authz.policy.estate import Environment, Estate, unite
from cors_authz.policy.finding import Finding, PolicyError, Severity, UnknownEnvironmentError
from cors_authz.policy.lint import (
    any_of,
    bounds,
    callers,
    change,
    classes,
    origins,
    reviews,
    routes,
    rules,
    suppressions,
    versions,
)
from cors_authz.policy.overlap import Order, order_of
from cors_authz.policy.subject import Reading, Subject, read_patterns, subject_of

_RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    *origins.RULES,
    *rules.RULES,
    *classes.RULES,
    *callers.RULES,
    *any_of.RULES,
    *versions.RULES,
    *change.RULES,
    *bounds.RULES,
)
_UNREADABLE: Final = "CX046"


class Loaded(NamedTuple):
    """A policy that decides, the text that it was compiled from, and the warnings and notes that it loaded with."""

    policy: CompiledPolicy
    subject: Subject
    findings: tuple[Finding, ...]


class _Judged(NamedTuple):
    subject: Subject
    order: Order
    findings: tuple[Finding, ...]


class _Read(NamedTuple):
    """A policy as it was read; `findings` are those of its text, `whole` says that no document was left out."""

    estate: Estate
    patterns: Reading
    findings: tuple[Finding, ...]
    whole: bool


def check_policy(
    sources: Sequence[Source], environment: str | None = None, now: datetime | None = None
) -> tuple[Finding, ...]:
    """Say everything that is to be said of a policy.

    Args:
        sources: its files.
        environment: the one to judge; None for each that the policy declares.
        now: until when suppressions must hold, and by when reviews are due; None lets every suppression hold, and no
            review be due.

    Returns: the findings by file, line and column; without errors the policy loads.
    Raises: UnknownEnvironmentError.
    """
    read = _read(sources)
    if not isinstance(read, _Read):
        return read
    said = list(read.findings)
    before: _Judged | None = None
    environments = _environments(read.estate, environment)
    for each in environments:
        # What one environment says in one place, the next says again, with another name in it.
        known = {(finding.place, finding.code) for finding in said}
        before = _judge(read, each, before)
        said += [f for f in before.findings if (f.place, f.code) not in known]
    return _sorted(_with_time(read.estate, said, environments, now), sources)


def load_policy(sources: Sequence[Source], environment: str, now: datetime | None = None) -> Loaded:
    """Compile a policy for the environment where it will decide.

    Raises: PolicyError with every error, of that environment and of the text itself; UnknownEnvironmentError.
    """
    read = _read(sources)
    if not isinstance(read, _Read):
        raise PolicyError(read)
    environments = _environments(read.estate, environment)
    judged = _judge(read, environments[0])
    found = _sorted(_with_time(read.estate, (*read.findings, *judged.findings), environments, now), sources)
    if any(finding.severity is Severity.ERROR for finding in found):
        raise PolicyError(finding for finding in found if finding.severity is Severity.ERROR)
    revision = read.estate.bundle.model.metadata.revision or revision_of(read.estate.documents)
    return Loaded(compile_policy(judged.subject, judged.order, revision), judged.subject, found)


def _read(sources: Sequence[Source]) -> _Read | tuple[Finding, ...]:
    documents, findings = read_documents(sources)
    if not documents:
        return findings
    estate, doubles = unite(documents)
    if estate is None:
        # While a document cannot be read, that there is no bundle says nothing.
        return findings or doubles
    patterns = read_patterns(estate)
    return _Read(estate, patterns, (*findings, *doubles, *patterns.findings), whole=not findings)


def _environments(estate: Estate, name: str | None) -> Sequence[Environment]:
    if name is None:
        return tuple(estate.environments.values())
    if name not in estate.environments:
        declared = ", ".join(estate.environments)
        raise UnknownEnvironmentError(f"the policy declares no environment `{name}`; it declares {declared}")
    return (estate.environments[name],)


def _judge(read: _Read, environment: Environment, before: _Judged | None = None) -> _Judged:
    subject = subject_of(read.estate, read.patterns, environment)
    # Few policies differ by environment in what they match, and nothing takes as long as the order of much.
    order = before.order if before and _match_alike(before.subject, subject) else order_of(subject)
    found = [finding for rule in _RULES for finding in rule(subject)]
    found += routes.findings(subject, order)
    # A name that is unknown may well be defined in a document that could not be read.
    return _Judged(subject, order, tuple(f for f in found if read.whole or f.code != _UNREADABLE))


def _match_alike(one: Subject, other: Subject) -> bool:
    return one.routes == other.routes and one.patterns == other.patterns


def _with_time(
    estate: Estate, found: Sequence[Finding], judged: Sequence[Environment], now: datetime | None
) -> Iterator[Finding]:
    """Add what time says of a policy, and mark what its suppressions cover."""
    due = reviews.overdue_reviews(estate, now) if now else ()
    marked = tuple(suppressions.marked(estate, (*found, *due), now))
    yield from marked
    if now:
        yield from suppressions.ended(estate, now)
    # What is not found here may be found in an environment that was not asked about.
    if len(judged) == len(estate.environments) and not any(f.severity is Severity.ERROR for f in marked):
        yield from suppressions.idle(estate, marked, now)


def _sorted(findings: Iterable[Finding], sources: Sequence[Source]) -> tuple[Finding, ...]:
    """Order findings as their files were given, then by place; what is said twice is said once."""
    order = {source.name: index for index, source in enumerate(sources)}
    return tuple(sorted(dict.fromkeys(findings), key=lambda f: (order[f.place.file], f.place, f.code, f.text)))
