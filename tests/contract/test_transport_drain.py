"""How a transport ends, and what it leaves to the next one on its address."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from cors_authz.edge.clock import now_seconds
from cors_authz.edge.transport.choose import Maker
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import CHECK_METHOD, Metadata, TransportError, TransportOptions
from tests.contract.transports import MAKERS, NOT_SERVING, TIMEOUT, Ended, backwards, serve, until

GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}

SERVER = """
import signal, sys, threading, time
from cors_authz.edge.clock import now_seconds
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import TransportOptions
from tests.contract.transports import MAKERS, backwards

ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
transport = MAKERS[sys.argv[1]](backwards, Health(), now_seconds, TransportOptions())
print(transport.listen(sys.argv[2]), flush=True)
# Without a timeout, a signal that comes just before the wait is heard after it alone.
while not ended.wait(0.1):
    pass
transport.drain(0.3, 5, time.sleep)
print("drained", flush=True)
"""


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def process(name: str, address: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", SERVER, name, address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server, server.stdout.readline().strip()
        finally:
            server.kill()


@contextmanager
def load(address: str) -> Iterator[list[bytes | Ended]]:
    """Ask for checks from four threads until the end; what they were told is right once the block has ended."""
    ends: list[bytes | Ended] = []
    is_over = threading.Event()

    def ask(channel: grpc.Channel) -> None:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        while not is_over.is_set():
            try:
                ends.append(call(b"ab", timeout=TIMEOUT))
            except grpc.RpcError as error:
                ends.append(Ended(error.code(), error.details() or ""))

    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, channel) for _ in range(4)]
        assert until(lambda: len(ends) > 100)
        try:
            yield ends
        finally:
            is_over.set()
            for one in asking:
                one.result(TIMEOUT)


def test_sigterm_under_load_ends_cleanly_and_fails_no_call_before_it(name: str, address: str) -> None:
    with process(name, address) as (server, listening), load(listening) as ends:
        server.send_signal(signal.SIGTERM)
        assert server.wait(3 * TIMEOUT) == 0
        assert server.stdout is not None
        assert server.stdout.read() == "drained\n"
    # Our notice was for nothing here: these clients ask on. What they ask while they are told to go, core cancels.
    assert {end if isinstance(end, bytes) else end.code for end in ends} <= {b"ba", *GONE}
    gone = next((place for place, end in enumerate(ends) if isinstance(end, Ended)), len(ends))
    assert ends[:gone] == [b"ba"] * gone


def test_sigkill_under_load_leaves_an_address_that_can_be_had_again(name: str, address: str) -> None:
    with process(name, address) as (server, listening):
        with load(listening) as ends:
            server.kill()
            server.wait(TIMEOUT)
        assert {end if isinstance(end, bytes) else end.code for end in ends} <= {b"ba", *GONE}
    with serve(MAKERS[name], listening) as running:
        assert running.check(b"ab") == b"ba"


def test_an_address_in_use_is_refused_with_the_address(make: Maker, address: str) -> None:
    with serve(make, address) as first:
        second = make(backwards, Health(), now_seconds, TransportOptions())
        with pytest.raises(TransportError, match=first.address):
            second.listen(first.address)
        assert first.check(b"ab") == b"ba"
        second.drain(0, 0, lambda _seconds: None)


def test_a_file_that_is_no_socket_is_refused_and_stays(make: Maker, tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("of value", encoding="utf-8")
    with pytest.raises(TransportError, match=str(file)):
        make(backwards, Health(), now_seconds, TransportOptions()).listen(f"unix:{file}")
    assert file.read_text(encoding="utf-8") == "of value"


def test_a_folder_that_is_not_there_is_refused(make: Maker, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="in a folder that is not there"):
        make(backwards, Health(), now_seconds, TransportOptions()).listen(f"unix:{tmp_path}/none/socket")


def test_the_address_is_free_once_the_transport_has_drained(make: Maker, address: str) -> None:
    with serve(make, address) as first:
        first.transport.drain(0, 0, lambda _seconds: None)
        with serve(make, first.address) as second:
            assert second.check(b"ab") == b"ba"


def test_a_check_under_way_is_answered_while_the_transport_drains(make: Maker, address: str) -> None:
    began, may_end = threading.Event(), threading.Event()

    def check(raw: bytes, _metadata: Metadata) -> bytes:
        began.set()
        may_end.wait(TIMEOUT)
        return raw

    with serve(make, address, check) as running, ThreadPoolExecutor(2) as pool:
        answer = pool.submit(running.check, b"x")
        began.wait(TIMEOUT)
        drained = pool.submit(running.transport.drain, 0, TIMEOUT, lambda _seconds: None)
        time.sleep(0.3)
        may_end.set()
        assert answer.result(TIMEOUT) == b"x"
        drained.result(TIMEOUT)


def test_what_outlasts_the_grace_is_cancelled(make: Maker, address: str) -> None:
    with serve(make, address) as running:
        silent: grpc.StreamUnaryMultiCallable[bytes, bytes] = running.channel.stream_unary(CHECK_METHOD)
        is_over = threading.Event()
        call = silent.future(_nothing_until(is_over), timeout=TIMEOUT)
        assert running.check(b"ab") == b"ba"
        began = time.monotonic()
        running.transport.drain(0, 0.1, lambda _seconds: None)
        assert time.monotonic() - began < 2
        is_over.set()
        assert call.code() in GONE


def _nothing_until(end: threading.Event) -> Iterator[bytes]:
    end.wait(TIMEOUT)
    yield from ()


def test_draining_says_so_and_serves_on_before_anything_ends(make: Maker, address: str) -> None:
    seen: list[object] = []
    with serve(make, address) as running:

        def look(seconds: float) -> None:
            time.sleep(0.3)
            seen.extend((seconds, running.status_of(""), running.check(b"ab")))

        running.transport.drain(2.5, 0, look)
    assert seen == [2.5, NOT_SERVING, b"ba"]


def test_a_transport_that_never_listened_drains_at_once(make: Maker) -> None:
    health, waited, began = Health(), list[float](), time.monotonic()
    health.say("", serving=True)
    make(backwards, health, now_seconds, TransportOptions()).drain(2.5, TIMEOUT, waited.append)
    assert (waited, health.status("")) == ([2.5], NOT_SERVING)
    assert time.monotonic() - began < TIMEOUT / 2
