"""Protobuf's wire format, as far as answers need it.

Spec: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_LENGTH_DELIMITED: Final = 2
_VARINT_BITS: Final = 7
_VARINT_MORE: Final = 0x80
_SHORT_VARINTS: Final = tuple(bytes((value,)) for value in range(_VARINT_MORE))
_MOST_KEPT: Final = 256


def delimited(number: int, payload: bytes) -> bytes:
    """Write a field that holds bytes, a text or a message."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(payload)) + payload


def varint_field(number: int, value: int) -> bytes:
    """Write a varint, or nothing for zero, as proto3 does; the message around it still says that it is there."""
    return _varint(number << 3) + _varint(value) if value else b""


def _varint(value: int) -> bytes:
    return _SHORT_VARINTS[value] if value < _VARINT_MORE else _long_varint(value)


def _long_varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= _VARINT_MORE:
        encoded.append(value & (_VARINT_MORE - 1) | _VARINT_MORE)
        value >>= _VARINT_BITS
    encoded.append(value)
    return bytes(encoded)


class Spliced:
    """A message around a text: what stands before it follows from its length alone, and is kept by that.

    Args:
        write: serializes the message with a text in it, whatever the text is.
    """

    def __init__(self, write: Callable[[str], bytes]) -> None:
        self._write = write
        self._halves: dict[int, tuple[bytes, bytes]] = {}

    def with_text(self, text: str) -> bytes:
        """Serialize the message with the text in it."""
        raw = text.encode()
        before, after = self._halves.get(len(raw)) or self._learn(len(raw))
        return before + raw + after

    def _learn(self, length: int) -> tuple[bytes, bytes]:
        text = "\0" * length
        before, after = self._write(text).rsplit(text.encode(), 1) if length else (self._write(""), b"")
        if length <= _MOST_KEPT:
            self._halves[length] = before, after
        return before, after
