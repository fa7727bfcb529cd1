"""The supervisor: starts the workers, gives each generation to all of them, and starts anew whichever dies."""

from __future__ import annotations

import logging
import selectors
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from cors_authz.edge.announcement import announce, announce_watchers
from cors_authz.edge.generation import Generation
from cors_authz.edge.settings import Settings
from cors_authz.edge.workers.fleet import CRASH_LOOP, Fleet, Give, Kill, Order, Refuse, Start, Swap
from cors_authz.edge.workers.frames import FrameError, Kind, Loaded, Report, Serving
from cors_authz.edge.workers.mailbox import Mailbox
from cors_authz.edge.workers.process import Begin, WorkerProcess

_log = logging.getLogger(__name__)

_LINGER_SECONDS: Final = 5.0
"""How much longer than its drain and its grace a worker may take to end."""

_ANY_PORT: Final = ":0"


class WorkersError(Exception):
    """The workers cannot be started, or none can be kept up; the message says why."""


class Supervisor:
    """Runs the workers of a service, in one thread; other threads reach it through the mailbox.

    Args:
        settings: how the service runs.
        environment: the environment variables of the workers.
        clock: gives seconds that never go back.
        mailbox: what others want done.
    """

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], clock: Callable[[], float], mailbox: Mailbox
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._clock = clock
        self._mailbox = mailbox
        self._addresses = list(settings.endpoints())
        self._listened: set[int] = set()
        self._fleet = Fleet(settings.workers)
        self._processes: dict[int, WorkerProcess] = {}
        self._generations: dict[int, Generation] = {}
        self._versions = 0
        self._waiting = 0
        self._is_announced = False
        self._is_leaving = False

    def offer(self, generation: Generation) -> None:
        """Have a generation put in force by all workers. Where one is spread already, the newest comes next."""
        self._versions += 1
        self._waiting = self._versions
        self._generations[self._waiting] = generation

    def refuse(self) -> None:
        """Note that the newest version of the policy is not in force: it has errors, and the last good one stays."""
        self._versions += 1
        self._broadcast(Kind.NEWEST, self._newest())

    def start(self) -> None:
        """Start the workers; they make ready while the policy is compiled."""
        self._obey(self._fleet.tick(self._clock()))

    def run(self) -> None:
        """Keep the workers up until `leave`, then drain them.

        Raises: WorkersError if one cannot listen at first, or once none can be kept up.
        """
        while not self._is_leaving:
            self._turn(self._fleet.next_tick())
            self._spread()
            self._obey(self._fleet.tick(self._clock()))
        _log.info("draining %d workers: NOT_SERVING for %s s", len(self._processes), self._settings.drain_seconds)
        for process in self._processes.values():
            process.drain()
        end = self._clock() + self._settings.drain_seconds + self._settings.grace_seconds + _LINGER_SECONDS
        while self._processes and self._clock() < end:
            self._turn(end)
        for number, process in self._processes.items():
            _log.error("worker %d does not end; it is ended", number)
            process.kill()

    def leave(self) -> None:
        """Have `run` come to its end."""
        self._is_leaving = True

    def close(self) -> None:
        """End the workers that still run: those that serve leave at once, and finish what is under way."""
        for process in self._processes.values():
            if process.has_listened:
                process.abandon()
            else:
                process.kill()
        for process in self._processes.values():
            process.reap()
        self._processes.clear()

    # One turn: wait, listen, send.

    def _turn(self, until: float | None) -> None:
        # Others take a descriptor each: when none is left, that must not end a service whose workers decide on.
        with selectors.PollSelector() as selector:
            selector.register(self._mailbox, selectors.EVENT_READ)
            for number, process in self._processes.items():
                writes = selectors.EVENT_WRITE if process.has_more_to_send() else 0
                selector.register(process, selectors.EVENT_READ | writes, number)
            ready = selector.select(None if until is None else max(0.0, until - self._clock()))
        for key, events in ready:
            if key.data is None:
                for letter in self._mailbox.take():
                    letter()
            else:
                self._serve(key.data, events)

    def _serve(self, number: int, events: int) -> None:
        process = self._processes[number]
        if events & selectors.EVENT_WRITE:
            process.pump()
        if not events & selectors.EVENT_READ:
            return
        try:
            reports = process.receive()
        except FrameError as error:
            _log.error("worker %d does not say what a worker says (%s); it is ended", number, error)
            process.kill()
            reports = None
        if reports is None:
            self._bury(number)
            return
        for report in reports:
            self._hear(number, report)

    def _hear(self, number: int, report: Report) -> None:
        if isinstance(report, Loaded):
            self._obey(self._fleet.loaded(number, report.generation, self._clock()))
        elif isinstance(report, Serving):
            self._listens(number, report.address)
            self._obey(self._fleet.serving(number, report.generation, self._clock()))
            self._announce()
        else:
            self._refused(number, report.why)

    def _refused(self, number: int, why: str) -> None:
        if number not in self._listened:
            raise WorkersError(why)
        _log.error("worker %d: %s", number, why)

    def _listens(self, number: int, address: str) -> None:
        process = self._processes[number]
        if not process.has_listened:
            process.has_listened = True
            _log.info("worker %d (process %d) decides on %s", number, process.pid, address)
        self._listened.add(number)
        if self._addresses[number].endswith(_ANY_PORT):
            # Envoy knows the port that the system chose: it stays for as long as we run.
            self._addresses[number] = address

    def _announce(self) -> None:
        if self._is_announced or not self._fleet.serves():
            return
        self._is_announced = True
        announce_watchers(self._settings, self._environment)
        announce(self._generations[self._fleet.in_force], self._addresses)

    def _bury(self, number: int) -> None:
        how = self._processes.pop(number).reap()
        if not self._is_leaving:
            self._ended(number, how)

    def _ended(self, number: int, how: str) -> None:
        now = self._clock()
        orders = self._fleet.ended(number, now)
        if self._fleet.is_hopeless():
            raise WorkersError(f"no worker can be kept up: each ended {CRASH_LOOP} times in a row, the last: {how}")
        deaths, seconds = self._fleet.deaths(number), self._fleet.starts_at(number) - now
        level, what = (logging.ERROR, "is in a crash loop") if deaths >= CRASH_LOOP else (logging.WARNING, "ended")
        _log.log(level, "worker %d %s: %s, %d in a row; it starts anew in %g s", number, what, how, deaths, seconds)
        self._obey(orders)

    # What the fleet wants done.

    def _spread(self) -> None:
        if not self._waiting or self._fleet.offered:
            return
        offered, self._waiting = self._waiting, 0
        self._obey(self._fleet.offer(offered, self._clock()))
        self._forget()

    def _obey(self, orders: Iterable[Order]) -> None:
        for order in orders:
            match order:
                case Start(number):
                    self._start(number)
                case Refuse(generation):
                    _log.error("no worker can load revision %s; it is refused", self._generations[generation].revision)
                    self._broadcast(Kind.NEWEST, self._newest())
                case _:
                    self._command(order)
        self._forget()

    def _command(self, order: Give | Swap | Kill) -> None:
        process = self._processes.get(order.worker)
        if process is None:
            # It could not be started, an order before this one; or it has drained while others still report.
            return
        match order:
            case Give(_, generation):
                self._give(process, generation)
            case Swap(_, generation):
                self._swap(process, generation)
            case Kill(number):
                _log.error("worker %d does not answer; it is ended", number)
                process.kill()

    def _start(self, number: int) -> None:
        begin = Begin(self._settings, number, self._addresses[number])
        try:
            self._processes[number] = WorkerProcess(begin, self._environment)
        except OSError as error:
            _log.error("worker %d cannot be started: %s", number, error)
            self._ended(number, str(error))

    def _give(self, process: WorkerProcess, generation: int) -> None:
        process.send(Kind.GENERATION, b"%d" % generation)
        for part in self._generations[generation].parts:
            process.send(Kind.PART, part)
        process.send(Kind.LAST_PART)

    def _swap(self, process: WorkerProcess, generation: int) -> None:
        process.send(Kind.SWAP, b"%d" % generation)
        process.send(Kind.NEWEST, self._newest())
        # Not in the next turn: until then the others would run ahead.
        process.pump()

    def _newest(self) -> bytes:
        return b"1" if self._fleet.in_force == self._versions else b"0"

    def _broadcast(self, kind: Kind, payload: bytes) -> None:
        for process in self._processes.values():
            process.send(kind, payload)

    def _forget(self) -> None:
        needed = {self._fleet.in_force, self._fleet.offered, self._waiting}
        self._generations = {number: kept for number, kept in self._generations.items() if number in needed}
