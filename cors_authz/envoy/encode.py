"""A decision to CheckResponse bytes.

Serialized protobuf messages that are concatenated merge, so an answer is put together from bytes: what follows from
the policy is serialized once, what follows from the request is spliced on. Every answer begins with a status that was
set on purpose, as Envoy reads an absent one as OK.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from cors_authz.envoy.wire import Spliced, delimited, varint_field
from cors_authz.fetch.request import Kind
from cors_authz.pdp.decision import GOES_ON, NO_CONTENT, Decision, Outcome, Reason
from cors_authz.pdp.reasons import mend_of
from cors_authz.pdp.response import (
    ALLOW_ORIGIN,
    DECISION_ID,
    GROUP_HEADER,
    NOBODY,
    Answer,
    Caller,
    Header,
    caller_part,
    constant_part,
    delivery,
    echoed_origin,
    request_part,
    told_caller,
    told_origin_group,
)
from cors_authz.policy.compiled import CompiledPolicy, ResourceGroup, Rule

_OK: Final = 0
_PERMISSION_DENIED: Final = 7
_UNAVAILABLE: Final = 14
_UNAUTHENTICATED: Final = 16

# Field numbers of envoy.service.auth.v3.CheckResponse and the messages in it.
_STATUS: Final = 1
_DENIED_RESPONSE: Final = 2
_OK_RESPONSE: Final = 3
_DYNAMIC_METADATA: Final = 4
_ERROR_RESPONSE: Final = 5
_DENIED_HEADERS: Final = 2
_OK_TO_UPSTREAM: Final = 2
_OK_TO_REMOVE: Final = 5
_OK_TO_CLIENT: Final = 6

# Bound here since, on Python 3.11, a member costs more to look up than a header.
_PREFLIGHT: Final = Kind.PREFLIGHT

_GRANTED: Final = frozenset({GOES_ON, NO_CONTENT})
_CONSTANT_ORIGINS: Final = frozenset({"", "*"})

_MAX_CONSTANTS: Final = 131_072
_MAX_CACHED_VALUE: Final = 256
_FORBIDDEN_IN_VALUES: Final = frozenset(map(chr, (*range(9), *range(10, 32), 127)))


_Key: TypeAlias = Reason | tuple[Reason, bool, int, int, bool] | tuple[Reason, bool, int, int, int, str, str, str]
"""All that the constant part of an answer follows from; nothing of it is what a client may write as it likes."""


class _Constant(NamedTuple):
    """What decisions of one key have in common: their answer, cut where the id stands, and what is spliced on.

    `echo` is the envelope in which the origin is told, 0 where it is not; `awaits_origin` says that the client should
    get it, which holds in shadow too.
    """

    pieces: tuple[bytes, ...]
    echo: int
    awaits_origin: bool
    tells_origin_group: bool
    tells_caller: bool


class Encoder:
    """Encodes the decisions under one policy."""

    def __init__(self, policy: CompiledPolicy | None) -> None:
        self._revision = policy.revision if policy else ""
        self._constants: dict[_Key, _Constant] = {}
        self._names_of_groups = [b""] * (len(policy.groups) if policy else 0)
        self._names_of_rules = [b""] * (sum(len(group.rules) for group in policy.groups) if policy else 0)

    def encode(self, decision: Decision, decision_id: str) -> bytes:
        """Serialize the answer to a decision.

        Args:
            decision: the decision.
            decision_id: its id, 32 characters of `[0-9a-f]`.

        Returns: an `envoy.service.auth.v3.CheckResponse` whose status is set.
        Raises: ValueError for a header that would break out of its line.
        """
        key = _key_of(decision)
        pieces, echo, awaits_origin, tells_origin_group, tells_caller = self._constants.get(key) or self._remember(
            key, decision
        )
        answer = [decision_id.encode("ascii").join(pieces)]
        facts = decision.facts
        if facts is None:
            return answer[0] + _NO_NAMES
        answer.append(self._named(facts.group, facts.rule))
        if echo:
            answer.append(_echo(echo, facts.origin))
        if awaits_origin:
            answer.append(_AWAITED_ORIGIN.with_text(facts.origin))
        if tells_origin_group and facts.standing:
            answer.append(_ORIGIN_GROUP.with_text(facts.standing.membership.group))
        if tells_caller:
            answer.append(_caller(facts.tenant, facts.version, decision.roles))
        if facts.version or facts.request.spoofed or facts.kind is _PREFLIGHT:
            answer.append(_response(decision, request_part(decision)))
        return b"".join(answer)

    def _remember(self, key: _Key, decision: Decision) -> _Constant:
        if len(self._constants) >= _MAX_CONSTANTS:
            self._constants.clear()
        constant = self._constants[key] = _Constant(
            tuple(_constant(decision, self._revision).split(DECISION_ID.encode("ascii"))),
            _envelope(decision) if echoed_origin(decision) else 0,
            delivery(decision).allow_origin not in _CONSTANT_ORIGINS,
            bool(told_origin_group(decision)),
            told_caller(decision) is not NOBODY,
        )
        return constant

    def _named(self, group: ResourceGroup | None, rule: Rule | None) -> bytes:
        if group is None:
            return _NO_NAMES
        known, index = (self._names_of_rules, rule.index) if rule else (self._names_of_groups, group.index)
        names = known[index]
        if not names:
            names = known[index] = _names_part(group.name, rule.name if rule else "")
        return names


def _key_of(decision: Decision) -> _Key:
    _outcome, reason, status, facts, _guard, roles, shadow, _now = decision
    if facts is None:
        return reason
    group, rule = facts.group, facts.rule
    look = group.look if group else -1
    if status in _GRANTED:
        return reason, shadow, look, rule.look if rule else -1, not (roles or facts.version or facts.tenants)
    reader, is_preflight = decision.reader, facts.kind is _PREFLIGHT
    if group is None or reader is None or is_preflight:
        return reason, shadow, look, status, is_preflight
    # What the problem document that the reader gets quotes of the policy.
    return reason, shadow, look, status, reader.look, mend_of(decision), group.docs, group.contact


def _constant(decision: Decision, revision: str) -> bytes:
    return b"".join(
        (
            delimited(_STATUS, varint_field(1, _grpc_code(decision))),
            delimited(_envelope(decision), _http_status(decision)),
            _response(decision, constant_part(decision)),
            delimited(_DYNAMIC_METADATA, _dynamic_metadata(decision, revision)),
        )
    )


def _grpc_code(decision: Decision) -> int:
    if decision.shadow or decision.outcome is Outcome.ALLOW:
        return _OK
    if decision.outcome is Outcome.ERROR:
        return _UNAVAILABLE
    return _UNAUTHENTICATED if decision.status == 401 else _PERMISSION_DENIED  # noqa: PLR2004 - Unauthorized


def _envelope(decision: Decision) -> int:
    if decision.shadow or decision.outcome is Outcome.ALLOW:
        return _OK_RESPONSE
    return _ERROR_RESPONSE if decision.outcome is Outcome.ERROR else _DENIED_RESPONSE


def _http_status(decision: Decision) -> bytes:
    if _envelope(decision) == _OK_RESPONSE:
        return b""
    return delimited(1, varint_field(1, decision.status))


def _caller(tenant: str, version: str, roles: tuple[str, ...]) -> bytes:
    if len(tenant) + len(version) > _MAX_CACHED_VALUE:
        return _serialize_caller(tenant, version, roles)
    return _cached_caller(tenant, version, roles)


def _serialize_caller(tenant: str, version: str, roles: tuple[str, ...]) -> bytes:
    return _parts(_OK_RESPONSE, caller_part(Caller(tenant, version, roles)))


_cached_caller = lru_cache(maxsize=4096)(_serialize_caller)


def _response(decision: Decision, answer: Answer) -> bytes:
    return _parts(_envelope(decision), answer)


def _parts(envelope: int, answer: Answer) -> bytes:
    if envelope == _OK_RESPONSE:
        parts = [_header(_OK_TO_CLIENT, header) for header in answer.to_client]
        parts += [_header(_OK_TO_UPSTREAM, header) for header in answer.to_upstream]
        parts += [delimited(_OK_TO_REMOVE, name.encode("ascii", "ignore")) for name in answer.removed]
    else:
        parts = [_header(_DENIED_HEADERS, header) for header in answer.to_client]
        # A body with 204 breaks HTTP/2 connections; an answer of ours has one only where the decision gave it one.
        parts += [delimited(3, answer.body.encode())] if answer.body else []
    return delimited(envelope, b"".join(parts)) if parts else b""


def _echo(envelope: int, origin: str) -> bytes:
    if not (origin.isascii() and origin.isprintable()):
        raise ValueError("an origin that no header line can carry")
    return _ECHOES[envelope].with_text(origin)


def _dynamic_metadata(decision: Decision, revision: str) -> bytes:
    texts = {
        "outcome": decision.outcome.value,
        "reason": decision.reason.value,
        "decision_id": DECISION_ID,
        "revision": revision,
    }
    shadow = _struct_field("shadow", varint_field(4, 1)) if decision.shadow else b""
    return b"".join((*(_text_field(name, text) for name, text in texts.items()), shadow, _awaited(decision)))


def _awaited(decision: Decision) -> bytes:
    awaited = delivery(decision)._asdict()
    if awaited["allow_origin"] not in _CONSTANT_ORIGINS:
        del awaited["allow_origin"]
    return b"".join(_text_field(name, text) for name, text in awaited.items() if text)


def _names_part(group: str, rule: str) -> bytes:
    return delimited(_DYNAMIC_METADATA, _text_field("group", group) + _text_field("rule", rule))


def _text_field(name: str, text: str) -> bytes:
    return _struct_field(name, delimited(3, text.encode()))


def _struct_field(name: str, value: bytes) -> bytes:
    return delimited(1, delimited(1, name.encode()) + delimited(2, value))


def _header(number: int, header: Header) -> bytes:
    if len(header.value) > _MAX_CACHED_VALUE:
        return _serialize_header(number, header)
    return _cached_header(number, header)


def _serialize_header(number: int, header: Header) -> bytes:
    if not header.name.isascii() or not _FORBIDDEN_IN_VALUES.isdisjoint(header.value):
        raise ValueError(f"header {header.name!r} has a value that no header line can carry")
    return _header_option(number, header)


def _header_option(number: int, header: Header) -> bytes:
    pair = delimited(1, header.name.encode()) + delimited(2, header.value.encode())
    return delimited(number, delimited(1, pair) + varint_field(3, header.action))


_cached_header = lru_cache(maxsize=8192)(_serialize_header)


def _echo_in(envelope: int, number: int) -> Spliced:
    return Spliced(lambda origin: delimited(envelope, _header_option(number, Header(ALLOW_ORIGIN, origin))))


_ECHOES: Final = {
    _OK_RESPONSE: _echo_in(_OK_RESPONSE, _OK_TO_CLIENT),
    _DENIED_RESPONSE: _echo_in(_DENIED_RESPONSE, _DENIED_HEADERS),
    _ERROR_RESPONSE: _echo_in(_ERROR_RESPONSE, _DENIED_HEADERS),
}
_ORIGIN_GROUP: Final = Spliced(
    lambda name: delimited(_OK_RESPONSE, _header_option(_OK_TO_UPSTREAM, Header(GROUP_HEADER, name)))
)
_AWAITED_ORIGIN: Final = Spliced(lambda origin: delimited(_DYNAMIC_METADATA, _text_field("allow_origin", origin)))
_NO_NAMES: Final = _names_part("", "")
