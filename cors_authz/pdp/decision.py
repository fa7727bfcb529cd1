"""What was decided and why: outcome, reason, and the facts that led to it."""

from __future__ import annotations

from enum import Enum, unique
from typing import NamedTuple

from cors_authz.pdp.facts import Facts
from cors_authz.policy.compiled import Guard, ResourceGroup, Rule


@unique
class Outcome(Enum):
    """What becomes of the request; the low-cardinality word for logs and metrics."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    ALLOW = "allow"
    DENY = "deny"
    PREFLIGHT_ALLOW = "preflight_allow"
    PREFLIGHT_DENY = "preflight_deny"
    ERROR = "error"


@unique
class Reason(Enum):
    """Why; each refusal is documented under its name."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    # Allowed.
    RULE_ALLOWED = "rule_allowed"
    SAME_ORIGIN = "same_origin"
    NOT_A_BROWSER = "not_a_browser"
    UNLISTED_READ = "unlisted_read"
    UNLISTED_EMBED = "unlisted_embed"
    UNLISTED_NAVIGATION = "unlisted_navigation"
    PREFLIGHT_ALLOWED = "preflight_allowed"
    # 400
    PATH_AMBIGUOUS = "path_ambiguous"
    REQUEST_MALFORMED = "request_malformed"
    METHOD_OVERRIDE_FORBIDDEN = "method_override_forbidden"
    # 401
    TOKEN_MISSING = "token_missing"
    TOKEN_INVALID = "token_invalid"
    TOKEN_EXPIRED = "token_expired"
    TOKEN_TOO_OLD = "token_too_old"
    # 403
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    ORIGIN_MALFORMED = "origin_malformed"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    HEADER_NOT_ALLOWED = "header_not_allowed"
    EMBED_NOT_ALLOWED = "embed_not_allowed"
    NAVIGATION_NOT_ALLOWED = "navigation_not_allowed"
    BROWSER_PROOF_MISSING = "browser_proof_missing"
    PROTOCOL_NOT_SERVED = "protocol_not_served"
    NO_RESOURCE_GROUP = "no_resource_group"
    TENANT_MISMATCH = "tenant_mismatch"
    ROLE_MISSING = "role_missing"
    CLAIM_MISMATCH = "claim_mismatch"
    ORIGIN_NOT_IN_TOKEN = "origin_not_in_token"
    PRINCIPAL_NOT_ALLOWED = "principal_not_allowed"
    SOURCE_NOT_ALLOWED = "source_not_allowed"
    HEADER_MISMATCH = "header_mismatch"
    # 404, 410
    VERSION_UNKNOWN = "version_unknown"
    VERSION_RETIRED = "version_retired"
    # 415, 421
    CONTENT_TYPE_NOT_ALLOWED = "content_type_not_allowed"
    HOST_UNKNOWN = "host_unknown"
    # 503
    POLICY_UNAVAILABLE = "policy_unavailable"
    KEYS_UNAVAILABLE = "keys_unavailable"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    INTERNAL_ERROR = "internal_error"


FAULTS = frozenset(
    {Reason.POLICY_UNAVAILABLE, Reason.KEYS_UNAVAILABLE, Reason.AUDIT_UNAVAILABLE, Reason.INTERNAL_ERROR}
)
"""Reasons that are our own fault and never the request's."""

_STATUS = {
    **dict.fromkeys((Reason.PATH_AMBIGUOUS, Reason.REQUEST_MALFORMED, Reason.METHOD_OVERRIDE_FORBIDDEN), 400),
    **dict.fromkeys((Reason.TOKEN_MISSING, Reason.TOKEN_INVALID, Reason.TOKEN_EXPIRED, Reason.TOKEN_TOO_OLD), 401),
    Reason.VERSION_UNKNOWN: 404,
    Reason.VERSION_RETIRED: 410,
    Reason.CONTENT_TYPE_NOT_ALLOWED: 415,
    Reason.HOST_UNKNOWN: 421,
    **dict.fromkeys(FAULTS, 503),
}

GOES_ON = 0
"""The status of a request that goes on: it has no answer of ours."""
NO_CONTENT = 204


class Objection(NamedTuple):
    """A reason to refuse, and the guard of the policy that raised it, if one did."""

    reason: Reason
    guard: Guard | None = None

    @property
    def status(self) -> int:
        """The HTTP status of the refusal."""
        if self.guard is not None and self.guard.status and self.reason not in FAULTS:
            return self.guard.status
        return _STATUS.get(self.reason, 403)


class Decision(NamedTuple):
    """One answer to one request. `status` is that of our own answer, `GOES_ON` where there is none.

    `shadow` says that the decision is recorded and not applied. `roles` are those of the token that a guard read, `now`
    is the time of the decision in seconds since the epoch.
    """

    outcome: Outcome
    reason: Reason
    status: int
    facts: Facts | None
    guard: Guard | None = None
    roles: tuple[str, ...] = ()
    shadow: bool = False
    now: float = 0.0

    @property
    def group(self) -> ResourceGroup | None:
        """The resource group, None where no route matched."""
        return self.facts.group if self.facts else None

    @property
    def rule(self) -> Rule | None:
        """The rule that decided, None where none did."""
        return self.facts.rule if self.facts else None

    @property
    def reader(self) -> Rule | None:
        """The rule under which the origin may read a refusal, None for everyone who is not listed."""
        if self.facts is None:
            return None
        standing = self.facts.standing or self.facts.listed
        return standing.rule if standing else None
