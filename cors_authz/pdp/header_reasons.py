"""Why each header of an answer is there, and why each that is taken off the request is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from cors_authz.pdp.decision import Decision, Outcome
from cors_authz.pdp.response import (
    GROUP_HEADER,
    ID_HEADER,
    ROLES_HEADER,
    TENANT_HEADER,
    VERSION_HEADER,
    Action,
    Answer,
    Header,
)
from cors_authz.pdp.steps import instant, rule_words
from cors_authz.policy.compiled import Rule
from cors_authz.policy.finding import Place


class Because(NamedTuple):
    """Why something is there, and the line of the policy that says so."""

    why: str
    place: Place | None = None


class Explained(NamedTuple):
    """A header of the answer and why it is there; `blanks` says that it only empties one that an upstream sets."""

    name: str
    value: str
    because: Because
    blanks: bool = False


class Removed(NamedTuple):
    """A header that goes no further than here, whether the request has it at all, and why."""

    name: str
    sent: bool
    because: Because


def reasons_to_client(decision: Decision, answer: Answer) -> tuple[Explained, ...]:
    """Say of each header that the client gets why it does."""
    return tuple(_explained(header, decision) for header in answer.to_client)


def reasons_to_upstream(decision: Decision, answer: Answer) -> tuple[Explained, ...]:
    """Say of each header that the upstream gets why it does."""
    return tuple(_explained(header, decision) for header in answer.to_upstream)


def reasons_of_removal(decision: Decision, answer: Answer) -> tuple[Removed, ...]:
    """Say of each header that is taken off the request why it is."""
    headers = decision.facts.request.headers if decision.facts else {}
    return tuple(Removed(name, name in headers, _because_removed(name, decision)) for name in answer.removed)


def _explained(header: Header, decision: Decision) -> Explained:
    if header.action is Action.OVERWRITE_IF_EXISTS and not header.value:
        return Explained(header.name, "", Because("an upstream's own grant is blanked"), blanks=True)
    return Explained(header.name, header.value, _WHYS[header.name](header, decision))


def _under(decision: Decision) -> tuple[str, Place | None]:
    """Name the rule under which the origin reads the answer, and its line."""
    rule = decision.reader
    return (rule_words(rule), rule.place) if rule else ("no rule", None)


def _allow_origin(header: Header, decision: Decision) -> Because:
    group = decision.group
    place = group.place if group else None
    if header.value == "*":
        free = "answers do not depend on the origin: `any` may read all of them"
        return Because(free if group and group.origin_free else "`any` is all that the group allows", place)
    facts, (rule, where) = decision.facts, _under(decision)
    standing = (facts.standing or facts.listed) if facts else None
    member = f"it is in `{standing.membership.group}`" if standing else "it is listed"
    lets = "lets its page read why" if decision.outcome in {Outcome.DENY, Outcome.ERROR} else "admits it"
    return Because(f"the origin is echoed: {member}, and {rule} {lets}", where)


def _allow_credentials(_header: Header, decision: Decision) -> Because:
    rule, place = _under(decision)
    granted = decision.reader.credentials if decision.reader else ()
    kinds = ", ".join(sorted(f"`{kind.value}`" for kind in granted))
    return Because(f"credentials {kinds} are granted by {rule}", place)


def _expose_headers(header: Header, decision: Decision) -> Because:
    rule, group = decision.reader, decision.group
    if rule is not None or group is None:
        return _by_rule("lets scripts read these beyond the safelist")(header, decision)
    return Because("a cache may hand this answer to any page, so it says what every page may read", group.place)


def _by_rule(words: str) -> Callable[[Header, Decision], Because]:
    def because(_header: Header, decision: Decision) -> Because:
        rule, place = _under(decision)
        return Because(f"{rule} {words}", place)

    return because


def _by_group(words: str, link: str = " of") -> Callable[[Header, Decision], Because]:
    """Link a sentence, which stands by itself where no group is known, to the group."""

    def because(_header: Header, decision: Decision) -> Because:
        group = decision.group
        return Because(f"{words}{link} `{group.name}`", group.place) if group else Because(words)

    return because


def _as_always(words: str) -> Callable[[Header, Decision], Because]:
    return lambda _header, _decision: Because(words)


def _cache_control(header: Header, decision: Decision) -> Because:
    if header.value == "no-store":
        return Because("a refusal is never kept")
    return _by_group("no shared cache may keep what depends on a token", ", as answers do of")(header, decision)


def _deprecation(_header: Header, decision: Decision) -> Because:
    facts, group = decision.facts, decision.group
    versions = group.versions if group and group.versions else {}
    version = versions.get(facts.version) if facts else None
    if version is None or group is None:
        return Because("the version is deprecated")
    since = f" since {instant(version.deprecated)}" if version.deprecated is not None else ""
    retires = "was retired" if version.sunset is not None and decision.now >= version.sunset else "retires"
    until = f" and {retires} at {instant(version.sunset)}" if version.sunset is not None else ""
    return Because(f"version `{version.name}` is deprecated{since}{until}", group.place)


def _origin_group(_header: Header, decision: Decision) -> Because:
    standing = decision.facts.standing if decision.facts else None
    return Because("the origin is in this group", standing.membership.place if standing else None)


_WHYS: Final[Mapping[str, Callable[[Header, Decision], Because]]] = {
    "access-control-allow-origin": _allow_origin,
    "access-control-allow-credentials": _allow_credentials,
    "access-control-expose-headers": _expose_headers,
    "access-control-allow-methods": _by_rule("grants the method that the preflight asks for"),
    "access-control-allow-headers": _by_rule("grants the headers that the preflight asks for"),
    "access-control-max-age": _by_rule("lets browsers keep the permission for so many seconds"),
    "access-control-allow-private-network": _by_rule("lets public pages reach a private network"),
    "vary": _by_group("what the answer can depend on, so that no cache hands it to another caller"),
    "cache-control": _cache_control,
    "cross-origin-resource-policy": _by_group("`responseHeaders`"),
    "timing-allow-origin": _by_group("`responseHeaders`"),
    "content-type": _as_always("the type of the refusal's body"),
    "retry-after": _as_always("the fault is ours and may pass"),
    "www-authenticate": _as_always("a 401 says how to sign in"),
    "deprecation": _deprecation,
    "sunset": _deprecation,
    "link": _deprecation,
    ID_HEADER: _as_always("the id under which the decision is recorded"),
    GROUP_HEADER: _origin_group,
    TENANT_HEADER: _by_group("the tenant of the request", " to"),
    VERSION_HEADER: _by_group("the version"),
    ROLES_HEADER: _as_always("the roles of the token that a guard read"),
}
"""By the name of a header that an answer may set."""

_CREDENTIALS: Final = {"cookie": "cookie", "authorization": "bearer"}


def _because_removed(name: str, decision: Decision) -> Because:
    if name in _CREDENTIALS:
        return _because_withheld(_CREDENTIALS[name], decision.rule)
    silent = "in shadow it says nothing" if decision.shadow else "here it has nothing to say"
    return Because(f"only this service says this, and {silent}")


def _because_withheld(kind: str, rule: Rule | None) -> Because:
    if rule is None:
        return Because("no rule decides, so no credential travels on")
    return Because(f"{rule_words(rule)} does not grant `{kind}`", rule.place)
