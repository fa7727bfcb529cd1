"""Lines to all targets of the audit trail: each target has a queue, a hash chain and a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from cors_authz.edge.audit.lane import Lane
from cors_authz.edge.audit.line_queue import BLOCK_SECONDS, Clocks
from cors_authz.edge.audit.options import WriterOptions
from cors_authz.edge.audit.signing import signer_of
from cors_authz.edge.audit.sinks import sink_of
from cors_authz.edge.clock import monotonic_seconds, now_seconds
from cors_authz.edge.metrics.catalogue import AUDIT_LOST, AUDIT_QUEUE, AUDIT_RECORDS
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.observation import NotRecordedError

_CLOCKS: Final = Clocks(now_seconds, monotonic_seconds)


class Append(Protocol):
    """Hands over a line."""

    def __call__(self, line: bytes, *, is_expendable: bool) -> None:
        """Hand over one JSON object and the end of its line; what is expendable is dropped first.

        Raises: NotRecordedError if the line is required and cannot be written.
        """


class AuditWriter:
    """Takes lines from many threads, and writes them from its own a few times a second.

    Args:
        options: where to, and how.
        writer_id: names the chain of hashes of this process, drawn when it starts: `[0-9a-z]`, 32 characters at most.
        worker: its number, where there are several.
        clocks: the time, and seconds that never go back.

    Raises: SettingsError if a target cannot be written, or the key cannot be read.
    """

    append: Append

    def __init__(
        self, options: WriterOptions, writer_id: str, worker: int | None = None, clocks: Clocks = _CLOCKS
    ) -> None:
        signer = signer_of(options.key, f"{options.setting}-key") if options.key else None
        several = len(options.targets) > 1
        self._lanes = tuple(
            Lane(
                sink_of(target, options, clocks.now, worker),
                f"{writer_id}-{number}" if several else writer_id,
                signer,
                options,
                clocks,
            )
            for number, target in enumerate(options.targets)
        )
        self.append = self._append_to_all if several else self._lanes[0].append
        self._monotonic = clocks.monotonic

    def start(self) -> None:
        """Begin to write."""
        for lane in self._lanes:
            lane.start()

    def stop(self) -> None:
        """Write what waits, and close; what a target does not take in two seconds counts as lost. Once only."""
        for lane in self._lanes:
            lane.begin_to_stop()
        for lane in self._lanes:
            lane.stop()

    def lose(self) -> None:
        """Count a line that could not be made, while the exception that kept it from that is handled.

        Raises: NotRecordedError if lines are required.
        """
        self._tell_all(lambda lane: lane.lose())

    def samples(self) -> Iterable[Sample]:
        """Read what was counted; over all targets, but for which of them fail."""
        lost = [lane.lost for lane in self._lanes]
        yield Sample(AUDIT_RECORDS, (), sum(lane.written for lane in self._lanes))
        yield Sample(AUDIT_QUEUE, (), sum(lane.waiting for lane in self._lanes))
        for reason in lost[0]:
            yield Sample(AUDIT_LOST, (reason.value,), sum(each[reason] for each in lost))
        for lane in self._lanes:
            yield from lane.samples()

    def _append_to_all(self, line: bytes, *, is_expendable: bool) -> None:
        # Targets that have no room are waited for together: what a check may wait does not grow with them.
        until = self._monotonic() + BLOCK_SECONDS
        self._tell_all(lambda lane: lane.append(line, is_expendable=is_expendable, until=until))

    def _tell_all(self, tell: Callable[[Lane], None]) -> None:
        refused: NotRecordedError | None = None
        for lane in self._lanes:
            try:
                tell(lane)
            except NotRecordedError as error:
                refused = error
        if refused is not None:
            raise refused
