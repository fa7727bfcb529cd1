"""The one place that reads the clock and draws random numbers; everyone else is handed them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime


def now_seconds() -> float:
    """Give the time in seconds since the epoch."""
    return time.time()  # noqa: TID251 - the place that the ban names


def now() -> datetime:
    """Give the time as an instant in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the place that the ban names


def monotonic_seconds() -> float:
    """Give seconds that never go back, from an arbitrary beginning."""
    return time.monotonic()


def new_decision_id() -> str:
    """Draw the id of a decision: 32 hexadecimal digits that nobody can guess."""
    return os.urandom(16).hex()
