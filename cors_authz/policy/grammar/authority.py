"""What origins and hosts are made of: scheme, host and port, taken apart before anything is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from cors_authz.policy.grammar.slots import tokens_of
from cors_authz.policy.pattern import Piece, Slot

LONGEST_NAME: Final = 253
LONGEST_SCHEME: Final = 64

TAILS: Final = {"/": "no path", "\\": "no path", "?": "no query", "#": "no fragment"}
"""What ends a host, and what the rest is then called."""


class Parts(NamedTuple):
    """An origin or a host, taken apart without judging it. `user` ends in `@`; `port` is None where no colon stands."""

    scheme: str
    user: str
    host: str
    port: str | None
    tail: str

    def __str__(self) -> str:
        front = f"{self.scheme}://" if self.scheme else ""
        return front + self.host + (f":{self.port}" if self.port is not None else "")


@dataclass(frozen=True, slots=True)
class Grammar:
    """In what origins and hosts differ: how they are called, their slots, whether `:*` is written, and the mends."""

    noun: str
    slots: Mapping[str, Slot]
    any_port: bool
    mends: tuple[Callable[[Parts], tuple[Parts, str]], ...]


def take_apart(text: str) -> Parts:
    """Split an origin or a host. Never raises: what is odd ends up in one of the parts."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    end = next((at for at, letter in enumerate(rest) if letter in TAILS), len(rest))
    user, at, address = rest[:end].rpartition("@")
    host, port = _split_port(address)
    return Parts(scheme, user + at, host, port, rest[end:])


def _split_port(address: str) -> tuple[str, str | None]:
    bracket = address.rfind("]")
    # Two colons without brackets are an IPv6 address that lacks them, not a port.
    if ":" not in address[bracket + 1 :] or (bracket < 0 and address.count(":") > 1):
        return address, None
    host, _, port = address.rpartition(":")
    return host, port


def labels_of(host: str, slots: Mapping[str, Slot]) -> tuple[bool, tuple[Piece, ...]]:
    """Tell whether a host that is well formed begins with `*.`, and read its labels from left to right."""
    labels = [host] if host.startswith("[") else host.removeprefix("*.").split(".")
    return host.startswith("*."), tuple(_piece(label, slots) for label in labels)


# Names of a policy share their last labels, and a piece of its own for each label would be most of their memory.
@lru_cache(maxsize=1024)
def text_piece(label: str) -> Piece:
    """Give the piece of a label without a slot; the same one for the same label."""
    return (label,)


def _piece(label: str, slots: Mapping[str, Slot]) -> Piece:
    return tuple(slots.get(token, token) for token in tokens_of(label)) or ("",)
