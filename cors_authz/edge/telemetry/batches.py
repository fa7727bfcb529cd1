"""What is sent to a collector waits here, and goes in batches from a thread of its own.

Not by the SDK's own processor: it tells nobody how much it dropped, its end may take half a minute, and its batches are
long enough to hold up checks.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Final, Generic, TypeVar

from cors_authz.edge.settings_error import SettingsError

_log = logging.getLogger(__name__)

STOP_SECONDS: Final = 2.0
"""How long the end waits for the collector."""
PAUSE_SECONDS: Final = 0.001
"""How long other threads have the interpreter to themselves after each batch."""

_MILLISECONDS: Final = 1000
_LARGEST: Final = 1_000_000
_DIGITS: Final = 7

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How much waits, and for how long.

    Args:
        waiting: what comes while so many wait is dropped, and counted.
        batch: how many are sent at once, at most.
        delay_seconds: how long one waits for others, at most.
    """

    waiting: int = 2048
    # The SDK's 512 would keep the interpreter from the checks for 50 ms; so few are made in less than 2.
    batch: int = 16
    delay_seconds: float = 5.0

    @classmethod
    def from_environment(cls, prefix: str, environ: Mapping[str, str]) -> BatchOptions:
        """Read `<PREFIX>_MAX_QUEUE_SIZE`, `_MAX_EXPORT_BATCH_SIZE` and `_SCHEDULE_DELAY` (milliseconds).

        Raises: SettingsError.
        """
        standard = cls()
        waiting = _number(f"{prefix}_MAX_QUEUE_SIZE", standard.waiting, environ)
        batch = _number(f"{prefix}_MAX_EXPORT_BATCH_SIZE", min(standard.batch, waiting), environ)
        delay = _number(f"{prefix}_SCHEDULE_DELAY", int(standard.delay_seconds * _MILLISECONDS), environ)
        if batch > waiting:
            name = f"{prefix}_MAX_EXPORT_BATCH_SIZE"
            raise SettingsError(f"{name}: `{batch}` never gather where {waiting} may wait; write {waiting} or less")
        return cls(waiting, batch, delay / _MILLISECONDS)


class Batches(Generic[_T]):
    """Takes items from any thread, and never waits; sends them in batches.

    Args:
        what: what they are, in the plural.
        send: sends a batch, and tells whether it was taken; may take its time. What it raises is logged.
        options: how much waits, and for how long.
    """

    def __init__(self, what: str, send: Callable[[Sequence[_T]], bool], options: BatchOptions) -> None:
        self._what, self._send, self._options = what, send, options
        self._most, self._enough = options.waiting, options.batch
        self._items: deque[_T] = deque()
        self._dropping = Lock()
        self._is_dropping = False
        self._was_taken = True
        self._awake = Event()
        self._ended = False
        self._thread = Thread(target=self._run, name=what, daemon=True)
        self.dropped = 0

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(self, item: _T) -> None:
        """Hand over an item; returns at once."""
        items = self._items
        if len(items) >= self._most:
            self._drop(1)
            self._is_dropping = True
            return
        items.append(item)
        if len(items) >= self._enough and not self._awake.is_set():
            self._awake.set()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Send what waits, for so long at most; what waits then is dropped."""
        self._ended = True
        self._awake.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        if rest := len(self._take(self._most)):
            self._drop(rest)

    def _run(self) -> None:
        while not self._ended:
            self._awake.wait(self._options.delay_seconds)
            self._awake.clear()
            self._send_waiting()
        self._send_waiting()

    def _send_waiting(self) -> None:
        # As many batches as wait now: what comes meanwhile may gather for the next round.
        has_told = False
        for _ in range(0, len(self._items), self._enough):
            is_taken = self._is_taken(self._take(self._enough))
            # Where the collector fails, the pace is not why: that it fails is told already.
            if is_taken and self._was_taken and self._is_dropping and not has_told:
                has_told = True
                _log.warning("%s are made faster than they are sent, and some are dropped; sample fewer", self._what)
            self._is_dropping, self._was_taken = False, is_taken
            if not self._ended:
                time.sleep(PAUSE_SECONDS)

    def _is_taken(self, batch: Sequence[_T]) -> bool:
        try:
            return self._send(batch)
        except Exception:  # noqa: BLE001 - the thread goes on, and so do decisions
            _log.exception("a batch of %s is lost", self._what)
            self._drop(len(batch))
            return False

    def _take(self, most: int) -> list[_T]:
        taken: list[_T] = []
        try:
            while len(taken) < most:
                taken.append(self._items.popleft())
        except IndexError:
            # Whoever ends us takes as well.
            pass
        return taken

    def _drop(self, number: int) -> None:
        with self._dropping:
            self.dropped += number


def _number(name: str, standard: int, environ: Mapping[str, str]) -> int:
    text = environ.get(name, "").strip() or str(standard)
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:_DIGITS]) <= _LARGEST and len(text) <= _DIGITS):
        raise SettingsError(f"{name}: `{text}` cannot be; write a whole number from 1 to {_LARGEST}")
    return int(text)
