"""HTTP/2 by hand, to say what no client library would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from random import Random
from socket import create_connection, socket
from struct import pack
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS = 0x0, 0x1, 0x4
_END_STREAM, _END_HEADERS = 0x1, 0x4
_INITIAL_WINDOW_SIZE: Final = 0x4
_SECONDS: Final = 2.0


def hello(initial_window: int = 65535) -> bytes:
    """Open a connection, and say how much of each answer we are willing to take."""
    return PREFACE + frame(_SETTINGS, 0, 0, pack(">HI", _INITIAL_WINDOW_SIZE, initial_window))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Write one frame. Spec: https://www.rfc-editor.org/rfc/rfc9113#section-4.1."""
    return pack(">I", len(payload))[1:] + pack(">BBI", kind, flags, stream) + payload


def call(stream: int, method: str, message: bytes) -> bytes:
    """Write a whole gRPC call on a stream. Spec: https://grpc.github.io/grpc/core/md_doc__p_r_o_t_o_c_o_l-_h_t_t_p2.html."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "authz",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    prefixed = pack(">BI", 0, len(message)) + message
    return frame(_HEADERS, _END_HEADERS, stream, _block(fields)) + frame(_DATA, _END_STREAM, stream, prefixed)


def garbage(random: Random) -> bytes:
    """Draw what is no HTTP/2: noise, noise after a good beginning, or frames of any kind with noise in them."""
    noise = random.randbytes(random.randrange(1, 2000))
    beginning = random.choice((b"", PREFACE, hello(), b"GET / HTTP/1.1\r\n\r\n"))
    kind, flags, stream = random.randrange(12), random.randrange(256), random.randrange(16)
    return beginning + random.choice((noise, frame(kind, flags, stream, noise)))


@contextmanager
def connected(address: str) -> Iterator[socket]:
    """Connect over TCP."""
    host, _, port = address.rpartition(":")
    with create_connection((host, int(port)), timeout=_SECONDS) as stream:
        yield stream


def received(address: str, data: bytes) -> bytes:
    """Send bytes and give what comes until the server closes or falls silent."""
    answer = b""
    with suppress(OSError), connected(address) as stream:
        stream.settimeout(_SECONDS / 10)
        stream.sendall(data)
        while chunk := stream.recv(65536):
            answer += chunk
    return answer


def _block(fields: Mapping[str, str]) -> bytes:
    # Literals without indexing and without Huffman: https://www.rfc-editor.org/rfc/rfc7541#section-6.2.2.
    return b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields.items())


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
