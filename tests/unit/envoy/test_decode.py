"""CheckRequest bytes to requests: both forms of headers, bytes that are none, names that pretend to be ours."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from cors_authz._gen.wire.external_auth_pb2 import (
    Address,
    AttributeContext,
    CheckRequest,
    HeaderMap,
    HeaderValue,
    Metadata,
    SocketAddress,
)
from cors_authz.envoy.decode import decode
from cors_authz.fetch.request import Request

Http = AttributeContext.HttpRequest
Peer = AttributeContext.Peer


def message(http: AttributeContext.HttpRequest, **attributes: object) -> bytes:
    """Serialize a CheckRequest around an HTTP request."""
    request = AttributeContext.Request(http=http)
    context = AttributeContext(request=request, **attributes)  # type: ignore[arg-type]
    return CheckRequest(attributes=context).SerializeToString()


def raw(*fields: tuple[str, bytes]) -> AttributeContext.HttpRequest:
    """Give an HTTP request whose headers are bytes."""
    return Http(header_map=HeaderMap(headers=[HeaderValue(key=key, raw_value=value) for key, value in fields]))


def metadata(**of_filter: object) -> Metadata:
    return Metadata(filter_metadata={"a.filter": ParseDict(of_filter, Struct())})


def test_a_whole_request() -> None:
    http = Http(
        method="POST",
        scheme="https",
        host="api.example:8443",
        path="/a?b=c",
        headers={"origin": "https://web.example", ":path": "/a?b=c", "x-a": "1,2"},
    )
    source = Peer(address=Address(socket_address=SocketAddress(address="10.0.0.1")), principal="spiffe://mesh/a")
    context = metadata(text="a", number=1, flag=True, nothing=None, items=["a", 2, ["b"]], within={"b": {"c": "d"}})
    read = decode(message(http, source=source, metadata_context=context, route_metadata_context=metadata(tenant="t")))
    assert read is not None
    assert read._replace(headers=dict(read.headers)) == Request(
        method="POST",
        scheme="https",
        host="api.example:8443",
        target="/a?b=c",
        headers={"origin": "https://web.example", ":path": "/a?b=c", "x-a": "1,2"},
        source="10.0.0.1",
        principal="spiffe://mesh/a",
        metadata={
            "a.filter": {
                "text": "a",
                "number": 1.0,
                "flag": True,
                "nothing": None,
                "items": ("a", 2.0, ("b",)),
                "within": {"b": {"c": "d"}},
            }
        },
        route_metadata={"a.filter": {"tenant": "t"}},
        spoofed=(),
    )


def test_an_empty_request_is_one() -> None:
    assert decode(message(Http())) == Request("", "", "", "", {})


RAW = {
    "bytes": (raw(("origin", b"https://a.example")), {"origin": "https://a.example"}),
    "bytes that are no UTF-8": (raw(("origin", b"https://\xe9.example")), {"origin": "https://\u00e9.example"}),
    "bytes of UTF-8 are not put together": (raw(("x", "\u212a".encode())), {"x": "\u00e2\u0084\u00aa"}),
    "names in upper case": (raw(("Origin", b"a")), {"origin": "a"}),
    "names that repeat": (raw(("x", b"1"), ("y", b"2"), ("X", b"3")), {"x": "1,3", "y": "2"}),
    "an empty value that repeats": (raw(("x", b""), ("x", b"")), {"x": ","}),
    "a value that is no bytes": (
        Http(header_map=HeaderMap(headers=[HeaderValue(key="x", value="1")])),
        {"x": "1"},
    ),
    "text comes first": (
        Http(headers={"x": "1"}, header_map=HeaderMap(headers=[HeaderValue(key="x", raw_value=b"2")])),
        {"x": "1"},
    ),
}


@pytest.mark.parametrize(("http", "then"), RAW.values(), ids=RAW)
def test_headers(http: AttributeContext.HttpRequest, then: dict[str, str]) -> None:
    read = decode(message(http))
    assert read is not None
    assert dict(read.headers) == then


BAD = {
    "nothing": b"",
    "no message": b"\xff\xff\xff",
    "a message that ends too early": message(Http(method="GET"))[:-1],
    "text that is no UTF-8": message(Http(method="AAAA")).replace(b"AAAA", b"\xff\xfe\xfd\xfc"),
    "no attributes": CheckRequest().SerializeToString(),
    "no request": CheckRequest(attributes=AttributeContext()).SerializeToString(),
    "no HTTP": CheckRequest(attributes=AttributeContext(request=AttributeContext.Request())).SerializeToString(),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_what_holds_no_request_is_none(data: bytes) -> None:
    assert decode(data) is None


SPOOFED: dict[str, tuple[AttributeContext.HttpRequest, tuple[str, ...]]] = {
    "our prefix": (Http(headers={"x-cors-authz-tenant": "a"}), ("x-cors-authz-tenant",)),
    "underscores": (Http(headers={"x_cors_authz_tenant": "a"}), ("x_cors_authz_tenant",)),
    "mixed": (Http(headers={"x-cors_authz-roles": "a"}), ("x-cors_authz-roles",)),
    "upper case in bytes": (raw(("X-CORS-AUTHZ-Roles", b"a")), ("x-cors-authz-roles",)),
    "the word in a value": (Http(headers={"x-a": "x-cors-authz-tenant"}), ()),
    "the word in another name": (Http(headers={"authz": "a"}), ()),
}


@pytest.mark.parametrize(("http", "then"), SPOOFED.values(), ids=SPOOFED)
def test_spoofed_names(http: AttributeContext.HttpRequest, then: tuple[str, ...]) -> None:
    read = decode(message(http))
    assert read is not None
    assert read.spoofed == then
