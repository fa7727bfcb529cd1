"""Findings about header names: what scripts may set, what they may read, and what only looks like either."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from cors_authz.fetch.fields import (
    FORBIDDEN_RESPONSE_HEADERS,
    METHOD_OVERRIDES,
    REQUEST_ONLY_HEADERS,
    RESPONSE_ONLY_HEADERS,
    SAFELISTED_RESPONSE_HEADERS,
    is_forbidden_request_header,
    is_token,
)
from cors_authz.policy import schema
from cors_authz.policy.compiled import Credential, Protocol
from cors_authz.policy.effective import EXPOSED_OF, HEADERS_OF
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding, Severity, shown
from cors_authz.policy.lint.rule_at import RuleAt, rules_at
from cors_authz.policy.subject import Subject

_GRPC_WEB_REQUEST: Final = frozenset(HEADERS_OF[Protocol.GRPC_WEB])
_GRPC_WEB_EXPOSED: Final = frozenset(EXPOSED_OF[Protocol.GRPC_WEB])
_GRPC_WEB_ALONE: Final = _GRPC_WEB_EXPOSED | {"grpc-timeout", "x-grpc-web"}
"""What nothing but gRPC-Web uses. Spec: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md."""


class _NameAt(NamedTuple):
    """A header name, where it stands, and the list for headers that go the other way."""

    named: Named[schema.ResourceGroup] | Named[schema.HeaderSet]
    path: tuple[str | int, ...]
    written: str
    other_list: str

    @property
    def name(self) -> str:
        """The name as it is compared."""
        return self.written.lower()

    def finding(self, code: str, objection: str, severity: Severity = Severity.ERROR) -> Finding:
        """Say something of the name, which the text begins with."""
        text = f"`{shown(self.written)}` {objection}"
        return Finding(self.named.place(*self.path), code, text, severity, self.named.about)


def _request_names(subject: Subject) -> Iterator[_NameAt]:
    for at in rules_at(subject):
        yield from _own(at, "headers", at.model.headers, "exposeHeaders")
    for named in subject.estate.header_sets.values():
        for index, name in enumerate(named.model.request):
            yield _NameAt(named, ("request", index), name, "expose")


def _exposed_names(subject: Subject) -> Iterator[_NameAt]:
    for at in rules_at(subject):
        yield from _own(at, "exposeHeaders", at.model.expose_headers, "headers")
    for named in subject.estate.header_sets.values():
        for index, name in enumerate(named.model.expose):
            yield _NameAt(named, ("expose", index), name, "request")


def _own(at: RuleAt, key: str, names: Iterable[str], other_list: str) -> Iterator[_NameAt]:
    for index, name in enumerate(names):
        yield _NameAt(at.group, ("allow", at.rule.index, key, index), name, other_list)


def unsendable_headers(subject: Subject) -> Iterator[Finding]:
    """CX008: a name that scripts cannot set, or that is a credential, grants something else than its author meant.

    Spec: https://fetch.spec.whatwg.org/#forbidden-request-header.
    """
    for at in _request_names(subject):
        objection = _objection_to_request_header(at.name, at.other_list)
        if objection:
            yield at.finding("CX008", objection)


def _objection_to_request_header(name: str, other_list: str) -> str | None:
    if name == "authorization":
        return "is a credential; say `credentials: [bearer]`"
    if name == "cookie":
        return "is a credential; say `credentials: [cookie]`"
    if name in RESPONSE_ONLY_HEADERS:
        answered = name.startswith("access-control-")
        mend = "the service writes it: leave it out" if answered else f"list it in {other_list}"
        return f"is a header of responses; {mend}"
    if is_forbidden_request_header(name):
        return "is set by browsers and never by scripts; leave it out"
    return _objection_to_form(name)


def _objection_to_form(name: str) -> str | None:
    if not is_token(name):
        return "is no header name; a name has letters, digits and `-`: one entry for each"
    if "*" in name and name != "*":
        return "is taken literally, as headers have no patterns; name each"
    return None


def unreadable_headers(subject: Subject) -> Iterator[Finding]:
    """CX009: a name that no script can read, or no response has, hides that the list does not do what it says.

    Spec: https://fetch.spec.whatwg.org/#forbidden-response-header-name.
    """
    for at in _exposed_names(subject):
        objection = _objection_to_exposed_header(at.name, at.other_list)
        if objection:
            yield at.finding("CX009", objection)


def _objection_to_exposed_header(name: str, other_list: str) -> str | None:
    if name in FORBIDDEN_RESPONSE_HEADERS:
        return "is kept from every script by its browser; leave it out"
    if name == "authorization":
        return "is a header of requests; say `credentials: [bearer]`"
    if name in REQUEST_ONLY_HEADERS:
        mend = "browsers set it: leave it out" if is_forbidden_request_header(name) else f"list it in {other_list}"
        return f"is a header of requests; {mend}"
    return _objection_to_form(name)


def star_exposed_with_credentials(subject: Subject) -> Iterator[Finding]:
    """CX010: with credentials, `*` means a header of that name, so scripts would read nothing of what was meant.

    Spec: https://fetch.spec.whatwg.org/#cors-protocol-and-credentials.
    """
    for at in rules_at(subject):
        if at.rule.any_exposed and at.rule.sends_browser_credentials:
            travel = "cookies" if Credential.COOKIE in at.rule.credentials else "certificates"
            for source, path in _stars(subject, at, "exposeHeaders"):
                text = f"`*` in {source} is taken literally once {travel} travel; name the headers"
                yield at.finding("CX010", text, *path)


def _stars(subject: Subject, at: RuleAt, key: str) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Find what brings `*` into a list of a rule: what that is called, and where the rule says it."""
    asked = key == "headers"
    for index, name in enumerate(at.model.headers if asked else at.model.expose_headers):
        if name == "*":
            yield key, (key, index)
    for index, name in enumerate(at.model.header_sets):
        named = subject.estate.header_sets.get(name)
        if named and "*" in (named.model.request if asked else named.model.expose):
            yield f"header set `{name}`", ("headerSets", index)


def every_request_header(subject: Subject) -> Iterator[Finding]:
    """CX011: a header that a gateway or a framework trusts can be set by scripts as soon as somebody introduces it.

    Spec: https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name.
    """
    for at in rules_at(subject):
        stars = list(_stars(subject, at, "headers"))
        for source, path in stars:
            text = f"`*` in {source} lets scripts set every header, those of tomorrow too; name the headers"
            yield at.finding("CX011", text, *path, severity=Severity.WARNING)
        if stars and Credential.BEARER not in at.rule.credentials:
            text = "`*` does not cover `authorization`; where scripts send tokens, say `credentials: [bearer]`"
            yield at.finding("CX011", text, stars[0][1][0], severity=Severity.INFO)


def idle_headers(subject: Subject) -> Iterator[Finding]:
    """CX019: a name that changes nothing is read by the next author as if it did."""
    for at in rules_at(subject):
        brought = [
            named.model for name in at.model.header_sets if (named := subject.estate.header_sets.get(name)) is not None
        ]
        asked = frozenset(name.lower() for model in brought for name in model.request)
        exposed = frozenset(name.lower() for model in brought for name in model.expose)
        for name_at in _own(at, "headers", at.model.headers, ""):
            yield from _idle(name_at, _objection_to_idle_request_header(at, name_at.name, asked))
        for name_at in _own(at, "exposeHeaders", at.model.expose_headers, ""):
            yield from _idle(name_at, _objection_to_idle_exposed_header(at, name_at.name, exposed))


def _idle(at: _NameAt, objection: str | None) -> Iterator[Finding]:
    if objection:
        yield at.finding("CX019", f"{objection}; leave it out", Severity.WARNING)


def _objection_to_idle_request_header(at: RuleAt, name: str, brought: frozenset[str]) -> str | None:
    if at.group.model.protocols == ("websocket",):
        return "never comes, as scripts set no headers on a WebSocket handshake"
    if name in brought:
        return "comes with a header set of the rule"
    return "is covered by `*`" if at.rule.any_header and name != "*" else None


def _objection_to_idle_exposed_header(at: RuleAt, name: str, brought: frozenset[str]) -> str | None:
    if name in SAFELISTED_RESPONSE_HEADERS:
        return "is readable by every script that may read the answer"
    if name in brought:
        return "comes with a header set of the rule"
    return "is covered by `*`" if at.rule.any_exposed and name != "*" else None


def method_overrides(subject: Subject) -> Iterator[Finding]:
    """CX036: a header that names another method turns a permitted POST into whatever the framework obeys."""
    for at in _request_names(subject):
        if at.name in METHOD_OVERRIDES:
            text = "names another method than the request's own; grant that method, and send it"
            yield at.finding("CX036", text, Severity.WARNING)


def grpc_web_by_hand(subject: Subject) -> Iterator[Finding]:
    """CX038: headers of gRPC-Web that are copied into rules are forgotten in one of them.

    Spec: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md.
    """
    for at in rules_at(subject):
        served = "grpc-web" in at.group.model.protocols
        names = [(name_at, _GRPC_WEB_REQUEST) for name_at in _own(at, "headers", at.model.headers, "")]
        names += [(name_at, _GRPC_WEB_EXPOSED) for name_at in _own(at, "exposeHeaders", at.model.expose_headers, "")]
        for name_at, brought in names:
            if served and name_at.name in brought:
                text = "comes with protocol `grpc-web`; leave it out"
                yield name_at.finding("CX038", text, Severity.WARNING)
            elif not served and name_at.name in _GRPC_WEB_ALONE:
                text = "is a header of gRPC-Web; say `protocols: [grpc-web]`, which brings it"
                yield name_at.finding("CX038", text, Severity.WARNING)


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    unsendable_headers,
    unreadable_headers,
    star_exposed_with_credentials,
    every_request_header,
    idle_headers,
    method_overrides,
    grpc_web_by_hand,
)
