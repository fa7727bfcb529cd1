"""A decision as one line of JSON: `DecisionRecord` of proto/cors_authz/v1/decision.proto.

What follows from the policy is written once, in two texts: what became of a request is alike for all groups and rules
that look alike, and who decided it for all requests that they decide. Only the rest is written each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias
from weakref import ref

import orjson

from cors_authz.edge.audit.options import AuditOptions
from cors_authz.edge.client_text import MAX_TEXT
from cors_authz.edge.observation import Observation, SpanIds
from cors_authz.fetch.request import Kind
from cors_authz.pdp.claims import claim_value
from cors_authz.pdp.decision import Decision, Outcome
from cors_authz.pdp.facts import Facts
from cors_authz.pdp.response import DECISION_ID, are_told, whole
from cors_authz.pdp.verdicts import judge_guards
from cors_authz.policy.compiled import CompiledPolicy, Guard, ResourceGroup, Rule

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

_MAX_TEXTS: Final = 65_536
_MICROSECONDS: Final = 1e6
_KIND: Final = "decision"
_QUERY: Final = ("query",)
_UNWRITTEN: Final = "?"
_LINE_END: Final = b"}\n"

# Bound here since, on Python 3.11, a member costs more to look up than a header.
_PREFLIGHT: Final = Kind.PREFLIGHT
_ALLOW: Final = Outcome.ALLOW

_Key: TypeAlias = tuple[object, ...]
"""All that a text follows from; nothing of it is what a client may write as it likes."""


class _Known(NamedTuple):
    """A policy, what was written of its decisions, and what is revealed under it.

    The policy is referred to weakly: it is freed part by part once it is replaced, and nobody else may hold on to it.
    """

    policy: Callable[[], CompiledPolicy | None]
    ends: dict[_Key, bytes]
    deciders: dict[_Key, bytes]
    revealed: tuple[str, ...]
    of_refusals: tuple[str, ...]
    of_preflights: tuple[str, ...]
    masked: tuple[str, ...]

    def names(self, outcome: Outcome, facts: Facts) -> tuple[str, ...]:
        """Name the headers that a record has."""
        if facts.kind is _PREFLIGHT:
            return self.of_preflights
        return self.revealed if outcome is _ALLOW else self.of_refusals


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

    def line_of(self, observation: Observation, span: SpanIds | None) -> bytes:
        """Write a decision as one line of JSON. What a client sent is cut to 256 characters.

        Args:
            observation: the check.
            span: its span, None where it has none.
        """
        decision, decision_id, laps, _, tokens = observation
        outcome, _, _, facts, _, roles, _, now = decision
        latency_us = int((laps[-1] - laps[0]) * _MICROSECONDS)
        record: dict[str, object] = {"time": now, "decision_id": decision_id, "latency_us": latency_us}
        known = self._known
        if facts is not None:
            if known.policy() is not facts.policy:
                known = self._known = self._know(facts.policy)
            _add_request(record, facts, known.names(outcome, facts))
        if roles:
            record["roles"] = _cut(roles)
        if span is not None:
            record["trace_id"], record["span_id"] = span
        if self._claims and tokens:
            self._add_claims(record, observation)
        return b"".join((_dumped(record), self._end(known, decision), _decider(known, decision)))

    def _know(self, policy: CompiledPolicy | None) -> _Known:
        tokens = {provider.header for provider in policy.providers.values()} if policy else set()
        revealed = tuple(name for name in self._revealed if name not in tokens)
        return _Known(
            ref(policy) if policy else _no_policy,
            {},
            {},
            revealed,
            (*RECORDED_OF_REFUSALS, *revealed),
            (*RECORDED_OF_REFUSALS, *RECORDED_OF_PREFLIGHTS, *revealed),
            tuple(f"header:{name}" for name in self._revealed if name in tokens),
        )

    def _end(self, known: _Known, decision: Decision) -> bytes:
        """Write what became of a request."""
        key = _key_of_end(decision)
        return known.ends.get(key) or _remember(known.ends, key, _written(_of_end(decision, known.masked, self._share)))

    def _add_claims(self, record: dict[str, object], observation: Observation) -> None:
        claims = dict(_revealed_claims(self._claims, observation))
        if claims:
            record["claims"] = claims


def _add_request(record: dict[str, object], facts: Facts, names: Iterable[str]) -> None:
    method, _, host, target, headers, _, principal, _, _, _ = facts.request
    record["method"], record["host"] = method[:MAX_TEXT], host[:MAX_TEXT]
    record["path"] = facts.route.path if facts.route else ""
    record["origin"] = facts.origin[:MAX_TEXT]
    if origin_group := facts.origin_group:
        record["origin_group"] = origin_group
    if facts.version:
        record["version"] = facts.version[:MAX_TEXT]
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
def _cut(roles: tuple[str, ...]) -> list[str]:
    return [role[:MAX_TEXT] for role in roles[:MAX_ROLES]]


_are_told = lru_cache(maxsize=4096)(are_told)


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


def _remember(texts: dict[_Key, bytes], key: _Key, text: bytes) -> bytes:
    if len(texts) >= _MAX_TEXTS:
        texts.clear()
    texts[key] = text
    return text


def _key_of_end(decision: Decision) -> _Key:
    _, reason, status, facts, _, roles, shadow, _ = decision
    if facts is None:
        return (reason,)
    group, rule, reader = facts.group, facts.rule, decision.reader
    looks = (group.look if group else -1, rule.look if rule else -1, reader.look if reader else -1)
    tells = (not facts.tenants, not facts.version, not roles or not _are_told(roles))
    # Few answers depend on more than that: those of versions, and those to preflights.
    more = _announced(decision, facts) if facts.version or facts.kind is _PREFLIGHT else None
    return reason, status, shadow, looks, tells, more


def _announced(decision: Decision, facts: Facts) -> _Key:
    """Name what the headers of an answer depend on beside rule and caller: what is asked, what is announced."""
    if facts.kind is _PREFLIGHT:
        is_private = facts.request.headers.get("access-control-request-private-network") == "true"
        return bool(facts.asked_headers), is_private and facts.rule is not None and facts.rule.allow_private_network
    versions = facts.group.versions if facts.group else None
    version = versions.get(facts.version) if versions else None
    if version is None or facts.group is None or facts.route is None:
        return ()
    is_early = version.deprecated is not None and decision.now < version.deprecated
    is_late = version.sunset is not None and decision.now >= version.sunset
    return facts.group.index, facts.version, facts.route.version_in_path is not None, is_early, is_late


def _of_end(decision: Decision, masked: tuple[str, ...], share: float) -> dict[str, object]:
    facts = decision.facts
    optional: dict[str, object] = {
        "injected": _injected(decision),
        "revision": facts.policy.revision if facts else "",
        "masked": masked if facts else (),
        "share": share if decision.outcome in EXPENDABLE and share < 1 else None,
    }
    return {
        "kind": _KIND,
        "outcome": decision.outcome.value,
        "reason": decision.reason.value,
        "status": decision.status,
        "shadow": decision.shadow,
        **{name: value for name, value in optional.items() if value},
    }


def _injected(decision: Decision) -> list[str]:
    answer = whole(decision, DECISION_ID)
    return sorted({header.name for header in (*answer.to_client, *answer.to_upstream) if header.value})


def _decider(known: _Known, decision: Decision) -> bytes:
    """Write who decided, and the end of the line."""
    outcome, _, _, facts, guard, _, _, _ = decision
    if facts is None or facts.group is None:
        return _LINE_END
    group, rule = facts.group, facts.rule
    was_judged = outcome in EXPENDABLE
    key = (group.index, rule.index if rule else -1, guard.name if guard else "", was_judged, facts.kind is _PREFLIGHT)
    return known.deciders.get(key) or _remember(known.deciders, key, _written(_of_decider(decision, group)) + _LINE_END)


def _of_decider(decision: Decision, group: ResourceGroup) -> dict[str, object]:
    rule = decision.rule
    guards = [{"name": name, "verdict": verdict.value} for name, verdict in judge_guards(decision)]
    optional: dict[str, object] = {
        "rule": rule.name if rule else "",
        "guards": guards,
        "justification": _justification(decision.guard or rule or group),
    }
    return {"group": group.name, **{name: value for name, value in optional.items() if value}}


def _justification(by: Guard | Rule | ResourceGroup) -> dict[str, str]:
    """Quote the guard that objected, else the rule that decided, else the group."""
    at = f"{by.place.file}:{by.place.line}"
    return {"text": by.description, "at": at} if by.description else {"at": at}


def _written(constant: dict[str, object]) -> bytes:
    """Write the names and values of an object that stand behind others."""
    return b"," + _dumped(constant)[1:]


def _no_policy() -> None:
    """Give the policy that is known before the first decision."""
