"""A program that runs beside the demo: started, waited for, ended, and asked what it said when it did not come up."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cors_authz.envoy.address import Address

READY_SECONDS: Final = 20.0

_POLL_SECONDS: Final = 0.05
_ANSWER_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 5.0
_TAIL_LINES: Final = 10


class ChildError(Exception):
    """A program did not come up; the text ends with what it said."""


@contextmanager
def child(command: Sequence[str], log: Path, ready: tuple[Address, str], environ: Mapping[str, str]) -> Iterator[None]:
    """Run a program while the `with` block runs, once it answers 200 by HTTP.

    Args:
        command: the program and its arguments.
        log: the file that takes all that it says; its name is what we call the program.
        ready: where it is asked, and by which path.
        environ: its environment.

    Raises: ChildError if it ended, or was not ready within 20 s; OSError if there is no such program.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - the arguments are ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environ,
        )
    try:
        _wait_until_ready(process, log, ready)
        yield
    finally:
        _end(process)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, ready: tuple[Address, str]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _answers(*ready):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
            raise ChildError(f"{log.stem} did not come up; it said:\n{tail}")
        time.sleep(_POLL_SECONDS)


def _answers(address: Address, path: str) -> bool:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
