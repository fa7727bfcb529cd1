"""News from other threads and from signals, for a loop that waits on descriptors."""

from __future__ import annotations

import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType

_DRAINED_BYTES = 4096


class Mailbox:
    """Holds what the thread that waits on it is to do; `put` is safe in any thread and in a signal's handler."""

    def __init__(self) -> None:
        self._letters: deque[Callable[[], None]] = deque()
        self._opening, self._slot = socket.socketpair()
        self._opening.settimeout(0)
        self._slot.settimeout(0)

    def fileno(self) -> int:
        """Give the descriptor to wait on."""
        return self._opening.fileno()

    def put(self, letter: Callable[[], None]) -> None:
        """Have something done."""
        self._letters.append(letter)
        # Where it is full, it wakes by what it is full of.
        with suppress(BlockingIOError):
            self._slot.send(b"\0")

    def put_at(self, signals: tuple[signal.Signals, ...], letter: Callable[[], None]) -> None:
        """Have something done whenever one of the signals arrives; from the main thread only."""

        def put(_number: int, _frame: FrameType | None) -> None:
            self.put(letter)

        for number in signals:
            signal.signal(number, put)
        # The kernel may give a signal to any thread, as it does where the process was stopped; handlers run in the main
        # thread, once that is awake.
        signal.set_wakeup_fd(self._slot.fileno(), warn_on_full_buffer=False)

    def take(self) -> Iterator[Callable[[], None]]:
        """Take out what is there."""
        with suppress(BlockingIOError):
            self._opening.recv(_DRAINED_BYTES)
        while self._letters:
            yield self._letters.popleft()

    def close(self) -> None:
        """Throw it away, in the main thread."""
        signal.set_wakeup_fd(-1)
        self._opening.close()
        self._slot.close()
