"""Texts that clients write, as they may be counted, recorded and told."""

from __future__ import annotations

from typing import Final

MAX_TEXT: Final = 256
"""None is longer, wherever it goes."""


def carried(text: str) -> str:
    """Cut a text, and replace what no label and no JSON carries: half of a surrogate pair, as a path may decode to."""
    text = text[:MAX_TEXT]
    return text if text.isascii() else text.encode(errors="replace").decode()
