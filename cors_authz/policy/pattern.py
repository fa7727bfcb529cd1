"""Patterns for origins, hosts and paths: what the policy's text is once it is read, and which text fits a part of it.

There are no regular expressions, so everything that lint and diff ask of a pattern is decidable.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final, NamedTuple

LONGEST_LABEL: Final = 63

_LOWER_AND_DIGITS: Final = string.ascii_lowercase + string.digits

UNRESERVED: Final = frozenset(string.ascii_letters + string.digits + "-._~")
SEGMENT_CHARACTERS: Final = "".join(sorted(UNRESERVED)) + "!$&'()*+,;=:@%"


class Problem(NamedTuple):
    """Why a text is no pattern: the code of the lint rule, and the sentence that follows it in a finding."""

    code: str
    text: str


class SlotAt(NamedTuple):
    """Where a captured slot stands: an element, and how much text of the element stands before and after the slot.

    Elements count from 0: labels of a host from the right, segments of a path from the left.
    """

    element: int
    prefix: int
    suffix: int


@unique
class Slot(Enum):
    """A part of a label or a segment that stands for one or more characters."""

    DIGITS = "{digits}"
    HEX = "{hex}"
    ALNUM = "{alnum}"
    SLUG = "{slug}"
    LABEL = "{label}"
    """Also `{tenant}` and `{version}` in hosts: names differ, the characters do not."""
    SEGMENT = "*"
    """Also every `{name}` in paths: anything but `/`."""

    @property
    def letters(self) -> str:
        """The characters that may stand anywhere in the slot; of segments those that a path may have at all."""
        return _SLOT_LETTERS[self]

    @property
    def has_inner_hyphens(self) -> bool:
        """Whether `-` may stand in the slot, though neither first nor last."""
        return self is Slot.SLUG or self is Slot.LABEL


_SLOT_LETTERS: Mapping[Slot, str] = {
    Slot.DIGITS: string.digits,
    Slot.HEX: string.digits + "abcdef",
    Slot.ALNUM: _LOWER_AND_DIGITS,
    Slot.SLUG: _LOWER_AND_DIGITS,
    Slot.LABEL: _LOWER_AND_DIGITS + "_",
    Slot.SEGMENT: SEGMENT_CHARACTERS,
}

Piece = tuple[str | Slot, ...]
"""One label or one segment: texts and slots in their order. A literal one is `(text,)`."""


def is_literal(piece: Piece) -> bool:
    """Tell whether a label or segment is text without a slot."""
    return Slot not in map(type, piece)


def written(parts: Iterable[str | Slot]) -> str:
    """Write a label, a segment or a part of one as the policy does, all captured slots as `{label}`."""
    return "".join(part.value if isinstance(part, Slot) else part for part in parts)


@dataclass(frozen=True, slots=True)
class OriginPattern:
    """The origins of one scheme whose host and port fit.

    `labels` stand left to right without the `*.` of `wildcard`; an IPv6 address is one label with its brackets, an IPv4
    address four; a final dot is a last label `("",)`. `port` is "" for none and "*" for any, none included.
    """

    text: str
    scheme: str
    host: str
    wildcard: bool
    labels: tuple[Piece, ...]
    port: str

    @property
    def is_exact(self) -> bool:
        """Whether the pattern is one serialized origin."""
        # Braces stand in no name: as text they would have been refused.
        return not self.wildcard and self.port != "*" and "{" not in self.host


@dataclass(frozen=True, slots=True)
class HostPattern:
    """The hosts, as `Host` names them, that a match entry takes. `labels` as in origins; `port` is "" for any."""

    text: str
    host: str
    wildcard: bool
    labels: tuple[Piece, ...]
    port: str
    tenant: SlotAt | None = None
    version: SlotAt | None = None


@dataclass(frozen=True, slots=True)
class PathTemplate:
    """The paths that a match entry takes. `text` is in normal form; `rest` is a final `**`, zero or more segments."""

    text: str
    segments: tuple[Piece, ...]
    rest: bool
    tenant: SlotAt | None = None
    version: SlotAt | None = None


# --- Matching ---------------------------------------------------------------------------------------------------------


def piece_matcher(piece: Piece) -> Callable[[str], bool]:
    """Build the test whether a label or segment of a request fits a piece.

    Returns: a function that takes any text, never raises, and takes time linear in the text's length. A label with a
    slot has at most 63 characters; a segment has no bound of its own.
    """
    slots = [part for part in piece if isinstance(part, Slot)]
    if not slots:
        return "".join(part for part in piece if isinstance(part, str)).__eq__
    if len(slots) > 1:
        return _several_slots_matcher(piece)
    at = piece.index(slots[0])
    prefix, suffix = written(piece[:at]), written(piece[at + 1 :])
    if slots[0] is Slot.SEGMENT:
        return _segment_matcher(prefix, suffix)
    return _label_matcher(prefix, slots[0], suffix)


def _segment_matcher(prefix: str, suffix: str) -> Callable[[str], bool]:
    shortest = len(prefix) + len(suffix) + 1

    def matches(text: str) -> bool:
        return len(text) >= shortest and text.startswith(prefix) and text.endswith(suffix) and "/" not in text

    return matches


def _label_matcher(prefix: str, slot: Slot, suffix: str) -> Callable[[str], bool]:
    shortest, start, end = len(prefix) + len(suffix) + 1, len(prefix), len(suffix)
    inner = slot.has_inner_hyphens
    letters = slot.letters + "-" * inner

    def matches(text: str) -> bool:
        if not (shortest <= len(text) <= LONGEST_LABEL and text.startswith(prefix) and text.endswith(suffix)):
            return False
        middle = text[start : len(text) - end]
        # What is left after stripping begins with a foreign character: one pass in C instead of a loop here.
        return not middle.strip(letters) and not (inner and "-" in (middle[0], middle[-1]))

    return matches


@unique
class _Role(Enum):
    """What may follow a position of a piece: the next one, itself too, or a hyphen of the same slot."""

    STEP = 0
    LOOP = 1
    BODY = 2
    HYPHEN = 3


def _positions(piece: Piece) -> Iterator[tuple[str, _Role]]:
    for part in piece:
        if isinstance(part, str):
            yield from ((letter, _Role.STEP) for letter in part)
        elif part.has_inner_hyphens:
            yield from ((part.letters, _Role.BODY), ("-", _Role.HYPHEN))
        else:
            yield part.letters, _Role.LOOP


def _several_slots_matcher(piece: Piece) -> Callable[[str], bool]:
    # All ways to share the text among the slots are followed at once, as bits of a number: no way back, so no blow-up.
    bits = dict.fromkeys(_Role, 0)
    fitting: dict[str, int] = {}
    bit = 1
    for letters, role in _positions(piece):
        bit <<= 1
        bits[role] |= bit
        fitting.update((letter, fitting.get(letter, 0) | bit) for letter in letters)
    bodies, hyphens = bits[_Role.BODY], bits[_Role.HYPHEN]
    loops = bits[_Role.LOOP] | bodies | hyphens
    accepted = bit >> 1 if bit & hyphens else bit

    def matches(text: str) -> bool:
        alive = 1 if len(text) <= LONGEST_LABEL else 0
        for letter in text:
            after = (alive & ~hyphens) << 1 | alive & loops | (alive & bodies) << 2 | (alive & hyphens) >> 1
            alive = after & fitting.get(letter, 0)
        return bool(alive & accepted)

    return matches
