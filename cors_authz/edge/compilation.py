"""The compilation of one version of the policy, in a child process: a large one would stall every check for seconds."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, cast

from cors_authz.edge.clock import monotonic_seconds
from cors_authz.edge.generation import Generation, GenerationError, read_generation

_CHILD: Final = "cors_authz.edge.compiler"
_LOOK_SECONDS: Final = 0.5
_END_SECONDS: Final = 1.0


class Compilation:
    """A version that is being compiled from the moment on that this is made.

    The child writes to a pipe that only it was given, and runs this very package: its pickles are trusted as far as
    the compiler would be within this process. It ends with this process, or at `stop`.

    Args:
        path: the policy's file or directory.
        environment: where the service runs.

    Raises: OSError if there can be no further process.
    """

    def __init__(self, path: Path, environment: str) -> None:
        self._begun = monotonic_seconds()
        self._child = subprocess.Popen(  # noqa: S603 - this very interpreter, with this very package
            # -P: nothing in the directory where the service was started is taken for a module of ours.
            [sys.executable, "-P", "-m", _CHILD, str(path), environment],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # It reads the end of its input, which nothing is written to, as the end of this process.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The keys of a terminal end this process, which ends the child. Not in a session of its own: Linux shares
            # the CPU out among sessions, however nice their processes are.
            process_group=0,
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def seconds(self) -> float:
        """For how long this has been under way."""
        return monotonic_seconds() - self._begun

    @property
    def share(self) -> float:
        """Which part of the time it has had a core, between 0 and 1; 1 where the system does not say."""
        try:
            ran_nanoseconds = int(Path(f"/proc/{self.pid}/schedstat").read_text(encoding="ascii").split()[0])
        except (OSError, ValueError, IndexError):
            return 1.0
        return ran_nanoseconds / 1e9 / self.seconds

    def give_way(self) -> None:
        """Leave it only the CPU that nobody else wants, which can be none; there is no way back."""
        # To be nice is not enough: checks on the same core would still wait for the end of its turns.
        with suppress(AttributeError, OSError):
            os.sched_setscheduler(self.pid, os.SCHED_IDLE, os.sched_param(0))

    def result(self, pause: Callable[[], object], look: Callable[[float], Exception | None]) -> Generation:
        """Wait for the version; once only. However this ends, the child has ended with it.

        Args:
            pause: called now and then, to let other threads run.
            look: told about twice a second for how many seconds this is under way; returns why the version is to be
                given up, None if it is not.

        Raises: PolicyError, PolicyFilesError, UnknownEnvironmentError as loading does; GenerationError if the child
            fails, is killed, or talks nonsense; what `look` returns.
        """
        output = _Output(cast("BinaryIO", self._child.stdout), lambda: look(self.seconds))
        try:
            return read_generation(output, pause)
        except GenerationError as error:
            if output.given_up:
                self.stop()
                raise output.given_up from None
            raise GenerationError(f"{error}; the process that compiled it {self._end()}") from error
        finally:
            self._end()

    def stop(self) -> None:
        """End the child; who waits for the version gets a GenerationError. Safe in any thread."""
        self._child.kill()

    def _end(self) -> str:
        for pipe in (self._child.stdin, self._child.stdout):
            cast("BinaryIO", pipe).close()
        code = self._exit_code()
        return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"

    def _exit_code(self) -> int:
        try:
            return self._child.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            # All that it was to say has been said.
            self.stop()
            return self._child.wait()


class _Output:
    """What a child writes, up to where `look` has a reason to end it: a child that is stuck writes nothing."""

    def __init__(self, pipe: BinaryIO, look: Callable[[], Exception | None]) -> None:
        self.given_up: Exception | None = None
        self._pipe = pipe.fileno()
        self._look = look
        self._next_look = monotonic_seconds() + _LOOK_SECONDS
        self._poll = select.poll()
        self._poll.register(self._pipe, select.POLLIN)

    def read(self, length: int, /) -> bytes:
        """Read so many bytes, fewer only at the end of the output."""
        chunks: list[bytes] = []
        while length and (chunk := self._some(length)):
            chunks.append(chunk)
            length -= len(chunk)
        return b"".join(chunks)

    def _some(self, most: int) -> bytes:
        while self.given_up is None:
            is_ready = self._poll.poll(_LOOK_SECONDS * 1000)
            if monotonic_seconds() >= self._next_look:
                self.given_up = self._look()
                self._next_look = monotonic_seconds() + _LOOK_SECONDS
            if is_ready:
                return os.read(self._pipe, most)
        return b""
