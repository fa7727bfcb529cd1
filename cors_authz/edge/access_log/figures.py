"""What the listener counts: entries, streams, and how what clients got agrees with what was decided."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from enum import Enum, unique
from threading import Lock
from typing import Final

from cors_authz.edge.metrics.catalogue import (
    ACCESS_LOG_ENTRIES,
    ACCESS_LOG_STREAMS,
    ACCESS_LOG_STREAMS_ENDED,
    DELIVERIES,
)
from cors_authz.edge.metrics.counters import NONE, OTHER
from cors_authz.edge.metrics.sample import Sample

_log = logging.getLogger(__name__)

MAX_GROUPS: Final = 1000
"""The names of groups come with the entries: beyond so many, they count as `other`."""


@unique
class Fate(Enum):
    """What became of an entry; of an unreadable message nobody can tell how many it held, so it counts as one."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    COMPARED = "compared"
    IGNORED = "ignored"
    UNREADABLE = "unreadable"
    DROPPED = "dropped"


@unique
class Ending(Enum):
    """Why a stream was ended by us."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    REFUSED = "refused"
    UNIDENTIFIED = "unidentified"
    IDLE = "idle"
    GARBAGE = "garbage"


_TOLD: Final = {
    Fate.DROPPED: "entries come faster than they are compared, and some are dropped; run more listeners or log less",
    Fate.UNREADABLE: "a message is no access log entry; see that only Envoys send here",
    Ending.REFUSED: "more streams come than may be open; raise --max-streams, or run more listeners",
    Ending.UNIDENTIFIED: "a stream does not say whose it is, and is ended; see that only Envoys send here",
    Ending.GARBAGE: "a stream sends what is no access log, and is ended; see that only Envoys send here",
}
"""What is worth a line of our own log: the first time, as thousands may follow."""


class Figures:
    """Counts. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._fates: Counter[Fate] = Counter()
        self._endings: Counter[Ending] = Counter()
        self._deliveries: Counter[tuple[str, str]] = Counter()
        self._groups = {NONE}
        self._told: set[Fate | Ending] = set()
        self._streams = 0

    def entries(self, fate: Fate, count: int) -> None:
        """Count entries."""
        with self._lock:
            self._fates[fate] += count
        if count:
            self._tell(fate)

    def ended(self, ending: Ending) -> None:
        """Count a stream that we ended."""
        with self._lock:
            self._endings[ending] += 1
        self._tell(ending)

    def streams(self, count: int) -> None:
        """Say how many streams are open."""
        self._streams = count

    def delivered(self, verdicts: Iterable[str], group: str) -> None:
        """Count a delivery under each of its verdicts."""
        name = group or NONE
        with self._lock:
            if name not in self._groups and len(self._groups) > MAX_GROUPS:
                name = OTHER
            self._groups.add(name)
            for verdict in verdicts:
                self._deliveries[verdict, name] += 1

    def samples(self) -> Iterable[Sample]:
        """Read all of it."""
        with self._lock:
            fates, endings, deliveries = dict(self._fates), dict(self._endings), dict(self._deliveries)
        for fate in Fate:
            yield Sample(ACCESS_LOG_ENTRIES, (fate.value,), fates.get(fate, 0))
        for ending in Ending:
            yield Sample(ACCESS_LOG_STREAMS_ENDED, (ending.value,), endings.get(ending, 0))
        yield Sample(ACCESS_LOG_STREAMS, (), self._streams)
        for labels, count in deliveries.items():
            yield Sample(DELIVERIES, labels, count)

    def _tell(self, what: Fate | Ending) -> None:
        if what in _TOLD and what not in self._told:
            self._told.add(what)
            _log.warning("access log: %s", _TOLD[what])
