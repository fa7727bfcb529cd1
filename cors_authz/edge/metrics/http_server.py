"""A small HTTP server: one request a connection, bounds on bytes, time and connections, and no request is logged.

Whoever scrapes must not be able to take anything from the checks: neither by asking often, nor by asking slowly, nor by
never reading what it asked for.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from threading import Event, Lock, Thread
from typing import Final, NamedTuple

from cors_authz.edge.clock import monotonic_seconds
from cors_authz.edge.metrics.http_request import END_OF_HEAD, HttpRequest, parse_request
from cors_authz.edge.settings_error import SettingsError

_log = logging.getLogger(__name__)

TEXT: Final = "text/plain; charset=utf-8"

LAST_PORT: Final = 65535

_POLL_SECONDS: Final = 0.5
_NO_DESCRIPTORS_SECONDS: Final = 0.1
_CHUNK_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a client can take.

    Args:
        head_bytes: the longest head of a request; bodies are not read.
        connections: from so many on, the oldest is cut off once it is `crowded_seconds` old.
        most_connections: beyond these, a new one is closed at once.
        crowded_seconds: how old a connection must be to be cut off for another.
        seconds: how long a connection lives at most.
    """

    head_bytes: int = 8192
    connections: int = 16
    most_connections: int = 32
    crowded_seconds: float = 0.5
    seconds: float = 10.0


class Answer(NamedTuple):
    """What is sent back."""

    status: HTTPStatus
    body: bytes
    content_type: str = TEXT


@dataclass(slots=True)
class _Connection:
    """A client, when it came, and whether it was cut off for another."""

    socket: socket.socket
    began: float
    is_cut_off: bool = False

    def cut_off(self) -> None:
        self.is_cut_off = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class HttpServer:
    """Answers requests, each on a thread of its own, one page at a time.

    It listens from the beginning, so that a port that is taken is known before anything is served.

    Args:
        name: of the setting that says where, for the message of an error.
        address: `host:port`; with port 0 the system chooses.
        answer: answers a request that only reads; never asked for two at once.
        bounds: how much a client can take.
        clock: gives seconds that never go back.

    Raises: SettingsError for an address that cannot be had.
    """

    def __init__(
        self,
        name: str,
        address: str,
        answer: Callable[[HttpRequest], Answer],
        bounds: Bounds = Bounds(),
        clock: Callable[[], float] = monotonic_seconds,
    ) -> None:
        self._answer = answer
        self._bounds = bounds
        self._clock = clock
        self._listener = _bound(name, address)
        self.address = _address_of(self._listener)
        """Where it listens, with the port that the system chose."""
        self._open: dict[int, _Connection] = {}
        self._changing = Lock()
        self._answering = Lock()
        self._ended = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no longer; who is being answered is cut off."""
        self._ended.set()
        # Wakes `accept` where the system lets it; elsewhere it looks by itself.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(2 * _POLL_SECONDS)
        self._listener.close()
        with self._changing:
            for connection in self._open.values():
                connection.cut_off()

    # Who is let in.

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                accepted, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                # It was closed, or there is no descriptor left: then somebody's must be given back first.
                self._ended.wait(_NO_DESCRIPTORS_SECONDS)
                continue
            self._let_in(accepted)

    def _let_in(self, accepted: socket.socket) -> None:
        connection = _Connection(accepted, self._clock())
        with self._changing:
            if len(self._open) >= self._bounds.connections:
                self._make_room(connection.began)
            if len(self._open) >= self._bounds.most_connections:
                accepted.close()
                return
            self._open[id(connection)] = connection
        try:
            Thread(target=self._serve, args=(connection,), name="scrape", daemon=True).start()
        except RuntimeError:  # the system has no thread left
            self._leave(connection)

    def _make_room(self, now: float) -> None:
        oldest = next((each for each in self._open.values() if not each.is_cut_off), None)
        if oldest is not None and now - oldest.began >= self._bounds.crowded_seconds:
            oldest.cut_off()

    def _leave(self, connection: _Connection) -> None:
        with self._changing:
            del self._open[id(connection)]
        connection.socket.close()

    # One request.

    def _serve(self, connection: _Connection) -> None:
        try:
            request = self._read(connection)
            if request is not None:
                answer = self._answered(connection, request)
                self._send(connection, answer, has_body=request.method != "HEAD")
        except OSError:
            # The client is gone, too slow, or was cut off: nobody is there to be told.
            pass
        except Exception:  # noqa: BLE001 - whatever it is, the next one is answered
            _log.exception("a request to the metrics endpoint failed")
        finally:
            self._leave(connection)

    def _read(self, connection: _Connection) -> HttpRequest | None:
        head = b""
        while END_OF_HEAD not in head:
            connection.socket.settimeout(self._seconds_left(connection))
            chunk = connection.socket.recv(_CHUNK_BYTES)
            head += chunk
            if not chunk or len(head) > self._bounds.head_bytes:
                break
        request = parse_request(head.partition(END_OF_HEAD)[0]) if END_OF_HEAD in head else None
        if request is None and head:
            self._send(connection, Answer(HTTPStatus.BAD_REQUEST, b"this is no HTTP request\n"), has_body=True)
        return request

    def _answered(self, connection: _Connection, request: HttpRequest) -> Answer:
        if request.method not in {"GET", "HEAD"}:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"pages can only be read; use GET\n")
        # One at a time: each takes the interpreter from the checks now and then. Half the time is left to say so.
        if not self._answering.acquire(timeout=self._seconds_left(connection) / 2):
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, b"too many ask at once\n")
        try:
            return self._answer(request)
        finally:
            self._answering.release()

    def _send(self, connection: _Connection, answer: Answer, *, has_body: bool) -> None:
        head = (
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
            f"content-type: {answer.content_type}\r\n"
            f"content-length: {len(answer.body)}\r\n"
            f"{'allow: GET, HEAD' if answer.status is HTTPStatus.METHOD_NOT_ALLOWED else 'cache-control: no-store'}\r\n"
            "x-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        connection.socket.settimeout(self._seconds_left(connection))
        connection.socket.sendall(head.encode() + (answer.body if has_body else b""))
        connection.socket.shutdown(socket.SHUT_WR)

    def _seconds_left(self, connection: _Connection) -> float:
        left = connection.began + self._bounds.seconds - self._clock()
        if left <= 0:
            raise TimeoutError
        return left


def _bound(name: str, address: str) -> socket.socket:
    host, port = split_address(name, address)
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family[0], socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{name}: `{host}` is no host that we can find ({error}); write an address") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(_POLL_SECONDS)
        listener.bind(family[4])
        listener.listen()
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"{name}: cannot listen on `{address}`: {error.strerror}; end who has it, or choose another port, or 0"
        ) from error
    return listener


def _address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_address(name: str, address: str) -> tuple[str, int]:
    """Split `host:port`, with an IPv6 address in brackets.

    Args:
        name: of the setting, for the message.
        address: what it says.

    Raises: SettingsError for anything else.
    """
    host, colon, port = address.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and int(port) <= LAST_PORT
    if not colon or not host or not is_port or (":" in host) != (host[0] + host[-1] == "[]"):
        raise SettingsError(f"{name}: `{address}` is no address; write host:port, such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)
