"""The audit log: each decision as one JSON line, written beside the checks, lost only where it is counted."""

from __future__ import annotations

import logging
import os
from collections import deque
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final, NamedTuple

import orjson

from cors_authz.pdp.decision import Decision, Outcome, Reason

_log = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 0.05
LINES_OF_A_CHUNK: Final = 64
"""So many lines are put together where they were made: a thousand that lie about push the policy out of the caches."""
MAX_WAITING_CHUNKS: Final = 512
"""What is decided while so much waits is not recorded, and counted instead: checks never wait for a disk."""
_MAX_TEXT: Final = 256
_OUTCOMES: Final = {outcome: outcome.value for outcome in Outcome}
_REASONS: Final = {reason: reason.value for reason in Reason}
_STDOUT: Final = "-"


def line_of(decision: Decision, decision_id: str, time: float, seconds: float) -> bytes:
    """Write a decision as one line of JSON. What a client sent is cut to 256 characters, and no path but the route's.

    Args:
        decision: the decision.
        decision_id: its id.
        time: when it was made, in seconds since the epoch.
        seconds: how long it took.
    """
    record: dict[str, object] = {
        "time": time,
        "decision_id": decision_id,
        "outcome": _OUTCOMES[decision.outcome],
        "reason": _REASONS[decision.reason],
        "latency_us": int(seconds * 1e6),
    }
    facts = decision.facts
    if facts is not None:
        group, rule, route, request = facts.group, facts.rule, facts.route, facts.request
        record["request_id"] = request.headers.get("x-request-id", "")[:_MAX_TEXT]
        record["method"] = request.method[:_MAX_TEXT]
        record["host"] = request.host[:_MAX_TEXT]
        record["origin"] = facts.origin[:_MAX_TEXT]
        record["path"] = route.path if route else ""
        record["group"] = group.name if group else ""
        record["rule"] = rule.name if rule else ""
        record["revision"] = facts.policy.revision
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


class _Chunk(NamedTuple):
    text: bytes
    lines: int


class AuditLog:
    """Takes lines from many threads and writes them from one of its own, a few times a second.

    Args:
        descriptor: the open file that the lines go to.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: deque[bytes] = deque()
        self._chunks: deque[_Chunk] = deque()
        self._packing = Lock()
        self._lost = 0
        self._is_failing = False
        self._ended = Event()
        self._thread = Thread(target=self._run, name="audit", daemon=True)

    @classmethod
    def open(cls, target: str) -> AuditLog:
        """Open the log at a path, or at standard output for `-`.

        Raises: OSError.
        """
        if target == _STDOUT:
            return cls(os.dup(1))
        return cls(os.open(Path(target), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640))

    @property
    def lost(self) -> int:
        """How many lines were not written, for want of room or because the file refused them."""
        return self._lost

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def append(self, line: bytes) -> None:
        """Hand over a line; returns at once."""
        self._lines.append(line)
        if len(self._lines) >= LINES_OF_A_CHUNK:
            self._pack()

    def stop(self) -> None:
        """Write what waits, and close the file."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._flush()
        os.close(self._descriptor)

    def _run(self) -> None:
        while not self._ended.wait(FLUSH_SECONDS):
            self._flush()

    def _pack(self) -> None:
        with self._packing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if len(self._chunks) < MAX_WAITING_CHUNKS:
                self._chunks.append(_Chunk(b"".join(lines), len(lines)))
            else:
                self._lost += len(lines)

    def _flush(self) -> None:
        self._pack()
        chunks = [self._chunks.popleft() for _ in range(len(self._chunks))]
        text = b"".join(chunk.text for chunk in chunks)
        if not text:
            return
        try:
            self._write(text)
        except OSError as error:
            self._lost += sum(chunk.lines for chunk in chunks)
            if not self._is_failing:
                _log.error("the audit log cannot be written, and decisions go on: %s", error)
            self._is_failing = True
            return
        if self._is_failing:
            _log.warning("the audit log is written again; %s lines were lost up to now", self._lost)
        self._is_failing = False

    def _write(self, data: bytes) -> None:
        # What failed may have left half a line behind.
        rest = memoryview(b"\n" + data if self._is_failing else data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
