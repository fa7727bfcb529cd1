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
    """How a server is started: its name in the tables, the words of the command with `{address}`, its variables."""

    name: str
    words: Sequence[str]
    variables: Mapping[str, str] = {}


class Watched(NamedTuple):
    """What the service tells besides its answers.

    Args:
        metrics: whether decisions are counted, for a Prometheus that may ask.
        audit: the file that each decision is a line of; None for none.
        collector: the OTLP collector that spans go to; "" for none.
        share: of how many checks there are spans.
    """

    metrics: bool = False
    audit: Path | None = None
    collector: str = ""
    share: float = 0.0

    def words(self) -> Sequence[str]:
        """Give the flags."""
        metrics = ("--metrics-listen", "127.0.0.1:0") if self.metrics else ()
        return (*metrics, "--audit", str(self.audit)) if self.audit else metrics

    def variables(self) -> Mapping[str, str]:
        """Give OpenTelemetry's variables."""
        if not self.collector:
            return {}
        return {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{self.collector}",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(self.share),
        }


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


def full_job(audit: Path, collector: str = "") -> Watched:
    """Every decision counted, every decision a line in a file, and a span of one in a hundred where one takes them."""
    return Watched(metrics=True, audit=audit, collector=collector, share=0.01)


def product(policy: Path, transport: str, watched: Watched) -> Command:
    """Give the command that users give, of the native wheel.

    Raises: MissingError if the wheel cannot be built.
    """
    return _of_package(build.native(), f"cors-authz, {transport}", policy, transport, watched)


def from_source(policy: Path, transport: str, watched: Watched) -> Command:
    """Give the same command where nothing is compiled."""
    return _of_package(ROOT, f"cors-authz, {transport}, from source", policy, transport, watched)


def _of_package(package: Path, name: str, policy: Path, transport: str, watched: Watched) -> Command:
    # Safe-path: the folder that it is started in has the sources, which would come first.
    serve = (sys.executable, "-P", "-m", "cors_authz", "serve", "--policy", str(policy), "--listen", "{address}")
    options = ("--transport", transport, "--log-level", "warning", *watched.words())
    return Command(name, (*serve, *options), {**watched.variables(), "PYTHONPATH": str(package)})


@contextmanager
def collecting(cores: Cores) -> Iterator[str]:
    """Run an OTLP collector on the loader's core, and give its address."""
    address = f"127.0.0.1:{free_port()}"
    words = cores.on_loader([sys.executable, "-m", "tests.bench.collector", address])
    process = subprocess.Popen(words, cwd=ROOT)
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(_START_SECONDS)
        yield address
    finally:
        _end(process)


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
        process = subprocess.Popen(
            cores.on_server(words), cwd=ROOT, env=_environment(command.variables), stdout=out, stderr=out
        )
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


def _environment(variables: Mapping[str, str]) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CORS_AUTHZ_", "OTEL_"))}
    return {**kept, "GRPC_EXPERIMENTS": EXPERIMENTS, "PYTHONPATH": str(ROOT), **variables}


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])
