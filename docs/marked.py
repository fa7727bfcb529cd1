"""Tables in Markdown, and the place in a document that a program writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def between(document: str, begin: str, end: str, new: str) -> str:
    """Put new text between two markers of a document.

    Raises: ValueError without both markers.
    """
    before, found, rest = document.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the document has no place for it: write {begin} and {end}")
    return f"{before}{begin}\n{new}\n{end}{after}"
