"""A decision to CheckResponse bytes.

Serialized protobuf messages that are concatenated merge, so an answer is put together from bytes: what follows from
the policy is serialized once, what follows from the request is spliced on. Every answer begins with a status that was
set on purpose, as Envoy reads an absent one as OK.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeAlias

from cors_authz.fetch.request import Kind
from cors_authz.pdp.decision import Decision, Outcome, Reason
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
    echoed_origin,
    request_part,
    told_caller,
    told_origin_group,
)
from cors_authz.policy.compiled import CompiledPolicy

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

_MAX_CONSTANTS: Final = 131_072
_MAX_CACHED_VALUE: Final = 256
_LENGTH_DELIMITED: Final = 2
_VARINT_BITS: Final = 7
_VARINT_MORE: Final = 0x80
_SHORT_VARINTS: Final = tuple(bytes((value,)) for value in range(_VARINT_MORE))
_FORBIDDEN_IN_VALUES: Final = frozenset(map(chr, (*range(9), *range(10, 32), 127)))


# All that the constant part of an answer follows from: reason, status, guard, shadow, whether it is a preflight; group,
# and rule; whether the upstream is told of the caller, and the version that has ended.
_Key: TypeAlias = tuple[Reason, int, str, bool, bool, int, int, bool, str]


class Encoder:
    """Encodes the decisions under one policy."""

    def __init__(self, policy: CompiledPolicy | None) -> None:
        self._revision = policy.revision if policy else ""
        self._constants: dict[_Key | Reason, tuple[bytes, ...]] = {}

    def encode(self, decision: Decision, decision_id: str) -> bytes:
        """Serialize the answer to a decision.

        Args:
            decision: the decision.
            decision_id: its id, 32 characters of `[0-9a-f]`.

        Returns: an `envoy.service.auth.v3.CheckResponse` whose status is set.
        Raises: ValueError for a header that would break out of its line.
        """
        caller = told_caller(decision)
        key = _key_of(decision, caller)
        constant = self._constants.get(key)
        if constant is None:
            constant = self._remember(key, decision)
        spliced = decision_id.encode("ascii").join(constant)
        origin, further = echoed_origin(decision), request_part(decision)
        if origin:
            spliced += _echo(_envelope(decision), origin)
        group = told_origin_group(decision)
        if group:
            spliced += _origin_group(group)
        if caller is not NOBODY:
            is_short = len(caller.tenant) + len(caller.version) <= _MAX_CACHED_VALUE
            spliced += _caller(caller) if is_short else _parts(_OK_RESPONSE, caller_part(caller))
        return spliced + _response(decision, further) if any(further) else spliced

    def _remember(self, key: _Key | Reason, decision: Decision) -> tuple[bytes, ...]:
        if len(self._constants) >= _MAX_CONSTANTS:
            self._constants.clear()
        constant = tuple(_constant(decision, self._revision).split(DECISION_ID.encode("ascii")))
        self._constants[key] = constant
        return constant


def _key_of(decision: Decision, caller: Caller) -> _Key | Reason:
    facts, reason = decision.facts, decision.reason
    if facts is None:
        return reason
    group, standing = facts.group, facts.standing or facts.listed
    return (
        reason,
        decision.status,
        decision.guard.name if decision.guard else "",
        decision.shadow,
        facts.kind is Kind.PREFLIGHT,
        group.index if group else -1,
        (standing.rule.index if facts.standing else -2 - standing.rule.index) if standing else -1,
        caller is NOBODY,
        facts.version if reason is Reason.VERSION_RETIRED else "",
    )


def _constant(decision: Decision, revision: str) -> bytes:
    return b"".join(
        (
            _delimited(_STATUS, _varint_field(1, _grpc_code(decision))),
            _delimited(_envelope(decision), _http_status(decision)),
            _response(decision, constant_part(decision)),
            _delimited(_DYNAMIC_METADATA, _dynamic_metadata(decision, revision)),
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
    return _delimited(1, _varint_field(1, decision.status))


@lru_cache(maxsize=16_384)
def _origin_group(name: str) -> bytes:
    return _delimited(_OK_RESPONSE, _serialize_header(_OK_TO_UPSTREAM, Header(GROUP_HEADER, name)))


@lru_cache(maxsize=4096)
def _caller(caller: Caller) -> bytes:
    return _parts(_OK_RESPONSE, caller_part(caller))


def _response(decision: Decision, answer: Answer) -> bytes:
    return _parts(_envelope(decision), answer)


def _parts(envelope: int, answer: Answer) -> bytes:
    if envelope == _OK_RESPONSE:
        parts = [_header(_OK_TO_CLIENT, header) for header in answer.to_client]
        parts += [_header(_OK_TO_UPSTREAM, header) for header in answer.to_upstream]
        parts += [_delimited(_OK_TO_REMOVE, name.encode("ascii", "ignore")) for name in answer.removed]
    else:
        parts = [_header(_DENIED_HEADERS, header) for header in answer.to_client]
        # A body with 204 breaks HTTP/2 connections; an answer of ours has one only where the decision gave it one.
        parts += [_delimited(3, answer.body.encode())] if answer.body else []
    return _delimited(envelope, b"".join(parts)) if parts else b""


@lru_cache(maxsize=16_384)
def _echo(envelope: int, origin: str) -> bytes:
    to_client = _OK_TO_CLIENT if envelope == _OK_RESPONSE else _DENIED_HEADERS
    return _delimited(envelope, _serialize_header(to_client, Header(ALLOW_ORIGIN, origin)))


def _dynamic_metadata(decision: Decision, revision: str) -> bytes:
    rule = decision.rule
    return b"".join(
        (
            _outcome_metadata(decision.outcome, decision.reason, revision),
            _text_field("group", decision.group.name if decision.group else ""),
            _text_field("rule", rule.name if rule else ""),
            _struct_field("shadow", _varint_field(4, 1)) if decision.shadow else b"",
        )
    )


@lru_cache(maxsize=1024)
def _outcome_metadata(outcome: Outcome, reason: Reason, revision: str) -> bytes:
    texts = {
        "outcome": outcome.value,
        "reason": reason.value,
        "decision_id": DECISION_ID,
        "revision": revision,
    }
    return b"".join(_text_field(name, text) for name, text in texts.items())


def _text_field(name: str, text: str) -> bytes:
    return _struct_field(name, _delimited(3, text.encode()))


def _struct_field(name: str, value: bytes) -> bytes:
    return _delimited(1, _delimited(1, name.encode()) + _delimited(2, value))


def _header(number: int, header: Header) -> bytes:
    if len(header.value) > _MAX_CACHED_VALUE:
        return _serialize_header(number, header)
    return _cached_header(number, header)


def _serialize_header(number: int, header: Header) -> bytes:
    if not header.name.isascii() or not _FORBIDDEN_IN_VALUES.isdisjoint(header.value):
        raise ValueError(f"header {header.name!r} has a value that no header line can carry")
    pair = _delimited(1, header.name.encode()) + _delimited(2, header.value.encode())
    return _delimited(number, _delimited(1, pair) + _varint_field(3, header.action))


_cached_header = lru_cache(maxsize=8192)(_serialize_header)


def _delimited(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(payload)) + payload


def _varint_field(number: int, value: int) -> bytes:
    """Write a varint, or nothing for zero, as proto3 does; the message around it still says that it is there."""
    return _varint(number << 3) + _varint(value) if value else b""


def _varint(value: int) -> bytes:
    return _SHORT_VARINTS[value] if value < _VARINT_MORE else _long_varint(value)


def _long_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= _VARINT_MORE:
        encoded.append(value & (_VARINT_MORE - 1) | _VARINT_MORE)
        value >>= _VARINT_BITS
    encoded.append(value)
    return bytes(encoded)
