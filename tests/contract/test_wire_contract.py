"""Our messages against Envoy's official ones, in both directions, for every field that our .proto declares.

`CORS_AUTHZ_ORACLE_PYTHON` names the interpreter of an environment with xds-protos==1.85.0:

    python -m venv .venv-oracle && .venv-oracle/bin/pip install xds-protos==1.85.0
    CORS_AUTHZ_ORACLE_PYTHON=.venv-oracle/bin/python python -m pytest tests/contract
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass

from cors_authz._gen.wire import access_log_pb2, external_auth_pb2

ORACLE = os.environ.get("CORS_AUTHZ_ORACLE_PYTHON", "")
needs_oracle = pytest.mark.skipif(
    not ORACLE, reason="CORS_AUTHZ_ORACLE_PYTHON names no interpreter with xds-protos==1.85.0"
)

OURS = "cors_authz.wire."
OFFICIAL = {
    "AccessLogCommon": "envoy.data.accesslog.v3.AccessLogCommon",
    "Address": "envoy.config.core.v3.Address",
    "AttributeContext": "envoy.service.auth.v3.AttributeContext",
    "CheckRequest": "envoy.service.auth.v3.CheckRequest",
    "CheckResponse": "envoy.service.auth.v3.CheckResponse",
    "DeniedHttpResponse": "envoy.service.auth.v3.DeniedHttpResponse",
    "HTTPAccessLogEntry": "envoy.data.accesslog.v3.HTTPAccessLogEntry",
    "HTTPRequestProperties": "envoy.data.accesslog.v3.HTTPRequestProperties",
    "HTTPResponseProperties": "envoy.data.accesslog.v3.HTTPResponseProperties",
    "HeaderMap": "envoy.config.core.v3.HeaderMap",
    "HeaderValue": "envoy.config.core.v3.HeaderValue",
    "HeaderValueOption": "envoy.config.core.v3.HeaderValueOption",
    "HttpStatus": "envoy.type.v3.HttpStatus",
    "Metadata": "envoy.config.core.v3.Metadata",
    "OkHttpResponse": "envoy.service.auth.v3.OkHttpResponse",
    "ResponseFlags": "envoy.data.accesslog.v3.ResponseFlags",
    "SocketAddress": "envoy.config.core.v3.SocketAddress",
    "Status": "google.rpc.Status",
    "StreamAccessLogsMessage": "envoy.service.accesslog.v3.StreamAccessLogsMessage",
    "TCPAccessLogEntry": "envoy.data.accesslog.v3.TCPAccessLogEntry",
}
ENUM_AS_NUMBER = {
    "cors_authz.wire.AccessLogCommon.access_log_type",
    "cors_authz.wire.HTTPRequestProperties.request_method",
    "cors_authz.wire.HttpStatus.code",
}
"""Enums that we read as int32: the same varint, and every number passes."""

Tree = dict[str, Any]


def official_name(ours: str) -> str:
    """Translate the full name of a message; what is not ours (google.protobuf.Struct) is official already."""
    if not ours.startswith(OURS):
        return ours
    outer, dot, inner = ours.removeprefix(OURS).partition(".")
    return f"{OFFICIAL[outer]}{dot}{inner}"


def ask(describe: list[str], encode: list[tuple[str, Tree]], decode: list[tuple[str, str]]) -> dict[str, Any]:
    script = Path(__file__).with_name("oracle.py")
    question = json.dumps({"describe": describe, "encode": encode, "decode": decode})
    done = subprocess.run([ORACLE, str(script)], input=question, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def reachable(root: Descriptor) -> dict[str, Descriptor]:
    """Find every message of ours below a root, map entries included."""
    found: dict[str, Descriptor] = {}
    waiting = [root]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name.startswith(OURS) and descriptor.full_name not in found:
            found[descriptor.full_name] = descriptor
            waiting += [field.message_type for field in descriptor.fields if field.message_type]
    return found


FILES = (external_auth_pb2.DESCRIPTOR, access_log_pb2.DESCRIPTOR)
TOP_LEVEL = {name: descriptor for file in FILES for name, descriptor in file.message_types_by_name.items()}
ROOTS = [TOP_LEVEL[name] for name in ("CheckRequest", "CheckResponse", "StreamAccessLogsMessage")]
MESSAGES = {name: descriptor for root in ROOTS for name, descriptor in reachable(root).items()}


def test_every_message_of_the_file_is_compared() -> None:
    top_level = {descriptor.full_name for descriptor in TOP_LEVEL.values()}

    assert (top_level - MESSAGES.keys(), {f"{OURS}{name}" for name in OFFICIAL} ^ top_level) == (set(), set())


def description(field: FieldDescriptor) -> Tree:
    """Describe a field of ours in the official words."""
    as_enum = field.full_name in ENUM_AS_NUMBER
    return {
        "number": field.number,
        "type": FieldDescriptor.TYPE_ENUM if as_enum else field.type,
        "repeated": field.is_repeated,
        "message": official_name(field.message_type.full_name) if field.message_type else None,
        "enum": {value.name: value.number for value in field.enum_type.values} if field.enum_type else None,
        "oneof": field.containing_oneof.name if field.containing_oneof else None,
    }


def without_what_we_drop(official: Tree, ours: FieldDescriptor) -> Tree:
    """Drop the official facts that do not travel: the names of an enum's numbers, the choice around a lone field."""
    as_number = official["type"] == FieldDescriptor.TYPE_ENUM and ours.enum_type is None
    lone = ours.containing_oneof is None
    return official | ({"enum": None} if as_number else {}) | ({"oneof": None} if lone else {})


@needs_oracle
def test_every_field_has_its_counterpart_of_the_same_name_number_and_type() -> None:
    described = ask([official_name(name) for name in MESSAGES], [], [])["describe"]

    for name, descriptor in MESSAGES.items():
        official = described[official_name(name)]
        assert {field.name: description(field) for field in descriptor.fields} == {
            field.name: without_what_we_drop(official[field.name], field)
            for field in descriptor.fields
            if field.name in official
        }, name


def scalar(field: FieldDescriptor) -> object:
    """Return a value that is not the default, another one for another field where the type leaves room."""
    by_type: dict[int, object] = {
        FieldDescriptor.TYPE_STRING: f"{field.full_name} é",
        FieldDescriptor.TYPE_BYTES: base64.b64encode(b"\xe9\x00" + field.name.encode()).decode(),
        FieldDescriptor.TYPE_INT32: 200 + field.number,
        FieldDescriptor.TYPE_UINT32: 65000 + field.number,
        FieldDescriptor.TYPE_BOOL: True,
    }
    if field.enum_type:
        return max(value.number for value in field.enum_type.values)
    return by_type[field.type]


WELL_KNOWN: dict[str, Any] = {
    "google.protobuf.Duration": "1.002345678s",
    "google.protobuf.Struct": {"text": "é", "number": 1.5, "flag": True, "none": None, "list": [1.0, {"deep": "x"}]},
    "google.protobuf.Timestamp": "2026-11-21T19:39:44.177291Z",
    "google.protobuf.UInt32Value": 503,
}
"""A sample of each message that protobuf itself brings, in its JSON form."""


def sample(descriptor: Descriptor, member: int) -> Any:  # noqa: ANN401 - JSON
    """Set every field of a message, and below it; of the members of a oneof the one with this index."""
    if descriptor.full_name in WELL_KNOWN:
        return WELL_KNOWN[descriptor.full_name]
    return {field.name: value(field, member) for field in descriptor.fields if is_chosen(field, member)}


def is_chosen(field: FieldDescriptor, member: int) -> bool:
    oneof = field.containing_oneof
    return oneof is None or oneof.fields[member % len(oneof.fields)] is field


def value(field: FieldDescriptor, member: int) -> object:
    message = field.message_type
    if message is None:
        return [scalar(field), scalar(field)] if field.is_repeated else scalar(field)
    if message.GetOptions().map_entry:
        held = message.fields_by_name["value"]
        return {"one": value(held, member), "two é": value(held, member)}
    return [sample(message, member)] * 2 if field.is_repeated else sample(message, member)


def samples() -> Iterator[tuple[Descriptor, Tree]]:
    """Give messages that together set every field that we declare."""
    for root in ROOTS:
        oneofs: list[OneofDescriptor] = [oneof for each in reachable(root).values() for oneof in each.oneofs]
        for member in range(max((len(oneof.fields) for oneof in oneofs), default=1)):
            yield root, sample(root, member)


@needs_oracle
def test_what_envoy_encodes_we_read_field_by_field() -> None:
    given = list(samples())

    encoded = ask([], [(official_name(root.full_name), tree) for root, tree in given], [])["encode"]

    for (root, tree), text in zip(given, encoded, strict=True):
        message = GetMessageClass(root).FromString(base64.b64decode(text))
        assert MessageToDict(message, preserving_proto_field_name=True, use_integers_for_enums=True) == tree


@needs_oracle
def test_what_we_encode_envoy_reads_field_by_field() -> None:
    given = list(samples())
    encoded = [
        base64.b64encode(ParseDict(tree, GetMessageClass(root)()).SerializeToString()).decode() for root, tree in given
    ]

    names = [official_name(root.full_name) for root, _ in given]
    decoded = ask([], [], list(zip(names, encoded, strict=True)))["decode"]

    assert decoded == [tree for _, tree in given]


def test_every_field_that_we_declare_is_set_by_a_sample() -> None:
    unset = {field.full_name for descriptor in MESSAGES.values() for field in descriptor.fields}
    for root, tree in samples():
        unset -= set(names_set(root, tree))

    assert unset == set()


def names_set(descriptor: Descriptor, tree: Tree) -> Iterator[str]:
    """Give the full names of the fields that a tree sets."""
    for name, held in tree.items():
        field = descriptor.fields_by_name[name]
        yield field.full_name
        message = field.message_type
        if message is None or not message.full_name.startswith(OURS):
            continue
        if message.GetOptions().map_entry:
            entry = {"key": next(iter(held)), "value": next(iter(held.values()))}
            yield from names_set(message, entry)
        else:
            yield from names_set(message, held[0] if field.is_repeated else held)
