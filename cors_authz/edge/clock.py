"""The one place that reads the clock and draws random numbers; everyone else is handed them."""

from __future__ import annotations

import os
import time
from collections import deque
from datetime import UTC, datetime
from typing import Final


def now_seconds() -> float:
    """Give the time in seconds since the epoch."""
    return time.time()  # noqa: TID251 - the place that the ban names


def now() -> datetime:
    """Give the time as an instant in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the place that the ban names


def timer_seconds() -> float:
    """Give seconds from an arbitrary beginning, as finely as the machine counts, to measure short times."""
    return time.perf_counter()


def monotonic_seconds() -> float:
    """Give seconds that never go back, from an arbitrary beginning."""
    return time.monotonic()


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
