"""An upstream that remembers what reached it: what stands behind Envoy in the demo and the integration tests."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import MappingProxyType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

from cors_authz.envoy.address import Address

_WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLOSE_NORMALLY = b"\x88\x02\x03\xe8"
_ANY_PORT = Address("127.0.0.1", 0)
_NO_HEADERS: Mapping[str, Sequence[tuple[str, str]]] = MappingProxyType({})


class Page(NamedTuple):
    """What the upstream serves at one place."""

    content_type: str
    body: bytes


_NO_PAGES: Mapping[tuple[str, str], Page] = MappingProxyType({})


class Seen(NamedTuple):
    """A request that reached the upstream: names of headers as they came, in their order."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """Return the first value of a header, None if it was not sent; case does not matter."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Upstream:
    """A threaded HTTP/1.1 server, running while its `with` block runs.

    It answers a page where it has one, 101 to a WebSocket and a JSON echo of the request to all else, with 200.

    Args:
        address: Where to listen; port 0 lets the system choose.
        pages: Pages by host (without port) and path (without query).
        extra_headers: Further response headers by path, for upstreams that speak CORS of their own.

    Raises:
        OSError: The address is in use.
    """

    def __init__(
        self,
        address: Address = _ANY_PORT,
        pages: Mapping[tuple[str, str], Page] = _NO_PAGES,
        extra_headers: Mapping[str, Sequence[tuple[str, str]]] = _NO_HEADERS,
    ) -> None:
        self._pages = pages
        self._extra_headers = extra_headers
        self._seen: list[Seen] = []
        self._lock = Lock()
        self._server = _Server((address.host, address.port), self)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def address(self) -> Address:
        """Where the server is bound."""
        return Address(str(self._server.server_address[0]), self._server.server_port)

    def requests(self) -> tuple[Seen, ...]:
        """Return all that came since the start or the last `clear`, in the order of arrival."""
        with self._lock:
            return tuple(self._seen)

    def clear(self) -> None:
        """Forget what came so far."""
        with self._lock:
            self._seen.clear()

    def record(self, seen: Seen) -> None:
        """Remember a request."""
        with self._lock:
            self._seen.append(seen)

    def page(self, seen: Seen) -> Page:
        """Return the page for a request, or the echo of it."""
        host = urlsplit(f"//{seen.header('host') or ''}").hostname or ""
        page = self._pages.get((host, _path(seen)))
        echo = {"method": seen.method, "path": seen.path, "headers": seen.headers}
        return page or Page("application/json", json.dumps(echo).encode())

    def extra_headers(self, seen: Seen) -> Sequence[tuple[str, str]]:
        """Return the further response headers for a request."""
        return self._extra_headers.get(_path(seen), ())


def _path(seen: Seen) -> str:
    return seen.path.partition("?")[0]


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], upstream: Upstream) -> None:
        super().__init__(address, _Handler)
        self.upstream = upstream

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Tell of our own faults only: that Envoy resets a connection when its client goes is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._drain()
        seen = Seen(self.command, self.path, tuple(self.headers.items()))
        self.server.upstream.record(seen)
        key = seen.header("sec-websocket-key")
        if key and (seen.header("upgrade") or "").lower() == "websocket":
            self._open_websocket(seen, key)
        else:
            self._answer(seen)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_QUERY = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Stay silent: what came is asked for by `requests`."""

    def _drain(self) -> None:
        """Read the body, or its bytes would be taken for the next request of the connection."""
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().partition(b";")[0], 16):
                self.rfile.read(size + len(b"\r\n"))
            while self.rfile.readline().strip():
                pass
        else:
            self.rfile.read(int(self.headers.get("content-length", "0")))

    def _answer(self, seen: Seen) -> None:
        page = self.server.upstream.page(seen)
        self.send_response(HTTPStatus.OK)
        self.send_header("content-type", page.content_type)
        self.send_header("content-length", str(len(page.body)))
        self._send_extra_headers(seen)
        if seen.method != "HEAD":
            self.wfile.write(page.body)

    def _open_websocket(self, seen: Seen, key: str) -> None:
        """Accept, then close at once: https://datatracker.ietf.org/doc/html/rfc6455#section-4.2.2."""
        accept = base64.b64encode(hashlib.sha1(f"{key}{_WEBSOCKET_GUID}".encode()).digest())  # noqa: S324 - RFC 6455's choice
        self.send_response(HTTPStatus.SWITCHING_PROTOCOLS)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        self.send_header("sec-websocket-accept", accept.decode())
        self._send_extra_headers(seen)
        self.wfile.write(_CLOSE_NORMALLY)
        self.close_connection = True

    def _send_extra_headers(self, seen: Seen) -> None:
        for name, value in self.server.upstream.extra_headers(seen):
            self.send_header(name, value)
        self.end_headers()
