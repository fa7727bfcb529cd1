"""A worker: one process that decides on one endpoint, by what its supervisor sends. It ends when the supervisor does.

    python -m cors_authz.edge.workers.worker DESCRIPTOR

The descriptor is one end of a pair of sockets, whose other end only the supervisor has: the pickles that come from it
are trusted as the supervisor is.
"""

from __future__ import annotations

import logging
import pickle
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from typing import BinaryIO, NamedTuple

from cors_authz.edge.ending import ended_by_signal, wait_for
from cors_authz.edge.logs import log_to_stderr
from cors_authz.edge.policy_store import Prepared
from cors_authz.edge.serving import Serving
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.interface import TransportError
from cors_authz.edge.workers import frames
from cors_authz.edge.workers.frames import Frame, Kind, Loaded, Refused, Report
from cors_authz.edge.workers.process import Begin

_log = logging.getLogger(__name__)


class _Ready(NamedTuple):
    """A generation that waits to be swapped in."""

    number: int
    prepared: Prepared


class _Worker:
    def __init__(self, begin: Begin, channel: socket.socket, orders: BinaryIO) -> None:
        self._serving = Serving(begin.settings, begin.number)
        self._address = begin.address
        self._listens = False
        self._channel = channel
        self._orders = orders
        self._ready: _Ready | None = None
        self._is_cut_off = False
        self._ended = ended_by_signal()

    def run(self) -> int:
        """Serve until SIGTERM, or until the supervisor is gone; returns the exit code."""
        Thread(target=self._follow, name="orders", daemon=True).start()
        wait_for(self._ended)
        if self._is_cut_off:
            self._serving.leave()
        else:
            self._serving.drain()
        self._serving.stop()
        # The thread waits for orders, and holds the stream until it sees its end.
        self._channel.shutdown(socket.SHUT_RDWR)
        return int(self._is_cut_off)

    def _follow(self) -> None:
        try:
            while frame := frames.read(self._orders):
                self._obey(frame)
            if not self._ended.is_set():
                _log.warning("the supervisor is gone, and this worker leaves too")
        except TransportError as error:
            self._say(Refused(str(error)))
        except Exception:  # noqa: BLE001 - whatever it is, a worker that cannot follow must not decide on
            _log.exception("this worker cannot go on")
        self._is_cut_off = True
        self._ended.set()

    def _obey(self, frame: Frame) -> None:
        if frame.kind is Kind.GENERATION:
            self._ready = None
            number = int(frame.payload)
            self._ready = _Ready(number, self._serving.store.prepare(self._parts()))
            self._say(Loaded(number))
        elif frame.kind is Kind.SWAP:
            self._swap(int(frame.payload))
        elif frame.kind is Kind.NEWEST:
            self._serving.say_newest(in_force=frame.payload == b"1")
        else:
            raise frames.FrameError(f"{frame.kind.name} is not for a worker, or not now")

    def _parts(self) -> Iterator[bytes]:
        while frame := frames.read(self._orders):
            if frame.kind is Kind.LAST_PART:
                return
            yield frame.payload
        raise EOFError("the supervisor went away within a generation")

    def _swap(self, number: int) -> None:
        if self._ready is None or self._ready.number != number:
            raise frames.FrameError(f"generation {number} is to be put in force, and is not loaded")
        self._serving.store.swap(self._ready.prepared)
        self._ready = None
        if not self._listens:
            self._address, self._listens = self._serving.listen(self._address), True
        self._say(frames.Serving(number, self._address))

    def _say(self, report: Report) -> None:
        # Without a supervisor the orders end as well, and that is where it is noticed.
        with suppress(OSError):
            self._channel.sendall(report.frame())


def main() -> None:
    """Work for the supervisor at the other end of the descriptor that the command line names."""
    with socket.socket(fileno=int(sys.argv[1])) as channel, channel.makefile("rb") as orders:
        first = frames.read(orders)
        if first is None:
            return
        begin: Begin = pickle.loads(first.payload)  # noqa: S301 - from the process that started this one
        log_to_stderr(begin.settings.log_level, begin.settings.log_format, begin.number)
        try:
            worker = _Worker(begin, channel, orders)
        except (SettingsError, TransportError) as error:
            channel.sendall(Refused(str(error)).frame())
            sys.exit(1)
        sys.exit(worker.run())


if __name__ == "__main__":
    main()
