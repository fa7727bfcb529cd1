"""The service's own log: lines for people, or JSON for machines."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson


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


def log_to_stderr(level: str, form: str, worker: int | None = None) -> None:
    """Send the log to standard error.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        form: `text` or `json`.
        worker: the number of the worker that writes, where there are several.
    """
    handler = logging.StreamHandler()
    who = "" if worker is None else f"worker {worker} "
    text = logging.Formatter(f"%(asctime)s {who}%(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter(worker) if form == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_not_of_undecoded_metadata)
    # It tells of every change beside the policy's files, and the store tells of the changes that matter.
    logging.getLogger("watchfiles").setLevel(max(logging.WARNING, logging.getLogger().level))
