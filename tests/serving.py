"""The service as a process: how tests start it, and what they ask it."""

from __future__ import annotations

import ctypes
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cors_authz._gen.wire.external_auth_pb2 import AttributeContext, CheckRequest

ROOT = Path(__file__).parents[1]
SECONDS = 30
POLICY_TEXT = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: shop, revision: r1}
originGroups:
  web: {origins: ["https://shop.example"], contact: web@shop.example, trust: high}
resourceGroups:
  api:
    match:
    - {hosts: [api.example]}
    allow:
    - {origins: [web], methods: [POST]}
"""


def command(verb: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "cors_authz", verb, *arguments]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CORS_AUTHZ_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def ended(*arguments: str, **variables: str) -> tuple[int, str]:
    """Run a service that cannot start, and give its exit code and what it said."""
    words, env = command("serve", *arguments), environment() | variables
    run = subprocess.run(words, env=env, capture_output=True, timeout=SECONDS, check=False)
    return run.returncode, run.stderr.decode()


@contextmanager
def started(
    words: Sequence[str], log: Path, ready: str, **variables: str
) -> Iterator[tuple[subprocess.Popen[bytes], re.Match[str]]]:
    """Run a process until the block ends, and give it with what its log, its standard error, said to be ready.

    SIGTERM ends it, where the test has not; one that does not heed that is killed, and fails the test.
    """
    with ExitStack() as ending:
        stderr = ending.enter_context(log.open("wb"))
        process = ending.enter_context(subprocess.Popen(words, env=environment() | variables, stderr=stderr))
        ending.callback(process.kill)
        ending.callback(process.wait, SECONDS)
        ending.callback(process.terminate)
        until(lambda: process.poll() is not None or re.search(ready, log.read_text()) is not None)
        said = re.search(ready, log.read_text())
        assert said, log.read_text()
        yield process, said


def free_ports(count: int = 1) -> int:
    """Find the first of so many free ports in a row, below those that the kernel gives to any connection."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        try:
            for further in range(count):
                socket.create_server(("127.0.0.1", port + further)).close()
        except OSError:
            continue
        return port


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def asked(origin: str = "https://shop.example") -> bytes:
    http = AttributeContext.HttpRequest(
        method="POST", scheme="https", host="api.example", path="/", headers={"origin": origin}
    )
    request = CheckRequest(attributes=AttributeContext(request=AttributeContext.Request(http=http)))
    return request.SerializeToString()


def signal_another_thread(pid: int, number: signal.Signals) -> None:
    """Send a signal to the last thread of a process, which the kernel may choose where the process was stopped."""
    last = max(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
    assert last != pid
    assert ctypes.CDLL(None).tgkill(pid, last, number) == 0
