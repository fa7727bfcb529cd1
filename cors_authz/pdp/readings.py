"""Readings: the facts of the outside world that one decision needs, gathered before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, unique
from typing import NamedTuple


@unique
class TokenState(Enum):
    """What became of a provider's token; `UNAVAILABLE` says that the keys to check it with cannot be had."""

    VALID = "valid"
    MISSING = "missing"
    INVALID = "invalid"
    EXPIRED = "expired"
    UNAVAILABLE = "unavailable"


class TokenReading(NamedTuple):
    """A provider's token as it was read.

    `claims` and `roles` are empty unless the state is `VALID`. `why` is a fragment of a sentence for the operator, such
    as "issuer is not https://id.example"; it never holds the token or a part of it.
    """

    state: TokenState
    claims: Mapping[str, object]
    why: str = ""
    roles: tuple[str, ...] = ()


class Readings(NamedTuple):
    """The time, in seconds since the epoch, and the tokens by the name of their provider."""

    now: float
    tokens: Mapping[str, TokenReading]
