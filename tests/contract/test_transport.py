"""What every transport must do, asked over a real connection; also run with the oldest and the newest grpcio."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse
from cors_authz.edge.server import (
    CHECK_METHOD,
    HEALTH_CHECK_METHOD,
    HEALTH_WATCH_METHOD,
    MAX_MESSAGE_BYTES,
    POLICY,
    Health,
    Server,
    ServerError,
)

TIMEOUT = 10


class Running(NamedTuple):
    """A server that answers each check with its own bytes, reversed."""

    server: Server
    health: Health
    channel: grpc.Channel
    address: str

    def call(self, method: str, message: bytes) -> bytes:
        """Call a method with bytes, and give those of its answer."""
        unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(method)
        return unary(message, timeout=TIMEOUT)

    def status_of(self, name: str) -> HealthCheckResponse.ServingStatus:
        """Ask for the health of something by its name."""
        raw = self.call(HEALTH_CHECK_METHOD, HealthCheckRequest(service=name).SerializeToString())
        return HealthCheckResponse.FromString(raw).status


@pytest.fixture(params=["tcp", "unix"])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    health = Health()
    server = Server(lambda raw: raw[::-1], health, threads=4)
    address = server.listen(f"unix:{tmp_path}/socket" if request.param == "unix" else "127.0.0.1:0")
    with grpc.insecure_channel(address) as channel:
        yield Running(server, health, channel, address)
    server.drain(0, 0, lambda _: None)


def test_a_check_gets_the_bytes_of_its_answer(running: Running) -> None:
    assert running.call(CHECK_METHOD, b"\x00abc\xff") == b"\xffcba\x00"


def test_an_empty_check_is_a_check(running: Running) -> None:
    assert running.call(CHECK_METHOD, b"") == b""


def test_checks_that_run_at_once_get_their_own_answers(running: Running) -> None:
    messages = [str(number).encode() for number in range(500)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda message: running.call(CHECK_METHOD, message), messages))
    assert answers == [message[::-1] for message in messages]


@pytest.mark.parametrize(
    "method", ["/envoy.service.auth.v3.Authorization/Other", "/envoy.service.auth.v2.Authorization/Check", "/x/y"]
)
def test_another_method_is_unimplemented(running: Running, method: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        running.call(method, b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_above_the_bound_is_refused_and_the_next_one_is_answered(running: Running) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        running.call(CHECK_METHOD, bytes(MAX_MESSAGE_BYTES + 1))
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.call(CHECK_METHOD, b"ab") == b"ba"


def test_a_message_at_the_bound_is_answered(running: Running) -> None:
    assert len(running.call(CHECK_METHOD, bytes(MAX_MESSAGE_BYTES - 64))) == MAX_MESSAGE_BYTES - 64


def test_the_service_says_that_it_serves(running: Running) -> None:
    assert running.status_of("") == HealthCheckResponse.SERVING


def test_the_policy_has_a_health_of_its_own(running: Running) -> None:
    running.health.say(POLICY, serving=False)
    assert (running.status_of(""), running.status_of(POLICY)) == (
        HealthCheckResponse.SERVING,
        HealthCheckResponse.NOT_SERVING,
    )


def test_the_health_of_an_unknown_service_is_not_found(running: Running) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        running.status_of("someone.else")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_garbage_for_health_is_an_invalid_argument(running: Running) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        running.call(HEALTH_CHECK_METHOD, b"\xff\xff")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_watcher_is_told_each_change_once(running: Running) -> None:
    stream: grpc.UnaryStreamMultiCallable[bytes, bytes] = running.channel.unary_stream(HEALTH_WATCH_METHOD)
    watch = stream(b"", timeout=TIMEOUT)
    statuses = (HealthCheckResponse.FromString(raw).status for raw in watch)
    assert next(statuses) == HealthCheckResponse.SERVING
    running.health.say("", serving=True)
    running.health.say("", serving=False)
    assert next(statuses) == HealthCheckResponse.NOT_SERVING
    watch.cancel()


def test_watchers_do_not_starve_checks(running: Running) -> None:
    stream: grpc.UnaryStreamMultiCallable[bytes, bytes] = running.channel.unary_stream(HEALTH_WATCH_METHOD)
    watches = [stream(b"", timeout=TIMEOUT) for _ in range(40)]
    assert running.call(CHECK_METHOD, b"ab") == b"ba"
    for watch in watches:
        watch.cancel()


def test_garbage_on_the_connection_does_not_end_the_server(running: Running) -> None:
    if running.address.startswith("unix:"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(running.address.removeprefix("unix:"))
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(range(256)))
    else:
        host, _, port = running.address.rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(4096))
    assert running.call(CHECK_METHOD, b"ab") == b"ba"


def test_an_address_in_use_is_refused_with_the_address() -> None:
    first = Server(lambda raw: raw, Health(), threads=1)
    address = first.listen("127.0.0.1:0")
    with pytest.raises(ServerError, match=address):
        Server(lambda raw: raw, Health(), threads=1).listen(address)
    first.drain(0, 0, lambda _: None)


def test_a_check_under_way_is_answered_while_the_server_drains() -> None:
    began, may_end = threading.Event(), threading.Event()

    def check(raw: bytes) -> bytes:
        began.set()
        may_end.wait(TIMEOUT)
        return raw

    health = Health()
    server = Server(check, health, threads=1)
    with grpc.insecure_channel(server.listen("127.0.0.1:0")) as channel, ThreadPoolExecutor(1) as pool:
        unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        answer = unary.future(b"x", timeout=TIMEOUT)
        began.wait(TIMEOUT)
        drained = pool.submit(server.drain, 0, TIMEOUT, lambda _: None)
        may_end.set()
        assert answer.result() == b"x"
        drained.result(TIMEOUT)
    assert health.status("") == HealthCheckResponse.NOT_SERVING


def test_draining_says_so_before_anything_ends() -> None:
    health = Health()
    server = Server(lambda raw: raw, health, threads=1)
    server.listen("127.0.0.1:0")
    seen: list[tuple[float, HealthCheckResponse.ServingStatus]] = []
    server.drain(2.5, 0, lambda seconds: seen.append((seconds, health.status(""))))
    assert seen == [(2.5, HealthCheckResponse.NOT_SERVING)]
