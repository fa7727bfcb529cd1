"""CheckRequest bytes to a request. Nothing is judged here, and nothing that Envoy may send makes it fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value

from cors_authz._gen.wire.external_auth_pb2 import AttributeContext, CheckRequest, Metadata
from cors_authz.fetch.request import Request, spoofed_names
from cors_authz.policy.compiled import Surroundings

# What every name that an upstream could take for ours contains. Looked for in the bytes, so that ordinary requests do
# not pay for a walk over their headers. Lower case is enough: Envoy lowers the names of all headers but raw ones.
_SPOOF_MARK: Final = b"authz"
_ALL: Final = Surroundings()
_NO_METADATA: Final[Mapping[str, Mapping[str, object]]] = {}


def decode(raw: bytes, surroundings: Surroundings = _ALL) -> Request | None:
    """Read a serialized `envoy.service.auth.v3.CheckRequest`.

    `headers` and, with `encode_raw_headers`, `header_map` are read alike; bytes of raw values are taken as Latin-1.
    What the surroundings leave out is not read.

    Returns: the request; None for bytes that are no CheckRequest or hold no HTTP request. Never raises.
    """
    try:
        attributes = CheckRequest.FromString(raw).attributes
    except DecodeError:
        return None
    request = attributes.request
    http = request.http
    if not http.method and not request.HasField("http"):
        return None
    headers: Mapping[str, str] = http.headers
    is_suspicious = raw.find(_SPOOF_MARK) >= 0
    if not headers and http.HasField("header_map"):
        headers, is_suspicious = _raw_headers(http), True
    return Request(
        http.method,
        http.scheme,
        http.host,
        http.path,
        headers,
        attributes.source.address.socket_address.address if surroundings.source else "",
        attributes.source.principal if surroundings.principal else "",
        _metadata(attributes.metadata_context) if surroundings.metadata else _NO_METADATA,
        _metadata(attributes.route_metadata_context) if surroundings.metadata else _NO_METADATA,
        spoofed_names(headers) if is_suspicious else (),
    )


def _raw_headers(http: AttributeContext.HttpRequest) -> Mapping[str, str]:
    lines: dict[str, list[str]] = {}
    for field in http.header_map.headers:
        lines.setdefault(field.key.lower(), []).append(field.raw_value.decode("latin-1") or field.value)
    return {name: ",".join(values) for name, values in lines.items()}


def _metadata(metadata: Metadata) -> Mapping[str, Mapping[str, object]]:
    return {name: _plain_struct(struct) for name, struct in metadata.filter_metadata.items()}


def _plain_struct(struct: Struct) -> Mapping[str, object]:
    return {name: _plain(value) for name, value in struct.fields.items()}


def _plain(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain_struct(value.struct_value)
    if kind == "list_value":
        return tuple(_plain(item) for item in value.list_value.values)
    return None if kind in {None, "null_value"} else getattr(value, kind)
