"""How findings write what the policy names: durations, instants, lists, and names that nothing has."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Final

from cors_authz.policy.finding import shown, ticked

_MOST_NAMES: Final = 10
_UNITS: Final = (("h", timedelta(hours=1)), ("m", timedelta(minutes=1)), ("s", timedelta(seconds=1)))


def duration_text(duration: timedelta) -> str:
    """Write a duration as a policy does, in the largest unit, up to hours, that divides it."""
    for unit, length in _UNITS:
        if not duration % length and duration:
            return f"{duration // length}{unit}"
    return f"{duration // timedelta(milliseconds=1)}ms" if duration else "0s"


def instant_text(moment: datetime) -> str:
    """Write an instant in UTC as a policy does: `2026-11-20T00:00:00Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def list_text(values: Iterable[str]) -> str:
    """Write values as a list in a policy: `[cookie, mtls]`."""
    return f"[{', '.join(values)}]"


def unknown_name_text(name: str, kind: str, known: Iterable[str]) -> str:
    """Say that nothing of a kind has the name, and which one was meant, or else which there are.

    Args:
        name: what the policy says.
        kind: what it should name, without its article: `origin group`.
        known: the names that there are.
    """
    names = list(known)
    said = f"`{shown(name)}` is no {kind}"
    near = get_close_matches(name, names, 1)
    if near:
        return f"{said}; did you mean `{near[0]}`?"
    if not names:
        return f"{said}; there is none"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{said}; there are {ticked(names[:_MOST_NAMES])}{more}"
