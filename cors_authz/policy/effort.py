"""How long patterns are compared at most: in steps, as a policy has the same findings on every machine."""

from __future__ import annotations

from typing import Final

MOST_COMPARISON_STEPS: Final = 20_000_000
"""For one question about a policy in one environment: some seconds. 10,000 groups take a hundredth of them."""


class EffortSpentError(Exception):
    """Patterns that would take more steps to compare than there are; what was not compared stays open."""


class Effort:
    """The steps that are left. A step is a letter that a search tries in a state, or takes as long."""

    def __init__(self, steps: int = MOST_COMPARISON_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Count steps that are about to be taken.

        Raises: EffortSpentError if fewer are left; then every later call raises, too.
        """
        self._left -= steps
        if self._left < 0:
            raise EffortSpentError
