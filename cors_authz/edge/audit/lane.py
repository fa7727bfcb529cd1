"""One target of the audit trail: lines are queued, chained and written, by a thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from copy import copy
from itertools import islice
from threading import Event, Thread
from typing import Final, NamedTuple

from cors_authz.edge.audit.line_queue import Clocks, LineQueue, Lost
from cors_authz.edge.audit.options import WriterOptions
from cors_authz.edge.audit.sinks import Sink, SinkError
from cors_authz.edge.metrics.catalogue import AUDIT_FAILING
from cors_authz.edge.metrics.sample import Sample
from cors_authz.review.audit.chain import Chain, Due, Signer

_log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 0.03
"""With the time that a check waits to be told, what a kill may lose: 50 ms."""
RETRY_SECONDS: Final = 0.25
HEAD_SECONDS: Final = 5.0
STOP_SECONDS: Final = 2.0
"""How long the end waits for the sink: a pipe that nobody empties, or a disk that hangs, may take nothing any more."""
_REFUSED: Final = "every check is refused until it can"
_QUEUED: Final = "decisions go on, and records wait while there is room for them: mend it soon"


class _Attempt(NamedTuple):
    """Lines to link and to write, with the time of their heads; the sink took so many of what was linked."""

    lines: list[bytes]
    due: Due
    now: float
    taken: int = 0


class Lane:
    """Takes lines from many threads and writes them to one sink, a few times a second.

    What the sink does not take is kept, as long as the queue has room for what comes after, and written when it can be.

    Args:
        sink: where to.
        writer: the id of its chain.
        signer: signs the heads of its chain; None leaves them unsigned.
        options: how.
        clocks: the time, and seconds that never go back.
    """

    def __init__(self, sink: Sink, writer: str, signer: Signer | None, options: WriterOptions, clocks: Clocks) -> None:
        self._sink = sink
        self._chain = Chain(writer, signer, options.head_lines)
        self._clocks = clocks
        self._queue = LineQueue(sink.target, options, clocks.monotonic)
        self._meanwhile = _REFUSED if options.required else _QUEUED
        self._pending: list[bytes] = []
        self._again: _Attempt | None = None
        self._begins_file = False
        self._head_at = clocks.monotonic()
        self._lost_before = 0
        self._is_failing = False
        self._ended = Event()
        self._thread = Thread(target=self._run, name="audit", daemon=True)
        self.append = self._queue.put
        self.lose = self._queue.lose

    @property
    def written(self) -> int:
        """How many lines were written, heads apart."""
        return self._chain.records

    @property
    def waiting(self) -> int:
        """How many lines wait to be written."""
        return self._queue.waiting

    @property
    def lost(self) -> dict[Lost, int]:
        """How many lines were lost, and why."""
        return self._queue.lost

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def begin_to_stop(self) -> None:
        """Let the thread write what waits, and end."""
        self._ended.set()
        # The thread alone writes: a write may block for good, and whoever is blocked in it cannot be told to leave.
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Wait until all is written, `STOP_SECONDS` at most; what is not known to be written then counts as lost."""
        self._thread.join(STOP_SECONDS)
        # If it still runs, the sink stays open: a descriptor, once closed, may be another file's, and is written to.
        if self._thread.is_alive() or self._queue.waiting:
            self._queue.lose_all()
            _log.error(
                "the audit trail takes nothing, and is given up: %s; %s records were lost up to now",
                *(self._sink.target, sum(self.lost.values())),
            )

    def samples(self) -> Iterable[Sample]:
        """Say whether the sink takes nothing, and what it counts itself; a `Source`."""
        yield Sample(AUDIT_FAILING, (self._sink.kind,), float(self._is_failing))
        yield from self._sink.samples()

    def _run(self) -> None:
        while not self._ended.wait(RETRY_SECONDS if self._is_failing else FLUSH_SECONDS):
            self._flush()
        self._flush(is_last=True)
        self._sink.close()

    def _flush(self, *, is_last: bool = False) -> None:
        if self._again is not None and not self._is_written(self._again):
            return
        lines = self._pending = [*self._pending, *self._queue.take()]
        self._chain.lost = sum(self.lost.values())
        due = self._due(has_lines=bool(lines), is_last=is_last)
        if lines or due.last:
            self._is_written(_Attempt(lines, due, self._clocks.now()))

    def _is_written(self, attempt: _Attempt) -> bool:
        try:
            self._begins_file = self._sink.prepare() or self._begins_file
            self._write(attempt._replace(due=attempt.due._replace(first=self._begins_file)))
        except Exception as error:  # noqa: BLE001 - whatever keeps lines from being written, they wait, and that is told
            self._say_failing(error)
            return False
        self._pending, self._again = [], None
        self._say_written()
        return True

    def _due(self, *, has_lines: bool, is_last: bool) -> Due:
        is_used = has_lines or self._chain.seq > 0
        is_time = self._clocks.monotonic() - self._head_at >= HEAD_SECONDS
        return Due(last=is_used and (is_last or (is_time and (has_lines or self._chain.is_head_needed))), end=is_last)

    def _write(self, attempt: _Attempt) -> None:
        lines, due, now, taken = attempt
        chain = copy(self._chain)
        try:
            self._sink.write(list(chain.link(lines, due, now))[taken:])
        except SinkError as error:
            self._keep(attempt, error)
            raise
        self._count(lines, chain)
        if due.last:
            self._head_at = self._clocks.monotonic()

    def _keep(self, attempt: _Attempt, error: SinkError) -> None:
        """Keep the lines that were not written, and the chain as it stands behind those that were."""
        if error.may_be_taken:
            # What is sent again must be what was sent: of two lines with one number, one would look like a forgery.
            self._again = attempt._replace(taken=attempt.taken + error.whole)
            return
        lines, due, now, _ = attempt
        chain = copy(self._chain)
        for _ in islice(chain.link(lines, due, now), error.whole):
            pass
        count = chain.records - self._chain.records
        self._count(lines[:count], chain)
        self._pending = lines[count:]

    def _count(self, lines: list[bytes], chain: Chain) -> None:
        self._begins_file = self._begins_file and chain.seq == self._chain.seq
        self._chain = chain
        self._queue.written(len(lines))

    def _say_failing(self, error: Exception) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._lost_before = sum(self.lost.values())
            self._queue.say_failing(failing=True)
            _log.error(
                "the audit trail cannot be written: %s: %s; %s",
                *(self._sink.target, error, self._meanwhile),
                exc_info=not isinstance(error, SinkError),
            )

    def _say_written(self) -> None:
        if self._is_failing:
            self._is_failing = False
            self._queue.say_failing(failing=False)
            lost = sum(self.lost.values()) - self._lost_before
            _log.warning("the audit trail is written again: %s; %s records were lost", self._sink.target, lost)
