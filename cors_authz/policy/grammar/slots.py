"""Slots as they are written: `{name}` within a label or a segment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from cors_authz.policy.pattern import Slot, SlotAt

LABEL_SLOTS: Final[Mapping[str, Slot]] = {
    slot.value: slot for slot in (Slot.DIGITS, Slot.HEX, Slot.ALNUM, Slot.SLUG, Slot.LABEL)
}

CAPTURED: Final = ("{tenant}", "{version}")
"""The slots whose text a decision reads; other names document."""


def tokens_of(text: str) -> list[str]:
    """Split a label or a segment into its texts and slots, in their order; a brace without its pair is text."""
    return [token for token in re.split(r"(\{[^{}]*\})", text) if token]


def is_slot(token: str) -> bool:
    """Tell whether a token is a slot, of whatever name."""
    return token.startswith("{") and token.endswith("}")


def slot_at(elements: Sequence[str], name: str) -> SlotAt | None:
    """Find where a slot stands, such as `{tenant}`; None if it stands nowhere."""
    for index, element in enumerate(elements):
        before, slot, after = element.partition(name)
        if slot:
            return SlotAt(index, len(before), len(after))
    return None


def object_to_repeated_names(text: str) -> str | None:
    """Object to a captured slot that stands twice."""
    repeated = next((name for name in CAPTURED if text.count(name) > 1), None)
    return f": `{repeated}` stands twice; which of the two would be meant?" if repeated else None
