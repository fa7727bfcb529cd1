"""The audit log: each decision as one JSON line, written beside the checks, lost only where it is counted."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from select import PIPE_BUF
from stat import S_ISFIFO
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
STOP_SECONDS: Final = 2.0
"""How long the end waits for the file: a pipe that nobody empties, or a disk that hangs, may take nothing any more."""
_MAX_TEXT: Final = 256
_OUTCOMES: Final = {outcome: outcome.value for outcome in Outcome}
_REASONS: Final = {reason: reason.value for reason in Reason}
_STDOUT: Final = "-"


def line_of(decision: Decision, decision_id: str, seconds: float) -> bytes:
    """Write a decision as one line of JSON. What a client sent is cut to 256 characters, and no path but the route's.

    Args:
        decision: the decision.
        decision_id: its id.
        seconds: how long it took.
    """
    record: dict[str, object] = {
        "time": decision.now,
        "decision_id": decision_id,
        "outcome": _OUTCOMES[decision.outcome],
        "reason": _REASONS[decision.reason],
        "status": decision.status,
        "shadow": decision.shadow,
        "guard": decision.guard.name if decision.guard else "",
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
        self._is_pipe = S_ISFIFO(os.fstat(descriptor).st_mode)
        self._lines: deque[bytes] = deque()
        self._chunks: deque[_Chunk] = deque()
        self._packing = Lock()
        self._in_flight = 0
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
        """How many lines were not written: there was no room, or the file refused them or did not take them in time."""
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
        """Write what waits, and close the file; what is not known to be written after `STOP_SECONDS` counts as lost."""
        self._ended.set()
        # The thread alone writes: a write may block for good, and whoever is blocked in it cannot be told to leave.
        if self._thread.ident is None:
            self._thread.start()
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            # The file stays open: its number, once closed, may be another file's while the write is still under way.
            self._lose(self._take().lines)
            _log.error("the audit log takes nothing, and is given up; %s lines were lost up to now", self._lost)

    def _run(self) -> None:
        while not self._ended.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()
        os.close(self._descriptor)

    def _pack(self) -> None:
        with self._packing:
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if len(self._chunks) < MAX_WAITING_CHUNKS:
                self._chunks.append(_Chunk(b"".join(lines), len(lines)))
            else:
                self._lost += len(lines)

    def _flush(self) -> None:
        chunk = self._take()
        if not chunk.text:
            return
        self._in_flight = chunk.lines
        try:
            self._write(chunk.text)
        except OSError as error:
            self._lose(0)
            if not self._is_failing:
                _log.error("the audit log cannot be written, and decisions go on: %s", error)
            self._is_failing = True
            return
        self._in_flight = 0
        if self._is_failing:
            _log.warning("the audit log is written again; %s lines were lost up to now", self._lost)
        self._is_failing = False

    def _take(self) -> _Chunk:
        self._pack()
        with self._packing:
            chunks, self._chunks = self._chunks, deque()
        return _Chunk(b"".join(chunk.text for chunk in chunks), sum(chunk.lines for chunk in chunks))

    def _lose(self, taken: int) -> None:
        # Along with what was being written, which counts once, whoever notices first.
        with self._packing:
            self._lost += taken + self._in_flight
            self._in_flight = 0

    def _write(self, data: bytes) -> None:
        # What failed may have left half a line behind.
        data = b"\n" + data if self._is_failing else data
        for piece in _short_pieces(data) if self._is_pipe else (data,):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


def _short_pieces(data: bytes) -> Iterator[bytes]:
    """Cut at the ends of lines: of what several workers write to one pipe, only so much at once stays together."""
    piece = b""
    for line in data.splitlines(keepends=True):
        if piece and len(piece) + len(line) > PIPE_BUF:
            yield piece
            piece = b""
        piece += line
    yield piece
