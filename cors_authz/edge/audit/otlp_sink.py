"""Lines of the audit trail to a collector of logs by OTLP. Imported where that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count, islice
from typing import Any, Final

import orjson
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import TraceFlags

from cors_authz import __version__
from cors_authz.edge.audit.sinks import SinkError
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.telemetry.exporters import WatchedLogs

BATCH_LINES: Final = 512
NAMESPACE: Final = "cors_authz."

_SCOPE: Final = InstrumentationScope("cors_authz.audit", __version__)
_NANOSECONDS: Final = 1_000_000_000
_ERROR: Final = "error"


class OtlpSink:
    """Sends each line as a record whose body is the line itself, and whose attributes are its plain fields.

    Args:
        exporter: sends the records.
        resource: says who sends.
    """

    kind = "otlp"
    target = "the OTLP collector of logs"

    def __init__(self, exporter: WatchedLogs, resource: Resource) -> None:
        self._exporter = exporter
        self._resource = resource
        self._is_new = True

    def prepare(self) -> bool:
        """Tell whether this is the first time."""
        is_new, self._is_new = self._is_new, False
        return is_new

    def write(self, lines: Sequence[bytes]) -> None:
        """Send lines, some hundreds at once."""
        rest = iter(lines)
        for done in count(0, BATCH_LINES):
            batch = [self._record(line) for line in islice(rest, BATCH_LINES)]
            if not batch:
                return
            if not self._is_taken(batch):
                raise SinkError("the collector does not take it", done, may_be_taken=True)

    def close(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()

    def samples(self) -> Iterable[Sample]:
        """Read how often the collector took nothing; a `Source`."""
        return self._exporter.collector.samples()

    def _is_taken(self, batch: Sequence[ReadableLogRecord]) -> bool:
        try:
            return self._exporter.export(batch) is LogRecordExportResult.SUCCESS
        except Exception:  # noqa: BLE001 - whatever an exporter raises, the batch was not taken
            return False

    def _record(self, line: bytes) -> ReadableLogRecord:
        fields: Mapping[str, Any] = orjson.loads(line)
        at = int(fields["time"] * _NANOSECONDS)
        is_error = fields.get("outcome") == _ERROR
        record = LogRecord(
            timestamp=at,
            observed_timestamp=at,
            severity_number=SeverityNumber.ERROR if is_error else SeverityNumber.INFO,
            severity_text="ERROR" if is_error else "INFO",
            body=line.decode().rstrip("\n"),
            attributes={f"{NAMESPACE}{name}": value for name, value in fields.items() if _is_plain(value)},
            event_name=f"{NAMESPACE}{fields['kind']}",
        )
        if "trace_id" in fields:
            record.trace_id, record.span_id = int(fields["trace_id"], 16), int(fields["span_id"], 16)
            record.trace_flags = TraceFlags(TraceFlags.SAMPLED)
        return ReadableLogRecord(record, self._resource, _SCOPE)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | bool | int | float)
