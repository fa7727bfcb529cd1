"""The one place that reads the clock and draws random numbers; everyone else is handed them."""

from __future__ import annotations

import os
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final

now_seconds: Final = time.time  # noqa: TID251 - the place that the ban names
"""Gives the time in seconds since the epoch."""

timer_seconds: Final = time.perf_counter
"""Gives seconds from an arbitrary beginning, as finely as the machine counts, to measure short times."""

monotonic_seconds: Final = time.monotonic
"""Gives seconds that never go back, from an arbitrary beginning."""


def now() -> datetime:
    """Give the time as an instant in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the place that the ban names


class _DecisionIds:
    """Draws many ids at once: to ask the system for each would cost as much as to look up an origin."""

    _DIGITS: Final = 32
    _AT_ONCE: Final = 1024

    def __init__(self) -> None:
        self._drawn: deque[str] = deque()

    def __call__(self) -> str:
        """Draw the id of a decision: 32 hexadecimal digits that nobody can guess. Safe to use from many threads."""
        try:
            return self._drawn.popleft()
        except IndexError:
            digits = os.urandom(self._AT_ONCE * self._DIGITS // 2).hex()
            self._drawn.extend(digits[at : at + self._DIGITS] for at in range(self._DIGITS, len(digits), self._DIGITS))
            return digits[: self._DIGITS]


new_decision_id: Final = _DecisionIds()
