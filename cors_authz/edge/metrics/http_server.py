"""Pages over HTTP, by the standard library's server; what it leaves open is how much a client can take.

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
from cors_authz.edge.metrics.options import SETTING, split_address
from cors_authz.edge.settings_error import SettingsError

_log = logging.getLogger(__name__)

TEXT: Final = "text/plain; charset=utf-8"

_HEAD_BYTES: Final = 8192
_POLL_SECONDS: Final = 0.5
_NO_DESCRIPTORS_SECONDS: Final = 0.1

Accepted: TypeAlias = Any
"""A socket; the library's types have datagrams too."""


class Bounds(NamedTuple):
    """How much clients can take.

    Args:
        connections: from so many on, the oldest is cut off once it is `crowded_seconds` old.
        most_connections: beyond these, a new one is closed at once.
        crowded_seconds: how old a connection must be to be cut off for another.
        seconds: how long a connection lives; it is cut off at most half a second later.
    """

    connections: int = 16
    most_connections: int = 32
    crowded_seconds: float = 0.5
    seconds: float = 10.0


class Answer(NamedTuple):
    """What is sent back."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT


class HttpServer(ThreadingTCPServer):
    """Answers requests, each on a thread of its own, one page at a time.

    It listens from the beginning, so that a port that is taken is known before anything is served. It is no
    `http.server.HTTPServer`: that asks the name service for our name, which can take seconds.

    Args:
        address: `host:port`; with port 0 the system chooses.
        answer: gives the page of a path for an `Accept` header, empty where there is none; never asked for two at once.
        bounds: how much clients can take.
        clock: gives seconds that never go back.

    Raises: SettingsError for an address that cannot be had.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: str,
        answer: Callable[[str, str], Answer],
        bounds: Bounds = Bounds(),
        clock: Callable[[], float] = monotonic_seconds,
    ) -> None:
        self._answer, self._bounds, self._clock = answer, bounds, clock
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
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Begin to answer; once only."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no longer; who is being answered is cut off."""
        # The end of a loop that never ran would be waited for for ever.
        if self._thread.is_alive():
            self.shutdown()
        self.server_close()
        self._cut_off_before(self._clock())

    def page(self, path: str, accept: str) -> Answer:
        """Give a page, one at a time: each takes the interpreter from the checks now and then."""
        if not self._answering.acquire(timeout=self._bounds.seconds / 2):
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
            time.sleep(_NO_DESCRIPTORS_SECONDS)
            raise

    def verify_request(self, request: Accepted, client_address: object) -> bool:
        """Let a connection in, for which the oldest may have to go."""
        del client_address
        now, bounds = self._clock(), self._bounds
        if self._count() >= bounds.connections:
            self._cut_off_before(now - bounds.crowded_seconds, at_most=1)
        with self._changing:
            is_let_in = len(self._open) + len(self._cut_off) < bounds.most_connections
            if is_let_in:
                self._open[request] = now
        return is_let_in

    def service_actions(self) -> None:
        """Cut off who has been connected for too long, whatever it waits for."""
        self._cut_off_before(self._clock() - self._bounds.seconds)

    def close_request(self, request: Accepted) -> None:
        """Close a connection, and count it no longer."""
        with self._changing:
            self._open.pop(request, None)
            self._cut_off.discard(request)
        super().close_request(request)

    def handle_error(self, request: Accepted, client_address: object) -> None:
        """Log what fails once: whoever may ask could fill the log otherwise."""
        del request, client_address
        if not self._has_failed:
            _log.exception("a request to the metrics endpoint failed")
        self._has_failed = True
