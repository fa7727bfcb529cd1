"""The chain of an audit trail: each line names its writer, its number and a hash that holds all lines before it.

    {"kind":"decision",…,"writer":"5f0c…","seq":17,"hash":"9b1d…"}

The hash of a line is SHA-256 over the hash of the line before, in hexadecimal, and the line's own bytes up to its hash.
A head is a line of the chain that says where it stands: it names the hash before it, so that it can be read alone, and
may carry a signature of its own hash. It anchors all lines before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

BEGINNING: Final = b"0" * 64
"""The hash before a writer's first line."""

_OBJECT_END: Final = b'"}\n'
_HASH: Final = b',"hash":"'
_EMPTY: Final = sha256()
_WRITER: Final = b',"writer":"'
_CHAINED: Final = re.compile(
    rb',"writer":"([0-9a-z-]{1,64})","seq":([1-9][0-9]{0,17}),"hash":"([0-9a-f]{64})"'
    rb'(?:,"key_id":"([0-9a-f]{16})","signature":"([0-9a-f]{128})")?\}'
)
_HEAD: Final = re.compile(
    rb'\{"kind":"head","time":[0-9.e+]+,"records":[0-9]+,(?:"lost":([1-9][0-9]{0,17}),)?'
    rb'"previous":"([0-9a-f]{64})"(,"end":true)?,"writer":.*',
    re.DOTALL,
)
_SIGNED: Final = b"cors-authz audit head 1\n"


class Signer(Protocol):
    """Signs heads with a private key."""

    @property
    def key_id(self) -> str:
        """The first 16 hexadecimal characters of SHA-256 over the public key's 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Give the signature of a message, 64 bytes."""


class Due(NamedTuple):
    """When heads are due, beside every so many lines: first of all, last of all, and whether that one is the end."""

    first: bool = False
    last: bool = False
    end: bool = False


@dataclass(slots=True)
class Chain:
    """Where a writer's chain stands; not safe to use from several threads.

    Args:
        writer: the id of the writer.
        signer: signs the heads; None leaves them unsigned.
        head_lines: after so many lines there is a head.
        lost: how many lines of the writer were lost up to now; the next head tells those that no head has told of.
    """

    writer: str
    signer: Signer | None
    head_lines: int
    lost: int = 0
    seq: int = 0
    hash: bytes = BEGINNING
    records: int = 0
    unanchored: int = 0
    _told: int = 0
    _named: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Write once what each line says of its writer."""
        self._named = f',"writer":"{self.writer}","seq":'.encode()

    @property
    def is_head_needed(self) -> bool:
        """Tell whether there are records that no head anchors, or losses that none has told of."""
        return self.unanchored > 0 or self.lost > self._told

    def link(self, lines: Iterable[bytes], due: Due, now: float) -> Iterator[bytes]:
        """Link lines, one JSON object each with the end of its line, and put heads between them where they are due.

        The chain stands behind each line that was taken from the iterator.
        """
        if due.first:
            yield self._head(now)
        for line in lines:
            self.records += 1
            self.unanchored += 1
            yield self._linked(line) + _OBJECT_END
            if self.unanchored >= self.head_lines:
                yield self._head(now)
        if due.last and (self.is_head_needed or due.end):
            yield self._head(now, end=due.end)

    def _linked(self, line: bytes) -> bytes:
        self.seq += 1
        body = line[:-2] + self._named + b"%d" % self.seq
        # A copy is made faster than another of its kind, and two pieces are hashed faster than put together.
        digest = _EMPTY.copy()
        digest.update(self.hash)
        digest.update(body)
        self.hash = digest.hexdigest().encode()
        return body + _HASH + self.hash

    def _head(self, now: float, *, end: bool = False) -> bytes:
        lost, self._told = self.lost - self._told, self.lost
        self.unanchored = 0
        said = b'{"kind":"head","time":%.6f,"records":%d,%b"previous":"%b"%b}\n' % (
            now,
            self.records,
            b'"lost":%d,' % lost if lost else b"",
            self.hash,
            b',"end":true' if end else b"",
        )
        line = self._linked(said)
        if self.signer is None:
            return line + _OBJECT_END
        signature = self.signer.sign(signed_text(self.hash)).hex()
        return line + f'","key_id":"{self.signer.key_id}","signature":"{signature}'.encode() + _OBJECT_END


class Head(NamedTuple):
    """What a head says.

    How many lines were lost since the last one, the hash before it, whether its writer ended there, whose key signed
    it, and how.
    """

    lost: int
    previous: bytes
    is_end: bool
    key_id: str
    signature: bytes


class Chained(NamedTuple):
    """A line of a chain, taken apart: `body` is what its hash covers beside the hash before."""

    writer: str
    seq: int
    hash: bytes
    body: bytes
    head: Head | None

    def follows(self, previous: bytes) -> bool:
        """Tell whether the line is unchanged, given the hash of the line before."""
        return sha256(previous + self.body).hexdigest().encode() == self.hash


def read_chained(line: bytes) -> Chained | None:
    """Take a line apart, without its end; None for one that is no line of a chain. Never raises."""
    at = line.rfind(_WRITER)
    found = _CHAINED.fullmatch(line, at) if at > 0 else None
    said = _HEAD.fullmatch(line)
    # A signature is a head's: no hash holds it, so at a record it was put in.
    if found is None or (found[4] and not said):
        return None
    writer, seq, digest, key_id, signature = found.groups(b"")
    body = line[: found.start(3) - len(_HASH)]
    head = (
        Head(int(said[1] or 0), said[2], bool(said[3]), key_id.decode(), bytes.fromhex(signature.decode()))
        if said
        else None
    )
    return Chained(writer.decode(), int(seq), digest, body, head)


def signed_text(digest: bytes) -> bytes:
    """Give what the signature of a head with this hash covers."""
    return _SIGNED + digest
