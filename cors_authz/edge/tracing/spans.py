"""What a span says of a check, as plain values: the SDK's spans are made of them beside the checks.

Names are those of OpenTelemetry's semantic conventions, and `cors_authz.*` for what is ours. No cookie, no token, no
query, and no path but the route's template.

Spec: https://opentelemetry.io/docs/specs/semconv/rpc/grpc/, https://opentelemetry.io/docs/specs/semconv/http/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from cors_authz.edge.client_text import carried
from cors_authz.edge.observation import Observation, Parent, SpanIds
from cors_authz.fetch.fields import STANDARD_METHODS
from cors_authz.pdp.decision import Decision, Outcome
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.verdicts import Judgements, judge_checks, judge_guards

Attributes: TypeAlias = dict[str, str | bool | int]

NAME: Final = "envoy.service.auth.v3.Authorization/Check"
CHECK_EVENT: Final = "cors_authz.check"
GUARD_EVENT: Final = "cors_authz.guard"
STAGE_EVENT: Final = "cors_authz.stage"
"""Names of events, and of the attribute that says which check, guard or stage it is."""
VERDICT: Final = "cors_authz.verdict"

# `rpc.*` and `url.template` stand in the SDK's `_incubating` names only, which move.
RPC_SYSTEM: Final = "rpc.system.name"
RPC_METHOD: Final = "rpc.method"
HTTP_METHOD: Final = "http.request.method"
URL_TEMPLATE: Final = "url.template"
SERVER_ADDRESS: Final = "server.address"
CLIENT_ADDRESS: Final = "client.address"
OUTCOME: Final = "cors_authz.decision.outcome"
REASON: Final = "cors_authz.decision.reason"
DECISION_ID: Final = "cors_authz.decision.id"
STATUS: Final = "cors_authz.decision.status"
SHADOW: Final = "cors_authz.decision.shadow"
ORIGIN: Final = "cors_authz.origin"
ORIGIN_GROUP: Final = "cors_authz.origin_group"
RESOURCE_GROUP: Final = "cors_authz.resource_group"
RULE: Final = "cors_authz.rule"
REVISION: Final = "cors_authz.policy.revision"
TENANT: Final = "cors_authz.tenant"
API_VERSION: Final = "cors_authz.api_version"

ATTRIBUTES: Final[Mapping[str, str]] = {
    RPC_SYSTEM: "always `grpc`",
    RPC_METHOD: f"always `{NAME}`",
    HTTP_METHOD: "the method of the checked request; `_OTHER` for one that HTTP does not know",
    URL_TEMPLATE: "the path of the route that the request came under, as the policy writes it",
    SERVER_ADDRESS: "the host of the checked request, with its port where it names one",
    CLIENT_ADDRESS: "the client's address; only under a policy that reads it",
    OUTCOME: "`allow`, `deny`, `preflight_allow`, `preflight_deny` or `error`",
    REASON: "why; see [reasons](reasons.md)",
    DECISION_ID: "the id that the answer's `x-cors-authz-decision-id` and the audit trail have",
    STATUS: "the HTTP status of our own answer; absent where the request goes on",
    SHADOW: "`true` for a decision that is recorded and not applied; else absent",
    ORIGIN: "the request's Origin",
    ORIGIN_GROUP: "the origin group by which a rule lists it",
    RESOURCE_GROUP: "the resource group",
    RULE: "the rule that decided",
    REVISION: "the revision of the policy",
    TENANT: "the tenant of the request",
    API_VERSION: "the version of the API that the request names",
}
"""Every attribute, and what it says. One that would be empty is absent."""

_NANOSECONDS: Final = 1_000_000_000
_OTHER: Final = "_OTHER"
_OUTCOMES: Final = {outcome: outcome.value for outcome in Outcome}
_ERROR: Final = Outcome.ERROR


class FinishedSpan(NamedTuple):
    """A span as the check leaves it behind. Nothing here keeps a policy alive.

    `began` is in nanoseconds since the epoch; `laps` are those of the observation.
    """

    ids: SpanIds
    parent: Parent | None
    began: int
    laps: Sequence[float]
    attributes: Attributes
    checks: Judgements
    guards: Judgements
    is_error: bool


def finished_span(ids: SpanIds, observation: Observation) -> FinishedSpan:
    """Say of a check all that its span says. Never raises."""
    decision = observation.decision
    return FinishedSpan(
        ids,
        observation.parent,
        int(decision.now * _NANOSECONDS),
        observation.laps,
        attributes_of(decision, observation.decision_id),
        judge_checks(decision, observation.tokens),
        judge_guards(decision),
        decision.outcome is _ERROR,
    )


def attributes_of(decision: Decision, decision_id: str) -> Attributes:
    """Say what was decided on which request, by the names in `ATTRIBUTES`; texts are cut to 256 characters."""
    attributes: Attributes = {
        RPC_SYSTEM: "grpc",
        RPC_METHOD: NAME,
        OUTCOME: _OUTCOMES[decision.outcome],
        REASON: decision.reason.value,
        DECISION_ID: decision_id,
    }
    if decision.status:
        attributes[STATUS] = decision.status
    if decision.shadow:
        attributes[SHADOW] = True
    if decision.facts is not None:
        attributes.update(_of_facts(decision.facts))
    return attributes


def _of_facts(facts: Facts) -> Iterator[tuple[str, str]]:
    request, group, rule, route, standing = facts.request, facts.group, facts.rule, facts.route, facts.standing
    yield HTTP_METHOD, request.method if request.method in STANDARD_METHODS else _OTHER
    yield REVISION, facts.policy.revision
    if group is not None:
        yield RESOURCE_GROUP, group.name
    if route is not None:
        yield URL_TEMPLATE, route.path
    if rule is not None:
        yield RULE, rule.name
    if standing is not None:
        yield ORIGIN_GROUP, standing.membership.group
    for name, text in (
        (SERVER_ADDRESS, request.host),
        (CLIENT_ADDRESS, request.source),
        (ORIGIN, facts.origin),
        (TENANT, facts.tenant),
        (API_VERSION, facts.version),
    ):
        if text:
            yield name, carried(text)
