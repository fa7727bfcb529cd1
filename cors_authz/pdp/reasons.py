"""The words for each reason: what happened, and how to mend the request. Only a listed origin reads the mend."""

from __future__ import annotations

from typing import Final, NamedTuple

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
        "send the path without `.` or `..` segments, `//`, `\\`, encoded slashes or broken escapes",
    ),
    Reason.REQUEST_MALFORMED: Words("the request has no method or no path", "send a request with a path"),
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
        "the origin may not use this method here", "use a method that the rule of this origin lists: {methods}"
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
    return WORDS[decision.reason].mend.format(**_names(decision))


def _names(decision: Decision) -> dict[str, str]:
    group, rule = decision.group, decision.reader
    versions = group.versions if group and group.versions else {}
    retired = versions.get(decision.facts.version) if decision.facts else None
    return {
        "guard": decision.guard.name if decision.guard else "",
        "methods": ", ".join(sorted(rule.methods)) if rule else "",
        "protocols": ", ".join(sorted(protocol.value for protocol in group.protocols)) if group else "",
        "versions": ", ".join(sorted(versions)),
        "successor": retired.successor if retired else "",
        "types": ", ".join(sorted(rule.content_types or ())) if rule else "",
    }
