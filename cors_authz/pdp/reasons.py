"""The words for each reason: what happened, and how to mend the request. Only a listed origin reads the mend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from string import Formatter
from typing import Final, NamedTuple

from cors_authz.fetch.fields import STANDARD_METHODS
from cors_authz.pdp.decision import Decision, Reason


class Words(NamedTuple):
    """A title that never changes, and a mend that may name the group, the rule and the guard of the decision."""

    title: str
    mend: str


WORDS: Final = {
    Reason.RULE_ALLOWED: Words("an allow rule admits the origin", ""),
    Reason.SAME_ORIGIN: Words("the request comes from its own origin", ""),
    Reason.NOT_A_BROWSER: Words("no browser sent the request, so no origin is claimed", ""),
    Reason.UNLISTED_READ: Words("a read without a grant: it goes on without credentials and no script can read it", ""),
    Reason.UNLISTED_EMBED: Words("another site embeds the resource, and the group lets it", ""),
    Reason.UNLISTED_NAVIGATION: Words("a link of another site leads here, and the group lets it", ""),
    Reason.PREFLIGHT_ALLOWED: Words("an allow rule admits what the preflight asks for", ""),
    Reason.PATH_AMBIGUOUS: Words(
        "the path can be read in two ways",
        "send the path without `.` or `..` segments, `//`, `\\`, encoded slashes or semicolons, or broken escapes",
    ),
    Reason.REQUEST_MALFORMED: Words(
        "the request has no path, or no method that is written as one", "send a request with a method and a path"
    ),
    Reason.METHOD_OVERRIDE_FORBIDDEN: Words(
        "the method override names no method that may run", "send the method itself, without an override"
    ),
    Reason.TOKEN_MISSING: Words("a token is needed", "sign in, and send the token as `Authorization: Bearer`"),
    Reason.TOKEN_INVALID: Words("the token does not verify", "sign in again, and send the token as it was issued"),
    Reason.TOKEN_EXPIRED: Words("the token has expired", "sign in again, or refresh the token before it expires"),
    Reason.TOKEN_TOO_OLD: Words("the token was issued too long ago", "sign in again: this action needs a fresh login"),
    Reason.ORIGIN_NOT_ALLOWED: Words("the origin may not do this here", "ask the owner to list the origin"),
    Reason.ORIGIN_MALFORMED: Words("the Origin header is not an origin", "send the origin as browsers write it"),
    Reason.METHOD_NOT_ALLOWED: Words(
        "the origin may not use this method here, or not in this version",
        "use a method that the rule of this origin lists: {methods}",
    ),
    Reason.HEADER_NOT_ALLOWED: Words(
        "the origin may not set one of these headers here", "set headers that the rule of this origin lists only"
    ),
    Reason.EMBED_NOT_ALLOWED: Words(
        "other sites may not embed this resource", "load it with the `crossorigin` attribute from a listed origin"
    ),
    Reason.NAVIGATION_NOT_ALLOWED: Words("other sites may not link here", "open the page from its own site"),
    Reason.BROWSER_PROOF_MISSING: Words(
        "only browsers may write here, and nothing shows that one did", "call from a page in a current browser"
    ),
    Reason.PROTOCOL_NOT_SERVED: Words("the protocol is not served here", "use one of: {protocols}"),
    Reason.NO_RESOURCE_GROUP: Words("no resource group covers this path", "check the path against the documentation"),
    Reason.TENANT_MISMATCH: Words("the tenant of the token is another one", "use a token of the tenant that is called"),
    Reason.ROLE_MISSING: Words("the caller lacks a role", "ask for a role that guard `{guard}` accepts"),
    Reason.CLAIM_MISMATCH: Words("the token does not say what is needed", "sign in as guard `{guard}` demands"),
    Reason.ORIGIN_NOT_IN_TOKEN: Words(
        "the token was not issued for this origin", "use a token whose claim lists the origin of the page"
    ),
    Reason.PRINCIPAL_NOT_ALLOWED: Words("the workload may not call this", "call as a workload that `{guard}` names"),
    Reason.SOURCE_NOT_ALLOWED: Words("the address may not call this", "call from a network that `{guard}` names"),
    Reason.HEADER_MISMATCH: Words("a header does not have its value", "set the header that guard `{guard}` demands"),
    Reason.VERSION_UNKNOWN: Words("the API version does not exist", "use one of: {versions}"),
    Reason.VERSION_RETIRED: Words("the API version has been retired", "use version {successor}"),
    Reason.CONTENT_TYPE_NOT_ALLOWED: Words("bodies of this type are refused", "send one of: {types}"),
    Reason.HOST_UNKNOWN: Words("no resource group lists this host", "call the host by the name that is published"),
    Reason.POLICY_UNAVAILABLE: Words("no policy is loaded", "try again shortly"),
    Reason.KEYS_UNAVAILABLE: Words("the keys of the issuer cannot be had", "try again shortly"),
    Reason.AUDIT_UNAVAILABLE: Words("the decision cannot be recorded", "try again shortly"),
    Reason.INTERNAL_ERROR: Words("the decision failed", "try again shortly"),
}


def mend_of(decision: Decision) -> str:
    """Say how the request can be mended, in the words of the guard where the policy gives them."""
    if decision.guard is not None and decision.guard.message:
        return decision.guard.message
    mend = _narrower_mend(decision) or WORDS[decision.reason].mend
    names = {name: _NAMES[name](decision) for name in _names_in(mend)}
    # A sentence that would end in nothing helps nobody.
    return mend.format(**names) if all(names.values()) else ""


def _narrower_mend(decision: Decision) -> str:
    """Say what helps where a reason has several causes and this is not the usual one; else nothing."""
    narrower = _NARROWER_MENDS.get(decision.reason)
    return narrower(decision) if narrower and decision.facts else ""


def _mend_of_malformed(decision: Decision) -> str:
    is_case_alone = decision.facts and decision.facts.request.target and _method_in_upper_case(decision)
    return "write the method in upper case: {method}" if is_case_alone else ""


def _mend_of_method(decision: Decision) -> str:
    facts, rule = decision.facts, decision.reader
    if facts is None or rule is None or rule.versions is None or facts.version in rule.versions:
        return ""
    return _OTHER_VERSION if rule.admits(facts.method or "", None) else ""


def _mend_of_retired(decision: Decision) -> str:
    return "" if _successor(decision) else "use a version that guard `{guard}` accepts"


_OTHER_VERSION: Final = "use a version that the rule of this origin holds for: {rule_versions}"
_NARROWER_MENDS: Final = {
    Reason.REQUEST_MALFORMED: _mend_of_malformed,
    Reason.METHOD_NOT_ALLOWED: _mend_of_method,
    Reason.VERSION_RETIRED: _mend_of_retired,
}


@lru_cache(maxsize=128)
def _names_in(mend: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in Formatter().parse(mend) if name)


# --- What mends name --------------------------------------------------------------------------------------------------


def _method_in_upper_case(decision: Decision) -> str:
    upper = decision.facts.request.method.upper() if decision.facts else ""
    return upper if upper in STANDARD_METHODS else ""


def _methods(decision: Decision) -> str:
    return _listed(decision.reader.methods) if decision.reader else ""


def _types(decision: Decision) -> str:
    return _listed(decision.reader.content_types or ()) if decision.reader else ""


def _versions_of_rule(decision: Decision) -> str:
    return _listed(decision.reader.versions or ()) if decision.reader else ""


def _versions(decision: Decision) -> str:
    return _listed(decision.group.versions or ()) if decision.group else ""


def _protocols(decision: Decision) -> str:
    return _listed(protocol.value for protocol in decision.group.protocols) if decision.group else ""


def _successor(decision: Decision) -> str:
    group, facts = decision.group, decision.facts
    version = group.versions.get(facts.version) if group and group.versions and facts else None
    return version.successor if version else ""


def _guard(decision: Decision) -> str:
    return decision.guard.name if decision.guard else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


_NAMES: Final[Mapping[str, Callable[[Decision], str]]] = {
    "guard": _guard,
    "method": _method_in_upper_case,
    "methods": _methods,
    "protocols": _protocols,
    "rule_versions": _versions_of_rule,
    "successor": _successor,
    "types": _types,
    "versions": _versions,
}
"""By their place in a mend."""
