"""What every test session begins with."""

from __future__ import annotations

import functools
import gc
import os

import pytest
from hypothesis import settings

from cors_authz.pdp import decide

# How long an example takes is the machine's affair: what is slow is found by the bench.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what changes a constant of a module that is compiled: there it stands in the code."""
    if decide.__file__.endswith(".py"):
        return
    for item in items:
        if item.get_closest_marker("changes_constants"):
            item.add_marker(pytest.mark.skip("it changes a constant, which native code has in place"))


def pytest_sessionstart() -> None:
    """Forget what was computed before, where a mutant is under test.

    mutmut forks from a process that has run the suite once: what the unchanged code left in a cache would answer for
    the changed one.
    """
    if "MUTANT_UNDER_TEST" not in os.environ:
        return
    for thing in gc.get_objects():
        if isinstance(thing, functools._lru_cache_wrapper):  # noqa: SLF001 - the only name of its type
            thing.cache_clear()
