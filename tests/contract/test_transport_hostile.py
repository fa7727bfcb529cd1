"""What no client can do to a transport: stop it, fill it, starve the others, or be answered by accident."""

from __future__ import annotations

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest

from cors_authz.edge.transport.choose import Maker
from cors_authz.edge.transport.completion_queue import CompletionQueueTransport
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import CHECK_METHOD, Bounds, Check, Metadata, Transport, TransportOptions
from tests.contract.transports import TIMEOUT, Ended, Running, serve, until

Future: TypeAlias = Any  # the stubs know of no call that is also a future of bytes

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
NO_SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
# A window of nothing: what the server has to say to this client stays with the server.
NO_WINDOW = bytes((0, 0, 6, 4, 0, 0, 0, 0, 0)) + bytes((0, 4, 0, 0, 0, 0))

IMPATIENT = {
    "by the bound on a call": TransportOptions(bounds=Bounds(concurrent=20, call_seconds=0.5, crowded_seconds=0.5)),
    "by the bound where it is crowded": TransportOptions(bounds=Bounds(concurrent=20, crowded_seconds=0.2)),
}
each_impatience = pytest.mark.parametrize("options", IMPATIENT.values(), ids=IMPATIENT)


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address.removeprefix("unix:"))
    else:
        host, _, port = address.rpartition(":")
        connection = socket.create_connection((host, int(port)))
    with connection:
        yield connection


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    """Write a header in HPACK, neither indexed nor compressed."""
    return b"".join((b"\x00", bytes((len(name),)), name.encode(), bytes((len(value),)), value.encode()))


def beginning(stream: int) -> bytes:
    """Write the headers of a check, with no end of its stream."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": CHECK_METHOD,
        ":authority": "x",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return frame(1, 0x4, stream, b"".join(literal(*field) for field in fields.items()))


def message(stream: int, payload: bytes) -> bytes:
    """Write a message, and the end of its stream."""
    return frame(0, 0x1, stream, b"\x00" + len(payload).to_bytes(4, "big") + payload)


GARBAGE: dict[str, bytes] = {
    "another protocol": b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)),
    "a preface and nulls": PREFACE + bytes(4096),
    "noise": PREFACE + NO_SETTINGS + random.Random(7).randbytes(65536),  # noqa: S311 - the same noise each time
    "a frame longer than allowed": PREFACE + NO_SETTINGS + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + bytes(70000),
    "a message on a stream that never began": PREFACE + NO_SETTINGS + message(1, b"x"),
    "headers that are no HPACK": PREFACE + NO_SETTINGS + frame(1, 0x5, 1, b"\xff" * 64),
    "half of a message, then the end": PREFACE + NO_SETTINGS + beginning(1) + frame(0, 0x1, 1, b"\0\0\0\0\x09ab"),
    "a message said to be of 4 GiB": PREFACE + NO_SETTINGS + beginning(1) + frame(0, 0x1, 1, b"\0\xff\xff\xff\xffab"),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_on_a_connection_is_decided_by_nobody_and_ends_nothing(
    make: Maker, address: str, garbage: bytes
) -> None:
    checks: list[bytes] = []

    def check(raw: bytes, _metadata: Metadata) -> bytes:
        checks.append(raw)
        return b"answered"

    with serve(make, address, check) as running:
        with connected(running.address) as connection:
            connection.sendall(garbage)
            assert running.check(b"ab") == b"answered"
        assert running.check(b"cd") == b"answered"
    assert checks == [b"ab", b"cd"]


def test_a_check_by_hand_is_a_check(running: Running) -> None:
    with connected(running.address) as connection:
        connection.sendall(PREFACE + NO_SETTINGS + beginning(1) + message(1, b"abc"))
        assert until_received(connection, b"cba")


def until_received(connection: socket.socket, expected: bytes) -> bool:
    connection.settimeout(5)
    received = b""
    while expected not in received:
        chunk = connection.recv(65536)
        if not chunk:
            return False
        received += chunk
    return True


@each_impatience
def test_calls_that_are_begun_and_never_sent_are_ended_and_starve_no_check(
    make: Maker, address: str, options: TransportOptions
) -> None:
    with serve(make, address, options=options) as running, connected(running.address) as connection:
        connection.sendall(PREFACE + NO_SETTINGS + b"".join(beginning(stream) for stream in range(1, 80, 2)))
        assert until(lambda: running.check(b"ab") == b"ba", 3)
        # Each of them is reset: the last one, too.
        connection.settimeout(5)
        assert until_received(connection, (39).to_bytes(4, "big"))


@each_impatience
def test_a_clock_that_is_set_back_starves_no_check(make: Maker, address: str, options: TransportOptions) -> None:
    set_back_by = [0.0]

    def make_late(check: Check, health: Health, clock: Callable[[], float], options: TransportOptions) -> Transport:
        return make(check, health, lambda: clock() - set_back_by[0], options)

    with serve(make_late, address, options=options) as running, connected(running.address) as connection:
        connection.sendall(PREFACE + NO_SETTINGS + b"".join(beginning(stream) for stream in range(1, 80, 2)))
        time.sleep(0.1)
        set_back_by[0] = 3600.0
        assert until(lambda: running.check(b"ab", 3600 + TIMEOUT) == b"ba", 3)


@each_impatience
def test_clients_that_never_read_starve_no_check(make: Maker, address: str, options: TransportOptions) -> None:
    with serve(make, address, options=options) as running, connected(running.address) as connection:
        asked = b"".join(beginning(stream) + message(stream, b"abc") for stream in range(1, 80, 2))
        connection.sendall(PREFACE + NO_WINDOW + asked)
        assert until(lambda: running.check(b"ab") == b"ba", 3)


@pytest.mark.parametrize("size", [100, 50_000_000])
def test_a_compressed_message_is_refused_before_it_unfolds(running: Running, size: int) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(running.address, options=options, compression=grpc.Compression.Gzip) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        assert _end_of(call.future(bytes(size), timeout=5)) == Ended(
            grpc.StatusCode.UNIMPLEMENTED, "Compression algorithm 'gzip' is disabled."
        )
    assert running.check(b"ab") == b"ba"


def test_500_calls_that_are_cancelled_at_once_leave_the_next_one_its_answer(running: Running) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = running.channel.unary_unary(CHECK_METHOD)
    for future in [call.future(bytes(2000), timeout=5) for _ in range(500)]:
        future.cancel()
    assert until(lambda: running.check(b"ab") == b"ba")


def test_deadlines_of_a_third_of_a_millisecond_end_in_an_answer_or_in_time(running: Running) -> None:
    running.check(b"connect")
    ends = {running.check(b"ab", 0.0003) for _ in range(200)}
    assert {end if isinstance(end, bytes) else end.code for end in ends} <= {
        b"ba",
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    assert running.check(b"ab") == b"ba"


def test_a_check_whose_deadline_passed_while_it_waited_is_not_decided(address: str) -> None:
    decided: list[bytes] = []
    began, may_end = threading.Event(), threading.Event()

    def check(raw: bytes, _metadata: Metadata) -> bytes:
        decided.append(raw)
        began.set()
        may_end.wait(5)
        return b"answered"

    # In the fallback no check waits for another.
    with serve(CompletionQueueTransport, address, check) as running, ThreadPoolExecutor(1) as pool:
        busy = pool.submit(running.check, b"busy")
        began.wait(5)
        time.sleep(0.2)
        ended = running.check(b"late", 0.2)
        # The client gives up first, and tells the server afterwards.
        time.sleep(0.5)
        may_end.set()
        assert busy.result(5) == b"answered"
        assert running.check(b"next") == b"answered"
    assert isinstance(ended, Ended)
    assert ended.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert decided == [b"busy", b"next"]


def test_more_than_can_be_done_is_refused_at_once_and_the_rest_is_answered(make: Maker, address: str) -> None:
    def check(_raw: bytes, _metadata: Metadata) -> bytes:
        time.sleep(0.005)
        return b"answered"

    with serve(make, address, check, TransportOptions(bounds=Bounds(concurrent=16))) as running, ExitStack() as open_:
        channels = [open_.enter_context(_channel(running.address)) for _ in range(8)]
        calls: list[grpc.UnaryUnaryMultiCallable[bytes, bytes]] = [
            channel.unary_unary(CHECK_METHOD) for channel in channels
        ]
        # Fewer than the streams of a connection and than core keeps for us: what is refused, we refuse.
        ends = {_end_of(future) for future in [call.future(b"x", timeout=20) for _ in range(15) for call in calls]}
        assert running.check(b"x") == b"answered"
    assert {end if isinstance(end, bytes) else end.code for end in ends} == {
        b"answered",
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }


def _channel(address: str) -> grpc.Channel:
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


def _end_of(future: Future) -> bytes | Ended:
    try:
        return bytes(future.result())
    except grpc.RpcError:
        return Ended(future.code(), future.details())


def test_idle_connections_take_little_and_keep_nobody_out(make: Maker, address: str) -> None:
    with serve(make, address) as running, ExitStack() as connections:
        before = resident_bytes()
        for _ in range(1500):
            connection = connections.enter_context(connected(running.address))
            connection.sendall(PREFACE + NO_SETTINGS)
        assert running.check(b"ab") == b"ba"
        time.sleep(0.5)
        # Both ends live in this process.
        assert (resident_bytes() - before) / 1500 < 100_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_an_idle_wait_is_no_busy_wait(make: Maker, address: str) -> None:
    with serve(make, address) as running:
        running.check(b"ab")
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.1
