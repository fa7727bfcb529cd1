"""Servers that are measured: each a process of its own, started as users start it, and pinned to one core."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import grpc

from tests.bench import build
from tests.bench.cpu import cpu_time
from tests.bench.machine import ROOT, Cores

CHECK_METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"
EXPERIMENTS: Final = "-event_engine_listener"
"""What every Python server runs with: the product sets it by itself where it has one core."""

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05


class ServerFailedError(Exception):
    """A server did not come up, or went away; the message has the end of what it said."""


class Command(NamedTuple):
    """How a server is started: its name in the tables, and the words of the command with `{address}` in them."""

    name: str
    words: Sequence[str]


class Running(NamedTuple):
    """A server that answers."""

    name: str
    pid: int
    address: str
    log: Path

    def call(self, messages: Sequence[bytes]) -> list[bytes]:
        """Ask by a real gRPC client, which sees a status where h2load sees bytes.

        Raises: grpc.RpcError for every status but OK.
        """
        with grpc.insecure_channel(self.address) as channel:
            check: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
            return [check(message, timeout=10) for message in messages]


def product(policy: Path, transport: str, audit: Path) -> Command:
    """Give the command that users give, at its full job: every decision counted, every decision a line in a file."""
    serve = (sys.executable, "-m", "cors_authz", "serve", "--policy", str(policy), "--listen", "{address}")
    options = ("--transport", transport, "--audit", str(audit), "--log-level", "warning")
    return Command(f"cors-authz, {transport}", (*serve, *options))


def floor(transport: str, answer: Path) -> Command:
    """Give the command of a Python server that decides nothing."""
    words = (sys.executable, "-m", "tests.bench.floor", transport, "{address}", str(answer))
    return Command(f"static, {transport}", words)


def go_static(answer: Path, *, raw: bool) -> Command:
    """Give the command of a grpc-go server that decides nothing: on generated stubs, or with messages left unread."""
    words = (str(build.go("static")), "-listen", "{address}", "-answer", str(answer))
    return Command("static, grpc-go raw bytes", (*words, "-raw")) if raw else Command("static, grpc-go", words)


def rust_static(answer: Path) -> Command:
    """Give the command of a tonic server that decides nothing."""
    return Command("static, tonic", (str(build.rust()), "{address}", str(answer)))


def opa(data: Path, *, verify: bool) -> Command:
    """Give the command of OPA's library behind grpc-go: tokens decoded, or verified as the product does."""
    words = (str(build.go("opa")), "-listen", "{address}", "-data", str(data))
    return Command("OPA, token verified", (*words, "-verify")) if verify else Command("OPA, token decoded", words)


@contextmanager
def serving(command: Command, cores: Cores, folder: Path, probe: bytes) -> Iterator[Running]:
    """Start a server on the servers' core, wait until it answers, and end it.

    Raises: ServerFailedError.
    """
    address = f"127.0.0.1:{free_port()}"
    log = folder / f"{command.name.replace(' ', '-').replace(',', '')}.log"
    words = [word.replace("{address}", address) for word in command.words]
    with log.open("wb") as out:
        process = subprocess.Popen(cores.on_server(words), cwd=ROOT, env=_environment(), stdout=out, stderr=out)
    running = Running(command.name, process.pid, address, log)
    try:
        _wait(running, process, probe)
        yield running
        if process.poll() is not None:
            raise ServerFailedError(f"{command.name} went away: {_tail(log)}")
    finally:
        _end(process)


def free_port() -> int:
    """Let the system choose a port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_idle(pid: int) -> None:
    """Wait until a server has nothing left to do, so that it takes no time from the next one."""
    before = cpu_time(pid)
    for _ in range(40):
        time.sleep(_POLL_SECONDS)
        after = cpu_time(pid)
        if after.scheduled - before.scheduled < _POLL_SECONDS / 10:
            return
        before = after


def _wait(running: Running, process: subprocess.Popen[bytes], probe: bytes) -> None:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            running.call([probe])
        except grpc.RpcError:
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise ServerFailedError(f"{running.name} does not answer: {_tail(running.log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _environment() -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CORS_AUTHZ_")}
    return {**kept, "GRPC_EXPERIMENTS": EXPERIMENTS, "PYTHONPATH": str(ROOT)}


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])
