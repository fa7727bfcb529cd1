"""The calls that a transport ended without a decision, counted by why."""

from __future__ import annotations

from collections.abc import Iterator

from cors_authz.edge.metrics.catalogue import SHED
from cors_authz.edge.metrics.sample import Sample


class Shed:
    """Counts calls that ended without a decision; each figure is written by one thread."""

    def __init__(self) -> None:
        self.overloaded = 0
        """Refused at once: too many were under way."""
        self.too_long = 0
        """Cancelled: open for too long."""
        self.too_late = 0
        """Refused: their deadline had passed."""

    def samples(self) -> Iterator[Sample]:
        """Read the figures; a `Source`."""
        yield Sample(SHED, ("overloaded",), self.overloaded)
        yield Sample(SHED, ("too_long",), self.too_long)
        yield Sample(SHED, ("too_late",), self.too_late)
