"""Findings about allow rules: what they grant, what they name, and what they can never do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Final, NamedTuple

from cors_authz.fetch.fields import is_forbidden_method, is_token
from cors_authz.policy import schema
from cors_authz.policy.compiled import Credential, Reach, Trust
from cors_authz.policy.effective import tightened, with_head
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding, Place, Severity, shown, ticked
from cors_authz.policy.lint import headers
from cors_authz.policy.lint.any_of import reached_guards
from cors_authz.policy.lint.rule_at import rules_at
from cors_authz.policy.lint.wording import duration_text, unknown_name_text
from cors_authz.policy.subject import Subject

_NORMALIZED_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
"""Browsers write these in upper case. Spec: https://fetch.spec.whatwg.org/#concept-method-normalize."""
_MOST_TIMING_ORIGINS: Final = 64


# --- Methods ----------------------------------------------------------------------------------------------------------


def impossible_methods(subject: Subject) -> Iterator[Finding]:
    """CX007: a method that browsers refuse to send, or send in another spelling, grants something else than it says.

    Spec: https://fetch.spec.whatwg.org/#forbidden-method.
    """
    for group in subject.estate.resource_groups.values():
        for entry, match in enumerate(group.model.match):
            yield from _impossible(group, match.methods, ("match", entry, "methods"))
        for index, rule in enumerate(group.model.allow):
            yield from _impossible(group, rule.methods, ("allow", index, "methods"))


def _impossible(
    group: Named[schema.ResourceGroup], methods: Iterable[str], path: tuple[str | int, ...]
) -> Iterator[Finding]:
    for index, method in enumerate(methods):
        objection = _objection_to_method(method)
        if objection:
            yield Finding(group.place(*path, index), "CX007", f"`{shown(method)}` {objection}", about=group.about)


def _objection_to_method(method: str) -> str | None:
    upper = method.upper()
    if not is_token(method):
        return "is no method; a method is one word, such as `GET`: one entry for each"
    if is_forbidden_method(method):
        return "is a method that browsers forbid; leave it out"
    if upper in _NORMALIZED_METHODS and method != upper:
        return f"never comes: browsers write it as `{upper}`"
    if upper == "PATCH" and method != upper:
        return "is not `PATCH`, as methods are compared in their case; write `PATCH`"
    return None


def remarkable_methods(subject: Subject) -> Iterator[Finding]:
    """CX007: `*` grants methods that the service will learn later, and preflights need no `OPTIONS`.

    Spec: https://fetch.spec.whatwg.org/#cors-preflight-request.
    """
    for at in rules_at(subject):
        for index, method in enumerate(at.model.methods):
            if method == "*":
                text = "`*` grants every method, those that the service learns tomorrow too; name the methods"
                yield at.finding("CX007", text, "methods", index, severity=Severity.WARNING)
            elif method == "OPTIONS":
                text = "`OPTIONS` is for scripts that call it themselves; preflights are answered without it"
                yield at.finding("CX007", text, "methods", index, severity=Severity.INFO)


def methods_never_matched(subject: Subject) -> Iterator[Finding]:
    """CX019: a rule that grants what its group never sees was meant for another group."""
    for at in rules_at(subject):
        matched = _methods_of_match(at.group)
        if matched is None:
            continue
        known = ticked(map(shown, sorted(matched)))
        for index, method in enumerate(at.model.methods):
            if method not in matched and method != "*":
                text = f"`{at.rule.name}` grants `{shown(method)}`, and `{at.group.name}` matches {known}"
                yield at.finding("CX019", f"{text}; leave it out, or match it", "methods", index)
        if not at.rule.any_method and not at.rule.methods & matched and not at.model.methods:
            text = f"`{at.rule.name}` grants {ticked(sorted(at.rule.methods))}, and `{at.group.name}` matches {known}"
            yield at.finding("CX019", f"{text}; say its methods")


def _methods_of_match(group: Named[schema.ResourceGroup]) -> frozenset[str] | None:
    """Unite the methods of all entries, wherever they exist; None is every method."""
    entries = group.model.match
    if any(not entry.methods or "*" in entry.methods for entry in entries):
        return None
    return with_head(method for entry in entries for method in entry.methods)


# --- What is written twice, or never applies --------------------------------------------------------------------------


class _Listed(NamedTuple):
    """A list of the policy: whose it is, the path to it, and its values as they are compared."""

    named: Named[schema.ResourceGroup] | Named[schema.HeaderSet]
    path: tuple[str | int, ...]
    values: tuple[str, ...]


def _lists(subject: Subject) -> Iterator[_Listed]:
    for at in rules_at(subject):
        model, path = at.model, ("allow", at.rule.index)
        yield _Listed(at.group, (*path, "origins"), model.origins)
        yield _Listed(at.group, (*path, "methods"), model.methods)
        yield _Listed(at.group, (*path, "headers"), _lower(model.headers))
        yield _Listed(at.group, (*path, "exposeHeaders"), _lower(model.expose_headers))
        yield _Listed(at.group, (*path, "headerSets"), model.header_sets)
        yield _Listed(at.group, (*path, "versions"), model.versions)
        yield _Listed(at.group, (*path, "guards"), model.guards)
        yield _Listed(at.group, (*path, "contentTypes"), model.content_types)
    for named in subject.estate.header_sets.values():
        yield _Listed(named, ("request",), _lower(named.model.request))
        yield _Listed(named, ("expose",), _lower(named.model.expose))


def _lower(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def written_twice(subject: Subject) -> Iterator[Finding]:
    """CX019: of two entries that say the same, one is removed some day and the other forgotten."""
    for named, path, values in _lists(subject):
        for index, value in enumerate(values):
            if value in values[:index]:
                text = f"`{shown(value)}` is written twice; leave one out"
                yield Finding(named.place(*path, index), "CX019", text, Severity.WARNING, named.about)
            elif value == "HEAD" and "GET" in values and path[-1] == "methods":
                text = "`HEAD` comes with `GET`; leave it out"
                yield Finding(named.place(*path, index), "CX019", text, Severity.WARNING, named.about)


def rules_without_environment(subject: Subject) -> Iterator[Finding]:
    """CX019: a rule whose origins exist where its routes do not never decides anything."""
    for at in rules_at(subject):
        groups = [subject.estate.origin_groups.get(name) for name in at.model.origins]
        tags = [named.model.environments for named in groups if named is not None]
        meets = any(
            any(environment.has(tag) for tag in tags)
            and any(environment.has(entry.environments) for entry in at.group.model.match)
            for environment in subject.estate.environments.values()
        )
        if tags and not meets:
            text = f"`{at.rule.name}` never applies: no environment has both its origins and its routes; mend the tags"
            yield at.finding("CX019", text, "origins", severity=Severity.WARNING)


# --- Names ------------------------------------------------------------------------------------------------------------


def unknown_names(subject: Subject) -> Iterator[Finding]:
    """CX046: a name that nothing has grants nothing, or lets a restriction vanish."""
    estate = subject.estate
    for at in rules_at(subject):
        kinds: tuple[tuple[str, tuple[str, ...], Iterable[str], str], ...] = (
            ("origins", at.model.origins, estate.origin_groups, "origin group"),
            ("headerSets", at.model.header_sets, estate.header_sets, "header set"),
            ("guards", at.model.guards, estate.guards, "guard"),
            ("versions", at.model.versions, at.group.model.versions, f"version of `{at.group.name}`"),
        )
        for key, names, known, kind in kinds:
            for index, name in enumerate(names):
                if name not in known:
                    yield at.finding("CX046", unknown_name_text(name, kind, known), key, index)


# --- How long preflights are kept -------------------------------------------------------------------------------------


class _Keeping(NamedTuple):
    """A bound on `maxAge`, and what is beyond it."""

    bound: timedelta
    severity: Severity
    said: str


_KEEPINGS: Final = (
    _Keeping(timedelta(hours=24), Severity.ERROR, "no browser keeps an answer longer"),
    _Keeping(timedelta(hours=2), Severity.WARNING, "only Firefox keeps an answer longer"),
    _Keeping(timedelta(minutes=10), Severity.INFO, "WebKit keeps no answer longer"),
)


def long_max_age(subject: Subject) -> Iterator[Finding]:
    """CX012: browsers cap how long they keep a preflight's answer, and until then a withdrawal is not seen.

    Spec: https://fetch.spec.whatwg.org/#http-access-control-max-age; the caps are
    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Access-Control-Max-Age.
    """
    bundle = subject.estate.bundle
    yield from _kept_long(subject.estate.defaults.max_age, bundle.place("defaults", "maxAge"), "defaults")
    for at in rules_at(subject):
        if at.model.max_age is not None:
            yield from _kept_long(at.model.max_age, at.place("maxAge"), at.group.about)


def _kept_long(max_age: timedelta | None, place: Place, about: str) -> Iterator[Finding]:
    for bound, severity, said in _KEEPINGS:
        if max_age is not None and max_age > bound:
            text = f"maxAge {duration_text(max_age)} is above {duration_text(bound)}, and {said}"
            yield Finding(place, "CX012", f"{text}; write {duration_text(bound)} or less", severity, about)
            return


# --- What a grant leaves open -----------------------------------------------------------------------------------------


def shared_caches(subject: Subject) -> Iterator[Finding]:
    """CX016: an answer that depends on a header or a token is kept by shared caches apart for each, or not at all.

    Spec: https://www.rfc-editor.org/rfc/rfc9111#section-4.1.
    """
    for group in subject.estate.resource_groups.values():
        for path, name in _guards_in(subject, group):
            reason = _objection_to_caching(subject, group, name)
            if reason:
                yield Finding(group.place(*path), "CX016", f"`{name}` {reason}", Severity.WARNING, group.about)


def _guards_in(subject: Subject, group: Named[schema.ResourceGroup]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The guards of a group, of its class and of its rules, with the paths by which they come."""
    for index, name in enumerate(group.model.guards):
        yield ("guards", index), name
    for name in subject.class_of(group).guards:
        yield ("sensitivity",), name
    for index, rule in enumerate(group.model.allow):
        for position, name in enumerate(rule.guards):
            yield ("allow", index, "guards", position), name


def _objection_to_caching(subject: Subject, group: Named[schema.ResourceGroup], name: str) -> str | None:
    guards = [guard.model for guard in reached_guards(subject.estate.guards, name)]
    header = next((guard.header.name for guard in guards if guard.header), None)
    if header:
        return f"reads the header `{header.lower()}`, so shared caches keep an answer for each of its values"
    public = subject.class_of(group).name == "public"
    if public and any(_reads_token(guard) for guard in guards):
        return "reads a token, so no shared cache keeps what class public says is for everyone; choose another class"
    return None


def _reads_token(guard: schema.Guard) -> bool:
    identity = (guard.authenticated, guard.any_role, guard.all_roles, guard.claim, guard.origin_in_claim)
    return any(identity) or guard.token_age_at_most is not None


def cookies_without_browser_proof(subject: Subject) -> Iterator[Finding]:
    """CX034: without `browserOnly`, a write that hides where it came from passes with the user's cookies.

    Spec: https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-site-header.
    """
    for at in rules_at(subject):
        sensitivity = subject.class_of(at.group)
        cookies = Credential.COOKIE in at.rule.credentials
        if cookies and sensitivity.min_trust >= Trust.MEDIUM and not at.group.model.browser_only:
            text = (
                f"`{at.rule.name}` grants cookies in class {sensitivity.name}, and writes pass without Origin and"
                " Sec-Fetch-Site; say browserOnly: true"
            )
            yield at.finding("CX034", text, "credentials", severity=Severity.WARNING)


def simple_bodies(subject: Subject) -> Iterator[Finding]:
    """CX035: a form's body reaches the service without a preflight, and some parsers take it for JSON.

    Spec: https://fetch.spec.whatwg.org/#cors-safelisted-request-header.
    """
    for at in rules_at(subject):
        posts = at.rule.any_method or "POST" in at.rule.methods
        if posts and Credential.COOKIE in at.rule.credentials and not at.model.content_types:
            text = (
                f"`{at.rule.name}` grants cookies and POST without contentTypes, so simple bodies arrive without a"
                " preflight; say contentTypes: [application/json], or what it takes"
            )
            yield at.finding("CX035", text, "methods", severity=Severity.INFO)


def private_network_access(subject: Subject) -> Iterator[Finding]:
    """CX039: browsers gave up the header; what guards private networks now is a question to the user.

    Spec: https://wicg.github.io/local-network-access/#integration-with-fetch.
    """
    for at in rules_at(subject):
        if at.model.allow_private_network:
            text = "`allowPrivateNetwork` answers a request header that browsers have withdrawn; leave it out"
            yield at.finding("CX039", text, "allowPrivateNetwork", severity=Severity.WARNING)


# --- Headers of answers that say who may use them ---------------------------------------------------------------------


def contradicting_resource_policy(subject: Subject) -> Iterator[Finding]:
    """CX049: what the rules refuse to embed, or open to all, the header tells browsers the other way round.

    Spec: https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header.
    """
    for group in subject.estate.resource_groups.values():
        answers = group.model.response_headers
        said = answers.cross_origin_resource_policy if answers else None
        reason = _contradiction(subject, group, said) if said else None
        if reason:
            place = group.place("responseHeaders", "crossOriginResourcePolicy")
            yield Finding(place, "CX049", f"`{said}` {reason}", Severity.WARNING, group.about)


def _contradiction(subject: Subject, group: Named[schema.ResourceGroup], said: str) -> str | None:
    embeds = tightened(subject.class_of(group).unlisted, group.model.unlisted).embeds
    if said == "cross-origin":
        refused = f"lets every site embed, while unlisted.embeds is {embeds.value}; write same-site, or leave it out"
        return refused if embeds is not Reach.FORWARD else None
    for rule in subject.rules[group.name]:
        for origins in subject.origin_groups_of(rule):
            if origins.model.any:
                return (
                    f"keeps other sites from embedding what `{rule.name}` opens to `{origins.name}`; write cross-origin"
                )
    return None


class _TimingAt(NamedTuple):
    """A name in `timingAllowOrigin`."""

    group: Named[schema.ResourceGroup]
    position: int
    name: str

    def finding(self, code: str, text: str, severity: Severity = Severity.ERROR) -> Finding:
        """Say something of the name."""
        place = self.group.place("responseHeaders", "timingAllowOrigin", self.position)
        return Finding(place, code, text, severity, self.group.about)


def _timings(subject: Subject) -> Iterator[_TimingAt]:
    for group in subject.estate.resource_groups.values():
        for index, name in enumerate(_timing_names(group)):
            yield _TimingAt(group, index, name)


def _timing_names(group: Named[schema.ResourceGroup]) -> tuple[str, ...]:
    answers = group.model.response_headers
    return answers.timing_allow_origin if answers else ()


def unknown_timing_origins(subject: Subject) -> Iterator[Finding]:
    """CX046: a name that nothing has opens timing to nobody."""
    for at in _timings(subject):
        if at.name not in subject.estate.origin_groups:
            yield at.finding("CX046", unknown_name_text(at.name, "origin group", subject.estate.origin_groups))


def timing_patterns(subject: Subject) -> Iterator[Finding]:
    """CX047: Timing-Allow-Origin is one answer to all, a list of origins; a pattern in it would match nobody.

    Spec: https://w3c.github.io/resource-timing/#sec-timing-allow-origin.
    """
    for at in _timings(subject):
        named = subject.estate.origin_groups.get(at.name)
        pattern = next((p.pattern.text for p in subject.patterns.get(at.name, ()) if not p.pattern.is_exact), None)
        if pattern or (named and named.model.per_tenant):
            reason = f"has the pattern `{pattern}`" if pattern else "is filled by each tenant"
            text = (
                f"`{at.name}` {reason}, and Timing-Allow-Origin is sent as a list of exact origins; name such a group"
            )
            yield at.finding("CX047", text)


def too_many_timing_origins(subject: Subject) -> Iterator[Finding]:
    """CX048: the list goes with every answer, so its length is paid for by every request."""
    for group in subject.estate.resource_groups.values():
        count = sum(len(subject.patterns.get(name, ())) for name in _timing_names(group))
        if count > _MOST_TIMING_ORIGINS:
            text = (
                f"timingAllowOrigin lists {count} origins; {_MOST_TIMING_ORIGINS} are the most, as each answer has them"
            )
            yield Finding(group.place("responseHeaders", "timingAllowOrigin"), "CX048", text, about=group.about)


def timing_wider_than_rules(subject: Subject) -> Iterator[Finding]:
    """CX050: who may not read the answer learns from its timing what the user's answer was.

    Spec: https://w3c.github.io/resource-timing/#sec-security.
    """
    for at in _timings(subject):
        admitted = [group for rule in subject.rules[at.group.name] for group in subject.origin_groups_of(rule)]
        known = at.name in subject.patterns
        if known and not any(group.model.any or group.name == at.name for group in admitted):
            text = f"`{at.name}` may read the timing, and no rule of `{at.group.name}` lets it read the answers"
            yield at.finding("CX050", f"{text}; give it a rule, or leave it out", Severity.WARNING)


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    *headers.RULES,
    impossible_methods,
    remarkable_methods,
    methods_never_matched,
    written_twice,
    rules_without_environment,
    unknown_names,
    long_max_age,
    shared_caches,
    cookies_without_browser_proof,
    simple_bodies,
    private_network_access,
    contradicting_resource_policy,
    unknown_timing_origins,
    timing_patterns,
    too_many_timing_origins,
    timing_wider_than_rules,
)
