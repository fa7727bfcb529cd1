"""Equal values kept once: the rules of a large policy say the same few lists of methods and headers over and over."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, TypeVar

T = TypeVar("T", frozenset[str], tuple[str, ...])

_MOST_KEPT: Final = 1024


def shared(value: T) -> T:
    """Give the value itself, or an equal one that was given before."""
    first: T = _first(value)
    return first


@lru_cache(maxsize=_MOST_KEPT)
def _first(value: T) -> T:
    return value
