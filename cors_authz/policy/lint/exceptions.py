"""Findings about exceptions: who signed them, how long they last, and what they may open at most."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Final

from cors_authz.fetch.fields import (
    FORBIDDEN_RESPONSE_HEADERS,
    REQUEST_ONLY_HEADERS,
    RESPONSE_ONLY_HEADERS,
    is_forbidden_method,
    is_forbidden_request_header,
    is_token,
)
from cors_authz.policy import schema
from cors_authz.policy.compiled import Credential, Trust
from cors_authz.policy.effective import SensitivityClass
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding, Severity, shown, ticked
from cors_authz.policy.lint.exact_origin import is_of_one_network, read_exact_origin
from cors_authz.policy.lint.wording import duration_text, instant_text, list_text, unknown_name_text
from cors_authz.policy.pattern import OriginPattern, Problem
from cors_authz.policy.subject import Subject

Exceptions = Mapping[str, Named[schema.Exception_]]

DEFAULT_MAX_DURATION: Final = timedelta(days=30)
"""How long an exception lasts at most where `defaults.exceptionMaxDuration` does not say it."""
TRUST: Final = Trust.MEDIUM
"""What the origins of an exception count as: somebody vouched for them, and nobody watches over them."""
_ROLES: Final = ("security", "senior")
_MOST_RENEWALS: Final = 1


def _exceptions(subject: Subject) -> Iterable[Named[schema.Exception_]]:
    return subject.estate.exceptions.values()


def _opened(subject: Subject, exception: Named[schema.Exception_]) -> Iterator[tuple[int, Named[schema.ResourceGroup]]]:
    """The resource groups that an exception opens, with their positions."""
    for index, name in enumerate(exception.model.grant.resource_groups):
        if name in subject.estate.resource_groups:
            yield index, subject.estate.resource_groups[name]


# --- how long -------------------------------------------------------------------------------------------------------


def ends_before_the_beginning(subject: Subject) -> Iterator[Finding]:
    """CX024: such an exception never holds, and somebody believes that it does."""
    for exception in _exceptions(subject):
        if exception.model.until <= exception.model.from_:
            text = f"{exception.name} ends before it begins ({instant_text(exception.model.from_)}); mend `until`"
            yield Finding(exception.place("until"), "CX024", text, about=exception.about)


def long_exceptions(subject: Subject) -> Iterator[Finding]:
    """CX026: what lasts is policy, and belongs under its rules."""
    written = subject.estate.defaults.exception_max_duration
    most = DEFAULT_MAX_DURATION if written is None else written
    for exception in _exceptions(subject):
        length = exception.model.until - exception.model.from_
        said = f"{exception.name} lasts {_length_text(length)}"
        if length > most:
            end = instant_text(exception.model.from_ + most)
            text = f"{said}; {_length_text(most)} is the most: end it by {end}, and renew it if need be"
            yield Finding(exception.place("until"), "CX026", text, about=exception.about)
        elif length > most / 2:
            text = f"{said}, more than half of the {_length_text(most)} that it may; end it sooner if that will do"
            yield Finding(exception.place("until"), "CX026", text, Severity.WARNING, exception.about)


def _length_text(length: timedelta) -> str:
    return f"{length.days}d" if length.days and length == timedelta(days=length.days) else duration_text(length)


def renewed_exceptions(subject: Subject) -> Iterator[Finding]:
    """CX028: a need that comes back is no exception."""
    for exception in _exceptions(subject):
        earlier = _renewed(subject.estate.exceptions, exception)
        if len(earlier) > _MOST_RENEWALS and exception.name not in earlier:
            text = f"{exception.name} is renewal {len(earlier)} of {earlier[-1]}; write what is needed into the policy"
            yield Finding(exception.place("renews"), "CX028", text, Severity.WARNING, exception.about)


def exceptions_in_a_circle(subject: Subject) -> Iterator[Finding]:
    """CX047: no exception renews itself, so one of the names is wrong."""
    for exception in _exceptions(subject):
        if exception.name in _renewed(subject.estate.exceptions, exception):
            text = f"{exception.name} renews itself, by way of what it renews; name the exception before it"
            yield Finding(exception.place("renews"), "CX047", text, about=exception.about)


def _renewed(exceptions: Exceptions, exception: Named[schema.Exception_]) -> list[str]:
    """Name the exceptions that this one renews, one after the other, each once."""
    earlier: list[str] = []
    name = exception.model.renews
    while name is not None and name in exceptions and name not in earlier:
        earlier.append(name)
        name = exceptions[name].model.renews
    return earlier


# --- what it names --------------------------------------------------------------------------------------------------


def unknown_names(subject: Subject) -> Iterator[Finding]:
    """CX046: an exception for something misspelled opens nothing, or later something else."""
    groups, exceptions = subject.estate.resource_groups, subject.estate.exceptions
    for exception in _exceptions(subject):
        for index, name in enumerate(exception.model.grant.resource_groups):
            if name not in groups:
                text = unknown_name_text(name, "resource group", groups)
                yield Finding(exception.place("grant", "resourceGroups", index), "CX046", text, about=exception.about)
        renewed = exception.model.renews
        if renewed is not None and renewed not in exceptions:
            text = unknown_name_text(renewed, "exception", exceptions)
            yield Finding(exception.place("renews"), "CX046", text, about=exception.about)


def unknown_versions(subject: Subject) -> Iterator[Finding]:
    """CX046: the retirement that is to be lifted is that of another version."""
    for exception in _exceptions(subject):
        groups = [group for _, group in _opened(subject, exception)]
        served = dict.fromkeys(version for group in groups for version in group.model.versions)
        for index, version in enumerate(exception.model.grant.versions if groups else ()):
            if version not in served:
                text = unknown_name_text(shown(version), f"version of {ticked(group.name for group in groups)}", served)
                yield Finding(exception.place("grant", "versions", index), "CX046", text, about=exception.about)


def unknown_requesters(subject: Subject) -> Iterator[Finding]:
    """CX046: who asked must be somebody, or nobody can tell that another one signed."""
    people = subject.estate.bundle.model.people
    for exception in _exceptions(subject) if people else ():
        if exception.model.requested_by not in people:
            text = unknown_name_text(exception.model.requested_by, "person", people)
            yield Finding(exception.place("requestedBy"), "CX046", text, about=exception.about)


# --- who signed -----------------------------------------------------------------------------------------------------


def own_approvals(subject: Subject) -> Iterator[Finding]:
    """CX025: who asks does not decide."""
    for exception in _exceptions(subject):
        for approval in exception.model.approvals:
            if approval.by == exception.model.requested_by:
                text = (
                    f"{exception.name}: `{approval.by}` approves their own request;"
                    f" another person with role {approval.role} must sign"
                )
                yield Finding(exception.place("approvals"), "CX025", text, about=exception.about)


def double_approvals(subject: Subject) -> Iterator[Finding]:
    """CX025: two signatures of one person are one pair of eyes."""
    for exception in _exceptions(subject):
        seen: set[str] = set()
        for index, approval in enumerate(exception.model.approvals):
            if approval.by in seen:
                text = f"{exception.name}: `{approval.by}` signs twice; roles security and senior are two persons here"
                yield Finding(exception.place("approvals", index, "by"), "CX025", text, about=exception.about)
            seen.add(approval.by)


def approvals_without_the_role(subject: Subject) -> Iterator[Finding]:
    """CX025: a signature counts for what the signer may decide."""
    people = subject.estate.bundle.model.people
    for exception in _exceptions(subject):
        for index, approval in enumerate(exception.model.approvals):
            person = people.get(approval.by)
            if person is None:
                said, key = "is not among `people`, so no role is known; a person of `people` must sign", "by"
            elif approval.role not in person.roles:
                said, key = f"does not hold role {approval.role}; someone who does must sign", "role"
            else:
                continue
            text = f"{exception.name}: `{approval.by}` {said}"
            yield Finding(exception.place("approvals", index, key), "CX025", text, about=exception.about)


def missing_approvals(subject: Subject) -> Iterator[Finding]:
    """CX025: an exception is signed by two: one for its danger, one for its need."""
    for exception in _exceptions(subject):
        signed = {approval.role for approval in exception.model.approvals}
        for role in _ROLES:
            if role not in signed:
                text = f"{exception.name} has no approval of role {role}; {' and '.join(_ROLES)} must sign"
                place = exception.document.key_place(*exception.within("approvals"))
                yield Finding(place, "CX025", text, about=exception.about)


# --- what it may open -----------------------------------------------------------------------------------------------


def closed_classes(subject: Subject) -> Iterator[Finding]:
    """CX029: for data of such a class two signatures are not enough."""
    for exception in _exceptions(subject):
        refused = [group for _, group in _opened(subject, exception) if not subject.class_of(group).exceptions]
        if refused:
            groups = ticked(group.name for group in refused)
            classes = dict.fromkeys(group.model.sensitivity for group in refused)
            admits = f"class {' and '.join(classes)} admit{'s' if len(classes) == 1 else ''} no exception"
            text = (
                f"{exception.name} opens {groups}, and {admits}; change the policy, signed by its owner and by security"
            )
            place = exception.document.key_place(*exception.within("grant"))
            yield Finding(place, "CX029", text, about=exception.about)


def credentials_above_the_class(subject: Subject) -> Iterator[Finding]:
    """CX029: an exception opens to one more origin what is open to others; it grants no more than any rule may."""
    for exception in _exceptions(subject):
        for index, credential in enumerate(exception.model.grant.credentials):
            for sensitivity in _ceilings(subject, exception):
                if Credential(credential) not in sensitivity.credentials:
                    allowed = list_text(sorted(each.value for each in sensitivity.credentials))
                    text = f"{exception.name} grants {credential}; class {sensitivity.name} allows {allowed}: drop it"
                    place = exception.place("grant", "credentials", index)
                    yield Finding(place, "CX029", text, about=exception.about)


def trust_above_the_class(subject: Subject) -> Iterator[Finding]:
    """CX029: nobody watches over the origins of an exception, so they never count as highly trusted."""
    for exception in _exceptions(subject):
        for index, group in _opened(subject, exception):
            sensitivity = subject.class_of(group)
            if sensitivity.exceptions and sensitivity.min_trust > TRUST:
                text = (
                    f"{exception.name} opens `{group.name}`, and class {sensitivity.name} demands trust"
                    f" {sensitivity.min_trust.name.lower()}; origins of an exception count as medium: change the policy"
                )
                place = exception.place("grant", "resourceGroups", index)
                yield Finding(place, "CX029", text, about=exception.about)


def _ceilings(subject: Subject, exception: Named[schema.Exception_]) -> Iterable[SensitivityClass]:
    """The classes that an exception opens and that admit exceptions."""
    classes = (subject.class_of(group) for _, group in _opened(subject, exception))
    return {each.name: each for each in classes if each.exceptions}.values()


# --- its origins ----------------------------------------------------------------------------------------------------


def bad_origins(subject: Subject) -> Iterator[Finding]:
    """CX002, CX003: two people signed for one origin, so it is one, and as browsers write it.

    Spec: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin.
    """
    for exception in _exceptions(subject):
        for index, text in enumerate(exception.model.grant.origins):
            problem = read_exact_origin(text)
            if isinstance(problem, Problem):
                place = exception.place("grant", "origins", index)
                yield Finding(place, problem.code, problem.text, about=exception.about)


def plain_http_origins(subject: Subject) -> Iterator[Finding]:
    """CX005: over plain http, whoever sits on the line writes the page; an exception lifts no transport rule.

    Spec: https://w3c.github.io/webappsec-secure-contexts/#threat-models-risks.
    """
    for exception, index, origin in _origins(subject):
        if origin.scheme != "http" or (subject.environment.is_dev and is_of_one_network(origin)):
            continue
        refusing = [each.name for each in _ceilings(subject, exception) if not each.plain_http]
        if refusing:
            text = f"`{origin.text}` is plain http, and class {' and '.join(refusing)} refuses that; use https"
            yield Finding(exception.place("grant", "origins", index), "CX005", text, about=exception.about)


def origins_of_one_network(subject: Subject) -> Iterator[Finding]:
    """CX006: on every other machine such a name is another server.

    Spec: https://wicg.github.io/local-network-access/#ip-address-space-section.
    """
    for exception, index, origin in _origins(subject) if not subject.environment.is_dev else ():
        if is_of_one_network(origin):
            like_dev = [each.name for each in subject.estate.environments.values() if each.is_dev]
            mend = f"tag the exception `environments: {list_text(like_dev)}`" if like_dev else "remove it"
            text = (
                f"`{origin.text}` is another server on every machine or network, and would be open in"
                f" {subject.environment.name}; {mend}"
            )
            yield Finding(exception.place("grant", "origins", index), "CX006", text, about=exception.about)


def _origins(subject: Subject) -> Iterator[tuple[Named[schema.Exception_], int, OriginPattern]]:
    """The readable origins of the exceptions that exist in this environment, with their positions."""
    for exception in _exceptions(subject):
        if subject.environment.has(exception.model.environments):
            for index, text in enumerate(exception.model.grant.origins):
                origin = read_exact_origin(text)
                if isinstance(origin, OriginPattern):
                    yield exception, index, origin


# --- its methods and headers ----------------------------------------------------------------------------------------


def _is_no_method(method: str) -> bool:
    return not is_token(method) or is_forbidden_method(method)


def _is_no_request_header(name: str) -> bool:
    unsendable = RESPONSE_ONLY_HEADERS | {"authorization"}
    return not is_token(name) or name.lower() in unsendable or is_forbidden_request_header(name.lower())


def _is_no_exposed_header(name: str) -> bool:
    return not is_token(name) or name.lower() in FORBIDDEN_RESPONSE_HEADERS | REQUEST_ONLY_HEADERS


_REFUSED: Final[tuple[tuple[str, str, Callable[[str], bool], str], ...]] = (
    ("methods", "CX007", _is_no_method, "is no method that scripts may use; leave it out"),
    (
        "headers",
        "CX008",
        _is_no_request_header,
        "is no header that scripts may set; a credential is one of `credentials`",
    ),
    ("exposeHeaders", "CX009", _is_no_exposed_header, "is no header that scripts may read; leave it out"),
)


def names_that_browsers_refuse(subject: Subject) -> Iterator[Finding]:
    """CX007, CX008, CX009: two people signed for something that no browser will do.

    Spec: https://fetch.spec.whatwg.org/#forbidden-method, https://fetch.spec.whatwg.org/#forbidden-request-header,
    https://fetch.spec.whatwg.org/#forbidden-response-header-name.
    """
    for exception in _exceptions(subject):
        grant = exception.model.grant
        lists = {"methods": grant.methods, "headers": grant.headers, "exposeHeaders": grant.expose_headers}
        for key, code, is_refused, said in _REFUSED:
            for index, name in enumerate(lists[key]):
                if is_refused(name):
                    place = exception.place("grant", key, index)
                    yield Finding(place, code, f"`{shown(name)}` {said}", about=exception.about)


def stars_exposed_with_credentials(subject: Subject) -> Iterator[Finding]:
    """CX010: with credentials, `*` means a header of that name, so scripts would read nothing of what was meant.

    Spec: https://fetch.spec.whatwg.org/#cors-protocol-and-credentials.
    """
    for exception in _exceptions(subject):
        grant = exception.model.grant
        if "*" in grant.expose_headers and {"cookie", "mtls"} & set(grant.credentials):
            text = "`*` in exposeHeaders is taken literally once cookies or certificates travel; name the headers"
            place = exception.place("grant", "exposeHeaders", grant.expose_headers.index("*"))
            yield Finding(place, "CX010", text, about=exception.about)


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    ends_before_the_beginning,
    long_exceptions,
    renewed_exceptions,
    exceptions_in_a_circle,
    unknown_names,
    unknown_versions,
    unknown_requesters,
    own_approvals,
    double_approvals,
    approvals_without_the_role,
    missing_approvals,
    closed_classes,
    credentials_above_the_class,
    trust_above_the_class,
    bad_origins,
    plain_http_origins,
    origins_of_one_network,
    names_that_browsers_refuse,
    stars_exposed_with_credentials,
)
