"""A worker as its supervisor sees it: a process, and a socket that neither side waits for."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from cors_authz.edge.settings import Settings
from cors_authz.edge.workers.frames import Inbox, Kind, Report, head

_WORKER: Final = "cors_authz.edge.workers.worker"
_RECEIVED_BYTES: Final = 64 * 1024
_REAP_SECONDS: Final = 5.0


class Begin(NamedTuple):
    """How a worker is to run: the settings of all, its number, and its own address."""

    settings: Settings
    number: int
    address: str


class WorkerProcess:
    """A worker that runs.

    Args:
        begin: how it is to run.
        environment: its environment variables.

    Raises: OSError if there can be no further process.
    """

    def __init__(self, begin: Begin, environment: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - this very interpreter, with this very package
                    # -P: nothing in the directory where the service was started is taken for a module of ours.
                    [sys.executable, "-P", "-m", _WORKER, str(theirs.fileno())],
                    env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    # The keys of a terminal end the supervisor, which drains the workers. Not in a session of its own:
                    # Linux would share the CPU out among sessions, and the compiler could not give way to the workers.
                    process_group=0,
                )
            except OSError:
                self._socket.close()
                raise
        self._socket.settimeout(0)
        self.has_listened = False
        self._inbox = Inbox()
        self._outbox: deque[memoryview] = deque()
        self.send(Kind.BEGIN, pickle.dumps(begin))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._socket.fileno()

    def has_more_to_send(self) -> bool:
        """Tell whether `pump` has something to do once the socket takes more."""
        return bool(self._outbox)

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Have a frame sent; `pump` sends it."""
        self._outbox += (memoryview(head(kind, payload)), memoryview(payload))

    def pump(self) -> None:
        """Send what the socket takes now. Where nobody listens any more, `receive` tells."""
        try:
            while self._outbox:
                if self._outbox[0]:
                    sent = self._socket.send(self._outbox[0])
                    self._outbox[0] = self._outbox[0][sent:]
                else:
                    self._outbox.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._outbox.clear()

    def receive(self) -> Iterable[Report] | None:
        """Take what has come; None once nothing more will.

        Raises: FrameError for what is no report; such a worker is not to be trusted on.
        """
        try:
            received = self._socket.recv(_RECEIVED_BYTES)
        except BlockingIOError:
            return ()
        except OSError:
            return None
        return tuple(self._inbox.feed(received)) if received else None

    def abandon(self) -> None:
        """Leave it alone, upon which it leaves at once."""
        self._socket.close()

    def drain(self) -> None:
        """Ask it to leave."""
        self._process.terminate()

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()

    def reap(self) -> str:
        """Bury it once it is over or abandoned; if it lingers, it is killed.

        Returns: how it ended.
        """
        self._socket.close()
        try:
            code = self._process.wait(_REAP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
