"""What Envoy's official messages say, printed as JSON: run by an interpreter that has xds-protos, never imported.

Our messages and the official ones cannot share an environment: xds-protos installs a top-level package `envoy`, and so
does the distribution that brings the Envoy of the integration tests.

Reads {"describe": [message], "encode": [[message, tree]], "decode": [[message, base64]]} from the standard input and
writes {"describe": {message: description}, "encode": [base64], "decode": [tree]} to the standard output. A tree is
protobuf's JSON form with the names of the .proto file and numbers for enums.
"""

from __future__ import annotations

import base64
import importlib
import json
import sys
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

MODULES = (
    "envoy.service.accesslog.v3.als_pb2",
    "envoy.service.auth.v3.attribute_context_pb2",
    "envoy.service.auth.v3.external_auth_pb2",
)


def official(name: str) -> type[Message]:
    """Return the official class of a message by its full name."""
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    return message_factory.GetMessageClass(descriptor)


def describe(name: str) -> dict[str, dict[str, Any]]:
    """Return what the wire depends on, by the name of the field."""
    return {
        field.name: {
            "number": field.number,
            "type": field.type,
            "repeated": field.is_repeated,
            "message": field.message_type.full_name if field.message_type else None,
            "enum": {value.name: value.number for value in field.enum_type.values} if field.enum_type else None,
            "oneof": field.containing_oneof.name if field.containing_oneof else None,
        }
        for field in official(name).DESCRIPTOR.fields
    }


def encode(name: str, tree: dict[str, Any]) -> str:
    """Fill an official message and return its bytes; a name that it does not have is an error."""
    return base64.b64encode(json_format.ParseDict(tree, official(name)()).SerializeToString()).decode()


def decode(name: str, encoded: str) -> dict[str, Any]:
    """Read bytes as an official message; fields that it does not have are missing in the tree."""
    message = official(name).FromString(base64.b64decode(encoded))
    tree: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, use_integers_for_enums=True
    )
    return tree


def main() -> None:
    """Answer one request."""
    for module in MODULES:
        importlib.import_module(module)
    asked = json.load(sys.stdin)
    answer = {
        "describe": {name: describe(name) for name in asked["describe"]},
        "encode": [encode(name, tree) for name, tree in asked["encode"]],
        "decode": [decode(name, encoded) for name, encoded in asked["decode"]],
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
