"""A CheckRequest as people keep it: the bytes that Envoy sent, or the text form that its tools print."""

from __future__ import annotations

from google.protobuf import text_format

from cors_authz._gen.wire.external_auth_pb2 import CheckRequest
from cors_authz.envoy.decode import decode
from cors_authz.fetch.request import Request


def read_captured(data: bytes) -> Request | None:
    """Read a `envoy.service.auth.v3.CheckRequest`, binary or as text proto; which one, the data shows.

    The text may hold fields of Envoy's message that this service does not read.

    Returns: the request; None for data that is neither, or holds no HTTP request. Never raises.
    Spec: https://protobuf.dev/reference/protobuf/textformat-spec/.
    """
    try:
        message = text_format.Parse(data.decode(), CheckRequest(), allow_unknown_field=True)
    except (UnicodeDecodeError, text_format.ParseError, RecursionError):
        return decode(data)
    return decode(message.SerializeToString())
