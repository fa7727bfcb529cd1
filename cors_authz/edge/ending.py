"""How a process of ours is told to end."""

from __future__ import annotations

import signal
import sys
from threading import Event
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Each of them drains a service. SIGHUP is what a terminal that goes away sends."""

_HEED_SECONDS: Final = 0.5


def end_at_once() -> None:
    """Let each signal end this process from now on, until something is served; to be called in the main thread."""
    # The first process of a container is sent no signal that it has no handler for.
    for number in SIGNALS:
        signal.signal(number, _exit)


def ended_by_signal() -> Event:
    """Give what each signal sets from now on, and `wait_for` waits for; to be called in the main thread."""
    ended = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in SIGNALS:
        signal.signal(number, end)
    return ended


def wait_for(ended: Event) -> None:
    """Wait, in the main thread, until it is set."""
    # Python handles signals in this thread, and the kernel may wake another by them, as it does where the process was
    # stopped: a wait without a bound would sleep on.
    while not ended.wait(_HEED_SECONDS):
        pass


def _exit(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
