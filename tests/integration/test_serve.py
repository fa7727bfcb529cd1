"""The service as a process: real signals, real files, real calls."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse
from cors_authz.edge.transport.health import POLICY
from cors_authz.edge.transport.interface import CHECK_METHOD, HEALTH_CHECK_METHOD, TransportChoice
from tests.serving import (
    POLICY_TEXT,
    SECONDS,
    asked,
    command,
    ended,
    environment,
    signal_another_thread,
    started,
    until,
)

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


class Running(NamedTuple):
    """A service that runs, its log, where it decides, and a channel to it."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str
    channel: grpc.Channel

    def call(self, method: str, message: bytes) -> bytes:
        """Call a method with bytes."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(method)
        return call(message, timeout=SECONDS)

    def health(self, name: str = "") -> int:
        """Ask gRPC's health service."""
        message = HealthCheckRequest(service=name).SerializeToString()
        return int(HealthCheckResponse.FromString(self.call(HEALTH_CHECK_METHOD, message)).status)

    def check(self, raw: bytes) -> CheckResponse:
        """Ask for a decision."""
        return CheckResponse.FromString(self.call(CHECK_METHOD, raw))


@contextmanager
def serving(policy: Path, log: Path, *arguments: str) -> Iterator[Running]:
    options = ("--policy", str(policy), "--listen", "127.0.0.1:0", "--drain-seconds", "0", *arguments)
    with (
        started(command("serve", *options), log, r"decides on (\S+) as") as (process, said),
        grpc.insecure_channel(said[1]) as channel,
    ):
        yield Running(process, log, said[1], channel)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY_TEXT)
    return file


def outcome(response: CheckResponse) -> tuple[int, str]:
    return response.status.code, response.dynamic_metadata.fields["reason"].string_value


def test_it_decides_and_survives_what_is_no_request(policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log") as running:
        assert (running.health(), running.health(POLICY)) == (SERVING, SERVING)
        assert outcome(running.check(b"\xff\xff")) == (7, "request_malformed")
        assert outcome(running.check(b"")) == (7, "request_malformed")
        assert outcome(running.check(asked("https://evil.example"))) == (7, "origin_not_allowed")
        assert outcome(running.check(asked("https://shop.example"))) == (0, "rule_allowed")


def test_a_bad_version_shows_in_health_and_log_and_a_mended_one_too(policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log") as running:
        policy.write_text(POLICY_TEXT.replace("https://shop.example", "null"))
        until(lambda: running.health(POLICY) == NOT_SERVING)
        assert running.health() == SERVING
        assert outcome(running.check(asked("https://shop.example"))) == (0, "rule_allowed")
        assert "policy.yaml:5:19: CX002 `null`" in running.log.read_text()
        policy.write_text(POLICY_TEXT.replace("shop.example", "new.example"))
        until(lambda: running.health(POLICY) == SERVING)
        assert outcome(running.check(asked("https://new.example"))) == (0, "rule_allowed")
        assert outcome(running.check(asked("https://shop.example"))) == (7, "origin_not_allowed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_drains(number: signal.Signals, policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log", "--drain-seconds", "2") as running, ThreadPoolExecutor(2) as pool:
        assert running.health() == SERVING
        running.process.send_signal(number)
        until(lambda: running.health() == NOT_SERVING)
        answers = list(pool.map(running.check, [asked("https://shop.example")] * 50))
        assert {outcome(answer) for answer in answers} == {(0, "rule_allowed")}
        assert running.process.wait(SECONDS) == 0
        assert "Traceback" not in running.log.read_text()


def test_a_signal_that_another_thread_gets_drains_too(policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log") as running:
        signal_another_thread(running.process.pid, signal.SIGTERM)
        assert running.process.wait(SECONDS) == 0


@contextmanager
def unread_fifo(path: Path) -> Iterator[None]:
    """Make a pipe in the file system that holds a page, and that nobody reads."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield
    finally:
        os.close(reader)


def test_an_audit_log_that_takes_nothing_neither_holds_up_checks_nor_the_end(policy: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "audit"
    with unread_fifo(fifo), serving(policy, tmp_path / "log", "--audit", str(fifo)) as running:
        answers = [running.check(asked("https://shop.example")) for _ in range(200)]
        assert {outcome(answer) for answer in answers} == {(0, "rule_allowed")}
        running.process.terminate()
        assert running.process.wait(SECONDS) == 0
        (lost,) = re.findall(
            r"the audit trail takes nothing, and is given up: .*; (\d+) records", running.log.read_text()
        )
    # The pipe's one page takes what fits, if that comes alone.
    assert 190 <= int(lost) <= 200


def fill(fifo: Path) -> None:
    """Write into a pipe in the file system, until it takes nothing more."""
    writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(writer, b".")
    except BlockingIOError:
        os.close(writer)


@pytest.mark.parametrize("transport", [TransportChoice.COMPLETION_QUEUE, TransportChoice.GRPC_SERVER])
def test_a_log_that_nobody_reads_neither_holds_up_checks_nor_the_end(
    transport: TransportChoice, policy: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "stderr"
    address = f"unix:{tmp_path / 'socket'}"
    # The thread that decides tells that records are lost.
    audit = ("--audit", "-", "--audit-queue", "256", "--transport", transport.value)
    options = ("--policy", str(policy), "--listen", address, "--drain-seconds", "0", *audit)
    with unread_fifo(fifo), fifo.open("wb") as unread:
        process = subprocess.Popen(command("serve", *options), env=environment(), stdout=unread, stderr=unread)
        try:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(SECONDS)
                fill(fifo)
                call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
                answers = [CheckResponse.FromString(call(asked(), timeout=SECONDS)) for _ in range(1000)]
            assert {outcome(answer) for answer in answers} == {(0, "rule_allowed")}
            process.terminate()
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            process.wait()


# What no gRPC client sends, and any other may.
NO_TEXT = {
    ":method": b"POST",
    ":scheme": b"http",
    ":path": CHECK_METHOD.encode(),
    ":authority": b"x",
    "te": b"trailers",
    "content-type": b"application/grpc",
    **{f"x-{number}": b"\xff\xfe" for number in range(50)},
}


def call_by_hand(address: str, headers: dict[str, bytes]) -> None:
    """Call with headers as they stand and an empty message, and wait until the call has ended."""
    block = b"".join(
        b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value for name, value in headers.items()
    )
    frames = [(4, 0, 0, b""), (1, 4, 1, block), (0, 1, 1, bytes(5))]
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        for kind, flags, stream, payload in frames:
            head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
            connection.sendall(head + payload)
        received = b""
        while b"grpc-status" not in received:
            received += connection.recv(65536)


@pytest.mark.parametrize("transport", ["completion-queue", "grpc-server"])
def test_headers_of_a_call_that_are_no_text_do_not_fill_the_log(transport: str, policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log", "--transport", transport) as running:
        before = running.log.read_text()
        call_by_hand(running.address, NO_TEXT)
        assert outcome(running.check(asked("https://shop.example"))) == (0, "rule_allowed")
        assert running.log.read_text() == before


def test_it_listens_on_a_socket_of_the_file_system(policy: Path, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s.sock"
    with serving(policy, tmp_path / "log", "--listen", address) as running:
        assert outcome(running.check(asked("https://shop.example"))) == (0, "rule_allowed")


def test_a_busy_port_is_told_with_the_address(policy: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, said = ended("--policy", str(policy), "--listen", address)
    assert code == 1
    assert f"cannot listen on `{address}`: taken, not an address of this machine, or not allowed" in said
    # gRPC's own line about it.
    assert "add_port" not in said
    assert "Traceback" not in said


def test_an_unknown_environment_is_a_usage_error_that_lists_the_declared_ones(policy: Path) -> None:
    code, said = ended("--policy", str(policy), "--environment", "moon")
    assert (code, "the policy declares no environment `moon`; it declares prod, staging, dev" in said) == (2, True)


def test_an_invalid_policy_is_refused_with_every_error(policy: Path) -> None:
    policy.write_text(POLICY_TEXT.replace("https://shop.example", "null").replace("api.example", "API.example"))
    code, said = ended("--policy", str(policy))
    places = [line.split(" ")[0] for line in said.splitlines()]
    assert (code, places) == (3, ["policy.yaml:5:19:", "policy.yaml:9:16:"])
