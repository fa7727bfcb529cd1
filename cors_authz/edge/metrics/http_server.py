"""Pages over HTTP, by the standard library's server, with what it leaves open: how much a client can take.

Whoever scrapes must not be able to take anything from the checks: neither by asking often, nor by asking slowly, nor by
never reading what it asked for.
"""

from __future__ import annotations

import io
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Lock, Thread
from typing import Any, Final, NamedTuple, TypeAlias, cast

from cors_authz.edge.clock import monotonic_seconds
from cors_authz.edge.metrics.options import SETTING, read_address
from cors_authz.edge.settings_error import SettingsError
from cors_authz.envoy.address import Address

_log = logging.getLogger(__name__)

TEXT: Final = "text/plain; charset=utf-8"

_HEAD_BYTES: Final = 8192
_POLL_SECONDS: Final = 0.25

Accepted: TypeAlias = Any  # a socket; the library's types have datagrams too


class Answer(NamedTuple):
    """What is sent back."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT


class HttpServer(ThreadingTCPServer):
    """Answers requests, each on a thread of its own, one page at a time.

    It listens from the beginning, so that a port that is taken is known before anything is served. It is no
    `http.server.HTTPServer`, which asks the name service for our name: that can take seconds.

    Args:
        address: `host:port`; with port 0 the system chooses.
        answer: gives the page of a path for an `Accept` header, empty where there is none; never asked for two at once.
        clock: gives seconds that never go back.

    Raises: SettingsError for an address that cannot be had.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    # From `connections` on, a new one has the oldest cut off that is `crowded_seconds` old; beyond `most_connections`
    # it is closed at once. None lives longer than `seconds`.
    connections = 16
    most_connections = 32
    crowded_seconds = 0.5
    seconds = 10.0

    def __init__(
        self, address: str, answer: Callable[[str, str], Answer], clock: Callable[[], float] = monotonic_seconds
    ) -> None:
        self._answer, self._clock = answer, clock
        self._open: dict[socket.socket, float] = {}
        self._cut_off: set[socket.socket] = set()
        self._changing, self._answering = Lock(), Lock()
        self._has_failed = False
        self._thread = Thread(target=self.serve_forever, args=(_POLL_SECONDS,), name=SETTING, daemon=True)
        self.address_family, found = _found(address)
        try:
            super().__init__(found, _Handler)
        except OSError as error:
            raise SettingsError(
                f"{SETTING}: cannot listen on `{address}`: {error.strerror}; end who has it, or choose another port,"
                " or 0"
            ) from error
        # A client that leaves before it is let in must not hold up the loop.
        self.socket.settimeout(_POLL_SECONDS)

    @property
    def address(self) -> str:
        """Where it listens, with the port that the system chose."""
        host, port, *_ = cast("tuple[str, int]", self.server_address)
        return str(Address(host, port))

    def start(self) -> None:
        """Begin to answer; once only."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no longer; who is being answered is cut off."""
        # The library would wait for ever for the end of a loop that never ran.
        if self._thread.is_alive():
            self.shutdown()
        self.server_close()
        self._cut_off_before(self._clock())

    def page(self, path: str, accept: str) -> Answer:
        """Give a page, one at a time: each takes the interpreter from the checks now and then."""
        if not self._answering.acquire(timeout=self.seconds / 2):
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"too many ask at once\n")
        try:
            return self._answer(path, accept)
        finally:
            self._answering.release()

    # What the library's loop calls.

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        try:
            return super().get_request()
        except OSError:
            # No descriptor is left: asked again at once, the loop would take a core from the checks until one is.
            time.sleep(_POLL_SECONDS)
            raise

    def verify_request(self, request: Accepted, client_address: object) -> bool:
        """Let a connection in, for which the oldest may have to go."""
        del client_address
        now = self._clock()
        if len(self._open) + len(self._cut_off) >= self.connections:
            self._cut_off_before(now - self.crowded_seconds, at_most=1)
        with self._changing:
            is_let_in = len(self._open) + len(self._cut_off) < self.most_connections
            if is_let_in:
                self._open[request] = now
        return is_let_in

    def service_actions(self) -> None:
        """Cut off who has been connected for too long, whatever it waits for."""
        self._cut_off_before(self._clock() - self.seconds)

    def close_request(self, request: Accepted) -> None:
        """Close a connection, and count it no longer."""
        with self._changing:
            self._open.pop(request, None)
            self._cut_off.discard(request)
        super().close_request(request)

    def handle_error(self, request: Accepted, client_address: object) -> None:
        """Log what fails, once: whoever may ask could fill the log otherwise."""
        del request, client_address
        if not self._has_failed:
            _log.exception("a request to the metrics endpoint failed")
        self._has_failed = True

    def _cut_off_before(self, latest: float, at_most: int | None = None) -> None:
        with self._changing:
            # The oldest stands first. One that was cut off counts until its thread is done with it.
            for connection in [each for each, began in self._open.items() if began <= latest][:at_most]:
                del self._open[connection]
                self._cut_off.add(connection)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _found(address: str) -> tuple[int, Any]:
    host, port, _ = read_address(address)
    try:
        family, _, _, _, found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{SETTING}: `{host}` is no host that we can find ({error}); write an address") from error
    return family, found


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    rbufsize = 0
    # To a line without a version, or one that it cannot read, the library answers without a status.
    default_request_version = "HTTP/1.0"
    error_content_type = TEXT
    error_message_format = "%(explain)s\n"

    def setup(self) -> None:
        super().setup()
        self.rfile = _Head(cast("io.RawIOBase", self.rfile))

    def handle(self) -> None:
        # Who is gone, or was cut off, cannot be told.
        with suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        accept = ",".join(self.headers.get_all("accept", []))
        answer = self.server.page(self.path.partition("?")[0], accept)
        self.send_response(answer.status)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def send_response(self, code: int, message: str | None = None) -> None:
        # Neither the library's version, nor its message, which repeats what was asked.
        del message
        self.send_response_only(code)
        self.send_header("date", self.date_time_string())
        self.send_header("cache-control", "no-store")
        self.send_header("x-content-type-options", "nosniff")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's signature
        """Log no request: whoever may ask could fill the log."""


class _Head(io.BufferedReader):
    """What a client sends, up to a bound; the library's own is 100 lines of 64 KiB."""

    _left = _HEAD_BYTES

    def readline(self, size: int | None = -1, /) -> bytes:
        del size  # the library's bound on a line, which is higher
        if not self._left:
            raise HTTPException(f"the head is longer than {_HEAD_BYTES} bytes")
        line = super().readline(self._left)
        self._left -= len(line)
        return line
