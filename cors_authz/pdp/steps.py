"""The sentence of each check: what it saw in this request, and the line of the policy that it follows from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum, unique
from typing import Final, NamedTuple

from cors_authz.fetch.fields import STANDARD_METHODS
from cors_authz.fetch.origin import OPAQUE
from cors_authz.fetch.request import Kind, is_websocket, site_of
from cors_authz.pdp.decide import Check
from cors_authz.pdp.decision import Objection, Reason
from cors_authz.pdp.facts import Facts, Standing
from cors_authz.pdp.guard_steps import Judged, judge_guards
from cors_authz.pdp.readings import Readings
from cors_authz.policy.compiled import ApiVersion, Reach, Rule
from cors_authz.policy.finding import Place


@unique
class Verdict(Enum):
    """What became of a check."""

    PASSES = "passes"
    OBJECTS = "objects"
    NOT_ASKED = "not asked"


class Step(NamedTuple):
    """One question, its verdict, a sentence with the values that decided it, and the line of the policy, if one did.

    `steps` are what the verdict is made of: the origin group and the rule, the guards, the members of an `anyOf`.
    """

    name: str
    verdict: Verdict
    sentence: str
    place: Place | None = None
    steps: tuple[Step, ...] = ()


class _Said(NamedTuple):
    sentence: str
    place: Place | None = None
    steps: tuple[Step, ...] = ()


_KINDS: Final = {
    Kind.PREFLIGHT: "a preflight",
    Kind.SAME_ORIGIN: "from its own origin",
    Kind.NOT_A_BROWSER: "not from a browser",
    Kind.CROSS_ORIGIN: "from another origin",
    Kind.READ: "a cross-site read without an origin",
    Kind.EMBED: "embedded by another site",
    Kind.NAVIGATION: "a navigation from another site",
}


def step_of(check: Check, objection: Objection | None, facts: Facts, readings: Readings) -> Step:
    """Say what a check saw, given the objection that it raised or None. Never raises."""
    said = _SAYINGS[check.name](facts, readings, objection)
    verdict = Verdict.PASSES if objection is None else Verdict.OBJECTS
    return Step(check.name, verdict, said.sentence, said.place, said.steps)


def unasked(check: Check, first: Check) -> Step:
    """Say that a check was not asked, since an earlier one had objected."""
    return Step(check.name, Verdict.NOT_ASKED, f"`{first.name}` objected first")


def rule_words(rule: Rule) -> str:
    """Name a rule, with its justification where it has one."""
    return f"rule `{rule.name}` ({rule.description})" if rule.description else f"rule `{rule.name}`"


def listing(names: Iterable[str]) -> str:
    """List names in backticks, in order of the alphabet."""
    return ", ".join(f"`{name}`" for name in sorted(names))


def instant(seconds: float) -> str:
    """Write an instant, given in seconds since the epoch, as the policy does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _group(facts: Facts) -> str:
    return f"`{facts.group.name}`" if facts.group else "the group"


def _group_place(facts: Facts) -> Place | None:
    return facts.group.place if facts.group else None


def _is(facts: Facts) -> _Said:
    return _Said(f"the request is {_KINDS[facts.kind]}")


def _request(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    request = facts.request
    if objection is None:
        override = facts.method not in {request.method, request.headers.get("access-control-request-method")}
        run = f", and its override runs as `{facts.method}`" if override else ""
        return _Said(f"`{request.method} {_shown_target(request.target)}` can be read in one way only{run}")
    if objection.reason is Reason.PATH_AMBIGUOUS:
        is_read = facts.target is not None
        what = "holds an encoded slash or semicolon" if is_read else "can be read in two ways"
        return _Said(f"path `{_shown_target(request.target)}` {what}", _group_place(facts) if is_read else None)
    if objection.reason is Reason.METHOD_OVERRIDE_FORBIDDEN:
        return _Said("the method override names no method that may run, two that differ, or another group's")
    written = request.method.upper()
    if request.target and written != request.method and written in STANDARD_METHODS:
        return _Said(
            f"method `{request.method}` is none: it is written `{written}`, and an upstream may run it as that"
        )
    return _Said("the request has no path, or no method that is written as one")


def _shown_target(target: str) -> str:
    # A query may hold a token, and what is explained is pasted into tickets.
    path, question, _ = target.partition("?")
    return path + (question and "?…")


def _host(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    host = facts.request.host
    if objection is None:
        return _Said(f"host `{host}` is listed", facts.route.place if facts.route else None)
    return _Said(f"host `{host}` is " + ("listed by no resource group" if facts.authority else "no host name"))


def _resource_group(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    host, path = facts.request.host, facts.target.path if facts.target else _shown_target(facts.request.target)
    if objection is not None or facts.route is None:
        return _Said(f"no entry for host `{host}` covers `{facts.method} {path}`")
    route = facts.route
    return _Said(
        f"host `{host}` and path `{path}` belong to `{route.group.name}` by `{route.host}{route.path}`", route.place
    )


def _version(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    versions = facts.group.versions if facts.group else None
    place = _group_place(facts)
    if versions is None:
        return _Said(f"{_group(facts)} has no versions")
    if not facts.version_known:
        return _Said("a preflight does not show the version", place)
    if objection is None:
        return _Said(f"version `{facts.version}` is served", place)
    named = f"version `{facts.version}` is not served" if facts.version else "the request names no one version"
    return _Said(f"{named}; {_group(facts)} serves {listing(versions)}", place)


def _tenant(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    if not facts.tenants:
        return _Said("the request is for no tenant")
    named = set(facts.tenants)
    if len(named) > 1:
        return _Said(f"host and path name different tenants: {listing(named)}")
    claim = facts.policy.tenants.claim if facts.policy.tenants else ""
    if objection is not None and objection.reason is Reason.KEYS_UNAVAILABLE:
        return _Said(f"the tenant is `{facts.tenant}`, and there are no keys to read claim `{claim}` of the token with")
    if objection is not None:
        return _Said(f"the tenant is `{facts.tenant}`, and claim `{claim}` of the token names another, or none")
    return _Said(f"the tenant is `{facts.tenant}`" + (f", and no token's `{claim}` says otherwise" if claim else ""))


def _origin(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    if not facts.origin:
        return _Said("the request names no origin")
    if objection is not None:
        return _Said(f"`{facts.origin}` is not an origin as browsers write it")
    if facts.kind is Kind.SAME_ORIGIN:
        return _Said(f"`{facts.origin}` is the request's own origin")
    return _Said(f"`{facts.origin}` is written as browsers write it")


def _protocol(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    if facts.is_preflight:
        return _Said("a preflight does not show the protocol")
    served = listing(protocol.value for protocol in facts.group.protocols) if facts.group else ""
    is_served = "is served" if objection is None else f"is not served; {_group(facts)} serves {served}"
    return _Said(f"protocol `{facts.protocol.value}` {is_served}", _group_place(facts))


def _preflight(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    if not facts.is_preflight:
        return _Said("the request is no preflight")
    if facts.standing is None:
        return _not_admitted(facts)
    rule, steps = facts.standing.rule, _standing_steps(facts, facts.standing)
    method = facts.request.headers["access-control-request-method"]
    if objection is None:
        headers = f" with {listing(facts.asked_headers)}" if facts.asked_headers else ""
        return _Said(f"{rule_words(rule)} grants `{method}`{headers}", rule.place, steps)
    if facts.asked_headers is None:
        return _Said("Access-Control-Request-Headers is not a list of names, or too long", None, steps)
    return _Said(f"{rule_words(rule)} does not grant {listing(_ungranted(rule, facts))}", rule.place, steps)


def _ungranted(rule: Rule, facts: Facts) -> frozenset[str]:
    asked = frozenset(facts.asked_headers or ()) - rule.headers
    return asked & {"authorization"} if rule.any_header else asked


def _allow_rule(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    if facts.kind is not Kind.CROSS_ORIGIN:
        return _is(facts)
    if facts.standing is not None:
        rule = facts.standing.rule
        return _Said(f"{rule_words(rule)} decides", rule.place, _standing_steps(facts, facts.standing))
    if objection is not None:
        return _not_admitted(facts)
    return _Said(f"no rule admits {_who(facts)}; {_group(facts)} lets such reads go on", _group_place(facts))


def _standing_steps(facts: Facts, standing: Standing) -> tuple[Step, ...]:
    by = standing.membership
    what = f"`{facts.origin}` is in origin group `{by.group}` by `{by.pattern}`"
    return (Step("origin group", Verdict.PASSES, what, by.place),)


def _not_admitted(facts: Facts) -> _Said:
    """Say why no rule decides: it does not take the method, no rule names the origin's groups, no group has it."""
    if facts.listed is not None:
        rule = facts.listed.rule
        version = f" in version `{facts.version}`" if rule.versions is not None and facts.version else ""
        admits = f"{rule_words(rule)} does not admit method `{facts.method}`{version}"
        return _Said(admits, rule.place, _standing_steps(facts, facts.listed))
    return _Said(_unnamed(facts), _group_place(facts))


def _unnamed(facts: Facts) -> str:
    """Say in which origin groups the origin is, none of which a rule names; being in `any` tells it from no other."""
    found = facts.policy.origins.find(facts.origin) if facts.origin else ()
    named = {membership.group for membership in found or ()} - {each.group for each in facts.policy.origins.anyone}
    if named:
        return f"{_who(facts)} is in origin group {listing(named)}, which no rule of {_group(facts)} names"
    return f"no rule of {_group(facts)} has {_who(facts)}" if found else f"{_who(facts)} is in no origin group"


def _who(facts: Facts) -> str:
    if not facts.origin:
        return "a cross-site request without an origin"
    return "the opaque origin `null`" if facts.origin == OPAQUE else f"`{facts.origin}`"


def _read(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    if facts.kind is not Kind.READ:
        return _is(facts)
    lets = "lets unlisted reads go on" if objection is None else "refuses unlisted reads"
    return _Said(f"the request is {_KINDS[Kind.READ]}; {_group(facts)} {lets}", _group_place(facts))


def _embed(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    reach = facts.group.unlisted.embeds if facts.group else None
    return _reached(facts, Kind.EMBED, reach, objection)


def _navigation(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    reach = facts.group.unlisted.navigations if facts.group else None
    return _reached(facts, Kind.NAVIGATION, reach, objection)


def _reached(facts: Facts, kind: Kind, reach: Reach | None, objection: Objection | None) -> _Said:
    if facts.kind is not kind or reach is None:
        return _is(facts)
    takes = "takes it" if objection is None else "refuses it"
    site = site_of(facts.request).value
    return _Said(
        f"the request is {_KINDS[kind]} ({site}), and {_group(facts)} {takes} (`{reach.value}`)", _group_place(facts)
    )


def _retired_version(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    version = facts.group.versions.get(facts.version) if facts.group and facts.group.versions else None
    if facts.is_preflight or version is None:
        return _Said("a preflight passes a retired version" if facts.is_preflight else "no version to retire")
    if version.sunset is None:
        return _Said(f"version `{version.name}` has no sunset", _group_place(facts))
    when = instant(version.sunset)
    if objection is None:
        return _Said(f"version `{version.name}` retires at {when}", _group_place(facts))
    return _Said(f"version `{version.name}` was retired at {when}{_successor(version)}", _group_place(facts))


def _successor(version: ApiVersion) -> str:
    return f"; its successor is `{version.successor}`" if version.successor else ""


def _browser_proof(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    if facts.kind is not Kind.NOT_A_BROWSER:
        return _is(facts)
    if facts.group is None or not facts.group.browser_only:
        return _Said(f"{_group(facts)} serves other callers than browsers too", _group_place(facts))
    what = "a WebSocket handshake" if is_websocket(facts.request) else f"`{facts.method}`"
    proof = "needs no proof of a browser" if objection is None else "carries neither Origin nor Sec-Fetch-Site"
    only = "" if objection is None else f", and only browsers may write to {_group(facts)}"
    return _Said(f"{what} {proof}{only}", _group_place(facts))


def _content_type(facts: Facts, _readings: Readings, objection: Objection | None) -> _Said:
    rule = facts.rule
    if rule is None or rule.content_types is None:
        return _Said("no rule limits the types of bodies")
    if facts.is_preflight:
        return _Said("a preflight has no body", rule.place)
    sent = facts.request.headers.get("content-type", "")
    body = f"a body of type `{sent}`" if sent else "a request without a content type"
    takes = "takes" if objection is None else "does not take"
    return _Said(f"{rule_words(rule)} {takes} {body}; its types are {listing(rule.content_types)}", rule.place)


def _guards(facts: Facts, readings: Readings, _objection: Objection | None) -> _Said:
    judged = judge_guards(facts, readings)
    if not judged:
        return _Said("there are no guards")
    failed = next((each.guard for each in judged if each.holds is False), None)
    if failed is not None:
        return _Said(f"guard `{failed.name}` does not hold", failed.place, _steps(judged))
    return _Said(
        "every guard that a preflight is asked holds" if facts.is_preflight else "every guard holds",
        None,
        _steps(judged),
    )


def _steps(judged: tuple[Judged, ...]) -> tuple[Step, ...]:
    return tuple(map(_guard_step, judged))


_VERDICTS: Final = {True: Verdict.PASSES, False: Verdict.OBJECTS, None: Verdict.NOT_ASKED}


def _guard_step(judged: Judged) -> Step:
    guard = judged.guard
    described = f" ({guard.description})" if guard.description else ""
    name = f"guard `{guard.name}`"
    return Step(name, _VERDICTS[judged.holds], judged.words + described, guard.place, _steps(judged.members))


_SAYINGS: Final[Mapping[str, Callable[[Facts, Readings, Objection | None], _Said]]] = {
    "request": _request,
    "host": _host,
    "resource group": _resource_group,
    "version": _version,
    "tenant": _tenant,
    "origin": _origin,
    "protocol": _protocol,
    "preflight": _preflight,
    "allow rule": _allow_rule,
    "read": _read,
    "embed": _embed,
    "navigation": _navigation,
    "retired version": _retired_version,
    "browser proof": _browser_proof,
    "content type": _content_type,
    "guards": _guards,
}
"""By the name of the check."""
