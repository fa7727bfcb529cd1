"""Messages between the streams that bring them and the one thread that compares them: bounded in bytes and in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition


class Inbox:
    """Holds messages until they are taken.

    Args:
        most_bytes: how many bytes may wait; one message may, however long.
        patience_seconds: for which a message waits for room.
    """

    def __init__(self, most_bytes: int, patience_seconds: float) -> None:
        self._changed = Condition()
        self._most_bytes, self._patience_seconds = most_bytes, patience_seconds
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._is_closed = False

    def put(self, message: bytes) -> bool:
        """Hand over a message, and tell whether there was room within the time that it may wait."""
        with self._changed:
            # Whoever waits here leaves the processor to the comparison, and gRPC holds its sender back.
            self._changed.wait_for(lambda: self._is_closed or self._has_room(message), self._patience_seconds)
            if self._is_closed or not self._has_room(message):
                return False
            self._waiting.append(message)
            self._bytes += len(message)
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Take no more; what waits is still to be had."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        """Give one message after the other, waiting for them, until it is closed and empty."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return
                message = self._waiting.popleft()
                self._bytes -= len(message)
                self._changed.notify_all()
            yield message

    def _has_room(self, message: bytes) -> bool:
        return not self._waiting or self._bytes + len(message) <= self._most_bytes
