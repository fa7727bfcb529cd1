"""The service's own log: lines for people, or JSON for machines."""

from __future__ import annotations

import logging
import os
import select
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from threading import Condition, Thread
from typing import Final

import orjson

WAITING_LINES: Final = 1000
"""So many lines wait to be written; those that come then are lost, and counted."""
FLUSH_SECONDS: Final = 1.0
"""How long the end waits for the lines that wait."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON.

    Args:
        worker: the number of the worker that writes, where there are several.
    """

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._worker = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without its end."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            **self._worker,
            "message": _carried(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = _carried(self.formatException(record.exc_info))
        return orjson.dumps(line).decode()


def _carried(text: str) -> str:
    # Python reads the bytes of a file's name that are no UTF-8 as surrogates, and a record must not be lost for them.
    return text.encode(errors="replace").decode()


def _is_not_of_undecoded_metadata(record: logging.LogRecord) -> bool:
    # grpcio logs each header of a call that is no UTF-8, with a traceback, in the thread that decides, and reads on as
    # Latin-1. What a client sends is data, and one call would fill hundreds of lines with it. Not by the logger's
    # level: it also tells of a certificate that cannot be served.
    return record.exc_info is None or record.exc_info[0] is not UnicodeDecodeError


class UnhurriedHandler(logging.Handler):
    """Writes lines from a thread of its own: whoever logs, such as a thread that decides, never waits for the reader.

    Lines that find no room are lost, and one line says how many, where they would stand.

    Args:
        descriptor: of the open file to write to; it is not closed.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._changed = Condition()
        self._lines: list[str] = []
        self._lost = 0
        self._is_writing = False
        self._is_stuck = False
        self._is_closed = False
        Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written; returns at once, and never raises."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a record that no text can be made of is a defect, and no reason not to decide
            line = traceback.format_exc()
        with self._changed:
            if len(self._lines) < WAITING_LINES:
                self._lines.append(line)
            else:
                self._lost += 1
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is written, for `FLUSH_SECONDS` at most, and once only where nothing moves.

        The end of the process does that too.
        """
        with self._changed:
            if not self._is_stuck:
                self._is_stuck = not self._changed.wait_for(self._has_written, FLUSH_SECONDS)

    def close(self) -> None:
        """Write what waits, and nothing that comes later; does not wait for it."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        super().close()

    def _run(self) -> None:
        while lines := self._next():
            text = "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace")
            # There is no other place to say that nobody can read this.
            with suppress(OSError):
                self._write(memoryview(text))

    def _next(self) -> list[str]:
        with self._changed:
            self._is_writing = self._is_stuck = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lines or self._lost or self._is_closed)
            # None was put in after the first that was lost: only to take them all makes room.
            lines, self._lines = self._lines, []
            lost, self._lost = self._lost, 0
            self._is_writing = bool(lines)
        return [*lines, self.format(_lost(lost))] if lost else lines

    def _has_written(self) -> bool:
        return not (self._lines or self._lost or self._is_writing)

    def _write(self, text: memoryview) -> None:
        # Not by `sys.stderr`: whoever waits in its write keeps the interpreter from ending.
        while text:
            try:
                text = text[os.write(self._descriptor, text) :]
            except BlockingIOError:
                writable = select.poll()
                writable.register(self._descriptor, select.POLLOUT)
                writable.poll()


def _lost(lines: int) -> logging.LogRecord:
    told = "nobody read this log for a while, and it lacks %d lines here"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, told, (lines,), None)


def log_to_stderr(level: str, form: str, worker: int | None = None) -> logging.Handler:
    """Send the log to standard error.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        form: `text` or `json`.
        worker: the number of the worker that writes, where there are several.

    Returns: what writes it; to be flushed before anything else is written to standard error.
    """
    handler = logging.NullHandler() if sys.__stderr__ is None else UnhurriedHandler(sys.__stderr__.fileno())
    who = "" if worker is None else f"worker {worker} "
    text = logging.Formatter(f"%(asctime)s {who}%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter(worker) if form == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_not_of_undecoded_metadata)
    # It tells of every change beside the policy's files, and the store tells of the changes that matter.
    logging.getLogger("watchfiles").setLevel(max(logging.WARNING, logging.getLogger().level))
    return handler
