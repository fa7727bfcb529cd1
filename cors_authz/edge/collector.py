"""The garbage collector while a policy is loaded: at rest, as all that loading makes is kept or freed without it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Load a policy without the collector, and keep it out of the collector's sight from then on.

    Of ten thousand groups and a hundred thousand origins come millions of objects, none of which refers back. To walk
    them over and over more than doubles the time of loading; to walk them once more later stops every thread for
    seconds. What is no longer referred to is freed all the same. What other threads leave in circles meanwhile is kept
    for good: checks leave none.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
