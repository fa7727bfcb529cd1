"""All that is counted, read at one moment: a source that fails is told of once, and the others are read on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from cors_authz.edge.metrics.sample import Metric, Sample, Source

_log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 0.001
"""After so much work, whoever waits for the interpreter gets it: it would have to wait for five times as long."""
_SAMPLES_AT_ONCE: Final = 250

T = TypeVar("T")


def unhurried(items: Iterable[T], at_once: int, sleep: Callable[[float], object]) -> Iterator[T]:
    """Hand on items, and let others run after so many of them, that is after less than half a millisecond."""
    for number, item in enumerate(items, 1):
        yield item
        if not number % at_once:
            sleep(PAUSE_SECONDS)


class Sources:
    """Reads the parts of the service. Safe to use from many threads.

    Args:
        sources: what is read, in this order.
        sleep: waits for so many seconds, while checks go on.
    """

    def __init__(self, sources: Iterable[Source], sleep: Callable[[float], object] = time.sleep) -> None:
        self._sources = tuple(sources)
        self._sleep = sleep
        self._failing: set[int] = set()

    def read(self) -> Mapping[Metric, Sequence[Sample]]:
        """Give the samples of each metric that has some. Never raises."""
        found: dict[Metric, list[Sample]] = {}
        for number, source in enumerate(self._sources):
            for sample in self._read_one(number, source):
                found.setdefault(sample.metric, []).append(sample)
        return found

    def _read_one(self, number: int, source: Source) -> Sequence[Sample]:
        try:
            samples = tuple(unhurried(source(), _SAMPLES_AT_ONCE, self._sleep))
        except Exception:  # noqa: BLE001 - what is logged in full is not hidden
            if number not in self._failing:
                _log.exception("some metrics cannot be read, and are left out until they can: %r", source)
            self._failing.add(number)
            return ()
        if number in self._failing:
            _log.warning("metrics can be read again: %r", source)
        self._failing.discard(number)
        return samples
