"""Load on one connection: Debian's h2load with one body, and a loader of ours with a trace."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from tests.bench import build
from tests.bench.cpu import cpu_time
from tests.bench.machine import Cores
from tests.bench.servers import CHECK_METHOD, Running

STREAMS: Final = 32
_LIMIT_SECONDS: Final = 300
_RATE: Final = re.compile(r"finished in .*?, ([\d.]+) req/s")
_SUCCEEDED: Final = re.compile(r"(\d+) succeeded")


class LoadError(Exception):
    """A load that proves nothing: calls that failed, or answers that are not the expected ones."""


class Sample(NamedTuple):
    """One server under one load: checks a second, and seconds of its core that each took."""

    rate: float
    cpu_seconds: float


class Trace(NamedTuple):
    """A file of requests, and how many to send; beyond its end it begins anew."""

    file: Path
    checks: int


class Report(NamedTuple):
    """What our loader says: how many were answered, how many wrongly, and the failures by their kind."""

    answered: int
    wrong: int
    failed: Mapping[str, int]
    seconds: float
    p50_us: float
    p99_us: float
    began: float


def trace_load(server: Running, trace: Trace, cores: Cores) -> Sample:
    """Send a trace, each request with a body of its own, and hold every answer against what it must be.

    Raises: LoadError, MissingError.
    """
    before = cpu_time(server.pid)
    report = faultless(loader(server.address, trace, cores))
    return Sample(trace.checks / report.seconds, cpu_time(server.pid).since(before) / trace.checks)


def faultless(report: Report) -> Report:
    """Let a report pass of which every call was answered as it must be.

    Raises: LoadError.
    """
    if report.failed or report.wrong:
        raise LoadError(f"{report.wrong} answers are wrong, and calls failed: {dict(report.failed)}")
    return report


def loader(address: str, trace: Trace, cores: Cores, options: Sequence[str] = ()) -> Report:
    """Run our loader; its last options win.

    Raises: LoadError if it gives up; MissingError.
    """
    words = [str(build.go("loader")), "-target", address, "-trace", str(trace.file), "-count", str(trace.checks)]
    done = _run(cores.on_loader([*words, "-streams", str(STREAMS), *options]))
    return Report(**orjson.loads(done))


def hot_load(server: Running, message: bytes, count: int, cores: Cores, folder: Path) -> Sample:
    """Send one body over and over by h2load, which looks at no status: check the answers beforehand.

    Raises: LoadError.
    """
    body = folder / "body"
    body.write_bytes(struct.pack(">BI", 0, len(message)) + message)
    words = ["h2load", "-n", str(count), "-c", "1", "-m", str(STREAMS), "-w", "30", "-W", "30", "-d", str(body)]
    words += ["-H", "te: trailers", "-H", "content-type: application/grpc", f"http://{server.address}{CHECK_METHOD}"]
    before = cpu_time(server.pid)
    done = _run(cores.on_loader(words))
    used = cpu_time(server.pid).since(before)
    rate, succeeded = _RATE.search(done), _SUCCEEDED.search(done)
    if not rate or not succeeded or int(succeeded[1]) != count:
        raise LoadError(f"{server.name}: {done[-600:]}")
    return Sample(float(rate[1]), used / count)


def _run(words: Sequence[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS)
    if done.returncode:
        raise LoadError(f"`{' '.join(words)}` failed: {(done.stderr or done.stdout)[-600:]}")
    return done.stdout
