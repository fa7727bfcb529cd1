"""The audit trail: decisions in, lines out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cors_authz.edge.audit.options import AuditOptions
from cors_authz.edge.audit.record import EXPENDABLE, Recorder
from cors_authz.edge.audit.writer import AuditWriter
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.observation import Observation, SpanIds

_DIGITS: Final = 8


class AuditTrail:
    """Records decisions. Safe to use from many threads.

    Args:
        options: what is recorded, where, and how.
        writer_id: names the chain of hashes of this process; see `AuditWriter`.
        worker: its number, where there are several.

    Raises: SettingsError if a target cannot be written, or the key cannot be read.
    """

    def __init__(self, options: AuditOptions, writer_id: str, worker: int | None = None) -> None:
        self._writer = AuditWriter(options.writer, writer_id, worker)
        self._line_of = Recorder(options).line_of
        self._write = self._writer.append
        self._is_sampled = options.sample_allow < 1
        self._first_left_out = first_left_out(options.sample_allow)
        self.start = self._writer.start
        self.stop = self._writer.stop

    def append(self, observation: Observation, span: SpanIds | None) -> None:
        """Record a decision; returns at once, but for `WhenFull.BLOCK` where there is no room.

        Raises: NotRecordedError if records are required, and this one cannot be kept.
        """
        is_expendable = observation.decision.outcome in EXPENDABLE
        # By its id, which is random: whoever knows one can tell whether its record was to be kept.
        if self._is_sampled and is_expendable and observation.decision_id >= self._first_left_out:
            return
        try:
            line = self._line_of(observation, span)
        except Exception:  # noqa: BLE001 - whatever keeps a record from being made, it is a record that is lost
            self._writer.lose()
            return
        self._write(line, is_expendable=is_expendable)

    def samples(self) -> Iterable[Sample]:
        """Read what was counted; a `Source`."""
        return self._writer.samples()


def first_left_out(share: float) -> str:
    """Give the id from which on decisions are not recorded, of a share below 1."""
    return f"{int(share * 16**_DIGITS):0{_DIGITS}x}"
