"""What supervisor and worker say to each other: frames of a kind, a length and bytes, over a pair of sockets."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum, unique
from typing import BinaryIO, Final, NamedTuple

MAX_REPORT_BYTES: Final = 64 * 1024
"""A worker reads what strangers send, so what it reports is bounded, and no more than text and numbers."""

_HEAD: Final = struct.Struct("!BI")


class FrameError(Exception):
    """What came is no frame."""


@unique
class Kind(IntEnum):
    """The kinds of frames."""

    BEGIN = 1
    """To a worker: how to run (pickle)."""
    GENERATION = 2
    """To a worker: the number of a generation, to be loaded from the parts that follow."""
    PART = 3
    """To a worker: a part of the generation."""
    LAST_PART = 4
    """To a worker: the generation is complete."""
    SWAP = 5
    """To a worker: put the generation of this number in force."""
    NEWEST = 6
    """To a worker: whether the newest version of the policy is the one in force (1 or 0)."""
    LOADED = 7
    """From a worker: the generation of this number is loaded."""
    SERVING = 8
    """From a worker: the number of the generation in force, and the address where it decides by it."""
    REFUSED = 9
    """From a worker: why it cannot listen."""


class Frame(NamedTuple):
    """A kind and what belongs to it."""

    kind: Kind
    payload: bytes


class Loaded(NamedTuple):
    """A worker has loaded a generation."""

    generation: int

    def frame(self) -> bytes:
        """Write it."""
        return encode(Kind.LOADED, b"%d" % self.generation)


class Serving(NamedTuple):
    """A worker decides by a generation at an address."""

    generation: int
    address: str

    def frame(self) -> bytes:
        """Write it."""
        return encode(Kind.SERVING, f"{self.generation} {self.address}".encode())


class Refused(NamedTuple):
    """A worker cannot listen."""

    why: str

    def frame(self) -> bytes:
        """Write it."""
        return encode(Kind.REFUSED, self.why.encode(errors="replace"))


Report = Loaded | Serving | Refused


def encode(kind: Kind, payload: bytes) -> bytes:
    """Write a frame."""
    return head(kind, payload) + payload


def head(kind: Kind, payload: bytes) -> bytes:
    """Write what goes before the payload of a frame. It stays apart, so that many workers are sent the same bytes."""
    return _HEAD.pack(kind, len(payload))


def read(stream: BinaryIO) -> Frame | None:
    """Wait for the next frame of a supervisor; None where the stream ends, be it in the middle of a frame.

    Raises: FrameError for a kind that is none.
    """
    first = stream.read(_HEAD.size)
    if len(first) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(first)
    payload = stream.read(length)
    return Frame(_kind(kind), payload) if len(payload) == length else None


class Inbox:
    """Puts the reports of a worker together from bytes as they come."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, received: bytes) -> Iterator[Report]:
        """Take bytes and give every report that they complete.

        Raises: FrameError for what is no report, and for one beyond `MAX_REPORT_BYTES`.
        """
        self._held += received
        while len(self._held) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._held)
            if length > MAX_REPORT_BYTES:
                raise FrameError(f"a report of {length} bytes is beyond {MAX_REPORT_BYTES}")
            end = _HEAD.size + length
            if len(self._held) < end:
                return
            payload = bytes(self._held[_HEAD.size : end])
            del self._held[:end]
            yield _report(_kind(kind), payload)


def _report(kind: Kind, payload: bytes) -> Report:
    try:
        if kind is Kind.LOADED:
            return Loaded(int(payload))
        if kind is Kind.SERVING:
            generation, _, address = payload.decode().partition(" ")
            return Serving(int(generation), address)
        if kind is Kind.REFUSED:
            return Refused(payload.decode())
    except ValueError as error:
        raise FrameError(f"{payload[:100]!r} is no report of kind {kind.name}") from error
    raise FrameError(f"{kind.name} is not for a supervisor")


def _kind(number: int) -> Kind:
    try:
        return Kind(number)
    except ValueError as error:
        raise FrameError(f"{number} is no kind of frame") from error
