"""The compilation of one version of the policy, in a child process: a large one would stall every check for seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final, cast

from cors_authz.edge.generation import Generation, GenerationError, read_generation

_CHILD: Final = "cors_authz.edge.compiler"


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
        self._child = subprocess.Popen(  # noqa: S603 - this very interpreter, with this very package
            # -P: nothing in the directory where the service was started is taken for a module of ours.
            [sys.executable, "-P", "-m", _CHILD, str(path), environment],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # It reads the end of its input, which nothing is written to, as the end of this process.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The keys of a terminal end this process, which ends the child.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    def result(self, pause: Callable[[], object]) -> Generation:
        """Wait for the version; once only.

        Args:
            pause: called now and then, to let other threads run.

        Raises: PolicyError, PolicyFilesError, UnknownEnvironmentError as loading does; GenerationError if the child
            fails, is killed, or talks nonsense.
        """
        try:
            return read_generation(cast("BinaryIO", self._child.stdout), pause)
        except GenerationError as error:
            raise GenerationError(f"{error}; the process that compiled it {self._end()}") from error
        finally:
            self._end()

    def stop(self) -> None:
        """End the child; who waits for the version gets a GenerationError. Safe in any thread."""
        self._child.kill()

    def _end(self) -> str:
        for pipe in (self._child.stdin, self._child.stdout):
            cast("BinaryIO", pipe).close()
        code = self._child.wait()
        return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
