"""A decision as one line of JSON: `DecisionRecord` of proto/cors_authz/v1/decision.proto.

What follows from the policy alone is written once for all requests that meet the same rule with the same end, and what
all checks of a case share once for them. Only the rest is written each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias
from weakref import ref

import orjson

from cors_authz.edge.audit.options import AuditOptions
from cors_authz.edge.cases import Case, Shared, announcements
from cors_authz.edge.client_text import MAX_TEXT
from cors_authz.edge.observation import Observation, SpanIds
from cors_authz.fetch.request import Kind
from cors_authz.pdp.claims import claim_value
from cors_authz.pdp.decision import Decision, Outcome
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.response import DECISION_ID, are_told, whole
from cors_authz.pdp.verdicts import judge_guards
from cors_authz.policy.compiled import CompiledPolicy

MAX_ROLES: Final = 32

RECORDED_OF_REFUSALS: Final = (
    "content-type",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "sec-fetch-user",
    "sec-fetch-storage-access",
)
RECORDED_OF_PREFLIGHTS: Final = (
    "access-control-request-method",
    "access-control-request-headers",
    "access-control-request-private-network",
)

EXPENDABLE: Final = frozenset({Outcome.ALLOW, Outcome.PREFLIGHT_ALLOW})

_MAX_TEXTS: Final = 16_384
_MICROSECONDS: Final = 1e6
_KIND: Final = "decision"
_QUERY: Final = ("query",)
_UNWRITTEN: Final = "?"

_Key: TypeAlias = tuple[object, ...]
"""All that the constant part of a record follows from; nothing of it is what a client may write as it likes."""


class _Known(NamedTuple):
    """A policy, what was written of its decisions, and what is revealed under it.

    The policy is referred to weakly: it is freed part by part once it is replaced, and nobody else may hold on to it.
    """

    policy: Callable[[], CompiledPolicy | None]
    texts: dict[_Key, bytes]
    revealed: tuple[str, ...]
    masked: tuple[str, ...]


class Recorder:
    """Writes decisions as lines. Safe to use from many threads.

    Args:
        options: what is revealed, and the share that is kept.
    """

    def __init__(self, options: AuditOptions) -> None:
        self._revealed = options.headers
        self._claims = options.claims
        self._share = options.sample_allow
        self._known = self._know(None)

    def line_of(self, observation: Observation, span: SpanIds | None, case: Case) -> bytes:
        """Write a decision as one line of JSON. What a client sent is cut to 256 characters.

        Args:
            observation: the check.
            span: its span, None where it has none.
            case: the case that it is of; what the records of a case share is written once.
        """
        decision, decision_id, laps, _, tokens = observation
        _, _, _, facts, _, roles, _, now = decision
        names, text = case.shared or self._settle(decision, case)
        latency_us = int((laps[-1] - laps[0]) * _MICROSECONDS)
        record: dict[str, object] = {"time": now, "decision_id": decision_id, "latency_us": latency_us}
        if facts is not None:
            _add_request(record, facts, names)
        if roles:
            record["roles"], are_told = _cut(roles)
            if not are_told:
                text = self._share_of(decision).text
        if span is not None:
            record["trace_id"], record["span_id"] = span
        if self._claims and tokens:
            self._add_claims(record, observation)
        try:
            return orjson.dumps(record)[:-1] + text
        except TypeError:
            return _dumped(record) + text

    def _settle(self, decision: Decision, case: Case) -> Shared:
        shared = self._share_of(decision)
        # Roles that no service is told make a text of their own: few have so many.
        if not decision.roles or are_told(decision.roles):
            case.shared = shared
        return shared

    def _share_of(self, decision: Decision) -> Shared:
        facts = decision.facts
        if facts is None:
            return Shared((), _spliced({"kind": _KIND, **_of_policy(decision, (), self._share)}))
        known = self._known
        if known.policy() is not facts.policy:
            known = self._known = self._know(facts.policy)
        headers = known.revealed
        if facts.kind is Kind.PREFLIGHT:
            headers = (*RECORDED_OF_REFUSALS, *RECORDED_OF_PREFLIGHTS, *headers)
        elif decision.outcome is not Outcome.ALLOW:
            headers = (*RECORDED_OF_REFUSALS, *headers)
        return Shared(headers, b"," + _dumped(_of_client(facts))[1:] + self._text_of_policy(known, decision))

    def _know(self, policy: CompiledPolicy | None) -> _Known:
        tokens = {provider.header for provider in policy.providers.values()} if policy else set()
        revealed = tuple(name for name in self._revealed if name not in tokens)
        masked = tuple(f"header:{name}" for name in self._revealed if name in tokens)
        return _Known(ref(policy) if policy else _no_policy, {}, revealed, masked)

    def _text_of_policy(self, known: _Known, decision: Decision) -> bytes:
        key = _key_of(decision)
        text = known.texts.get(key)
        if text is None:
            if len(known.texts) >= _MAX_TEXTS:
                known.texts.clear()
            text = known.texts[key] = _spliced(_of_policy(decision, known.masked, self._share))
        return text

    def _add_claims(self, record: dict[str, object], observation: Observation) -> None:
        claims = dict(_revealed_claims(self._claims, observation))
        if claims:
            record["claims"] = claims


def _add_request(record: dict[str, object], facts: Facts, names: Iterable[str]) -> None:
    _, _, host, target, headers, _, principal, _, _, _ = facts.request
    record["host"], record["origin"] = host[:MAX_TEXT], facts.origin[:MAX_TEXT]
    if facts.tenants:
        record["tenant"] = facts.tenants[0][:MAX_TEXT]
    if "x-request-id" in headers:
        record["request_id"] = headers["x-request-id"][:MAX_TEXT]
    if "?" in target:
        record["erased"] = _QUERY
    if principal:
        record["principal"] = principal[:MAX_TEXT]
    if names:
        # By their names: a walk over all headers would cost as much as the decision.
        picked = {name: headers[name][:MAX_TEXT] for name in names if name in headers}
        record.update({"headers": picked} if picked else {})


@lru_cache(maxsize=4096)
def _cut(roles: tuple[str, ...]) -> tuple[list[str], bool]:
    return [role[:MAX_TEXT] for role in roles[:MAX_ROLES]], are_told(roles)


def _of_client(facts: Facts) -> dict[str, object]:
    listed = facts.standing or facts.listed
    record = {
        "kind": _KIND,
        "method": facts.request.method[:MAX_TEXT],
        "path": facts.route.path if facts.route else "",
    }
    optional = {
        "origin_group": listed.membership.group if listed else "",
        "version": facts.version[:MAX_TEXT],
    }
    return {**record, **{name: text for name, text in optional.items() if text}}


def _revealed_claims(names: Iterable[str], observation: Observation) -> Iterable[tuple[str, str]]:
    facts = observation.decision.facts
    are_of_several = facts is not None and facts.needs.are_of_several
    for provider, token in observation.tokens.items():
        for name in names:
            value = claim_value(token.claims, name)
            if value is not None:
                yield f"{provider}:{name}" if are_of_several else name, _text_of(value)


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value[:MAX_TEXT]
    try:
        return orjson.dumps(value, default=_plain).decode()[:MAX_TEXT]
    except TypeError:
        # Nested too deep, a number of more than 64 bits, half of a surrogate pair: an issuer may put in a token what it
        # likes, and the decision has its record all the same.
        return _UNWRITTEN


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _dumped(record: dict[str, object]) -> bytes:
    """Write an object without its closing brace."""
    try:
        return orjson.dumps(record)[:-1]
    except TypeError:
        # Half of a surrogate pair, which no header carries, and text that was made elsewhere may.
        return orjson.dumps(_carried(record))[:-1]


def _carried(value: object) -> object:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_carried(name): _carried(each) for name, each in value.items()}
    return [_carried(each) for each in value] if isinstance(value, list | tuple) else value


# --- What follows from the policy -------------------------------------------------------------------------------------


def _key_of(decision: Decision) -> _Key:
    _, reason, status, facts, guard, roles, shadow, _ = decision
    assert facts is not None  # noqa: S101 - for the type checker: asked of decisions with facts alone
    group, rule, reader = facts.group, facts.rule, decision.reader
    indices = tuple(part.index if part else -1 for part in (group, rule, reader))
    is_in_path = facts.route is not None and facts.route.version_in_path is not None
    caller = bool(facts.tenants), bool(facts.version), bool(roles) and are_told(roles)
    told = caller, is_in_path, facts.is_preflight, announcements(decision, facts)
    versions = facts.group.versions if facts.group else None
    version = facts.version if versions and facts.version in versions else ""
    return reason, shadow, status, guard.name if guard else "", indices, version, told


def _of_policy(decision: Decision, masked: tuple[str, ...], share: float) -> dict[str, object]:
    group, rule, facts = decision.group, decision.rule, decision.facts
    guards = [{"name": name, "verdict": verdict.value} for name, verdict in judge_guards(decision)]
    optional: dict[str, object] = {
        "group": group.name if group else "",
        "rule": rule.name if rule else "",
        "guards": guards,
        "justification": _justification(decision),
        "injected": _injected(decision),
        "revision": facts.policy.revision if facts else "",
        "masked": masked,
        "share": share if decision.outcome in EXPENDABLE and share < 1 else None,
    }
    return {
        "outcome": decision.outcome.value,
        "reason": decision.reason.value,
        "status": decision.status,
        "shadow": decision.shadow,
        **{name: value for name, value in optional.items() if value},
    }


def _justification(decision: Decision) -> dict[str, str]:
    """Quote the guard that objected, else the rule that decided, else the group."""
    by = decision.guard or decision.rule or decision.group
    if by is None:
        return {}
    at = f"{by.place.file}:{by.place.line}"
    return {"text": by.description, "at": at} if by.description else {"at": at}


def _injected(decision: Decision) -> list[str]:
    answer = whole(decision, DECISION_ID)
    return sorted({header.name for header in (*answer.to_client, *answer.to_upstream) if header.value})


def _spliced(constant: dict[str, object]) -> bytes:
    return b"," + _dumped(constant)[1:] + b"}\n"


def _no_policy() -> None:
    """Give the policy that is known before the first decision."""
