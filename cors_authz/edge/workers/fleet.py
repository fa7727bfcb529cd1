"""Which worker runs which generation of the policy, and when all swap: decided from events, without a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

LOAD_SECONDS: Final = 60.0
"""A worker that takes longer to start and to load a generation is killed."""

SWAP_SECONDS: Final = 30.0
"""A worker that takes longer to swap, or at first to listen, is killed."""

STEADY_SECONDS: Final = 60.0
"""A worker that has served for so long has not died in a row with the time before."""

CRASH_LOOP: Final = 5
"""So many deaths in a row are no accident."""

_FIRST_DELAY_SECONDS: Final = 0.25
_LAST_DELAY_SECONDS: Final = 30.0


class Start(NamedTuple):
    """Start the process of a worker."""

    worker: int


class Give(NamedTuple):
    """Send a generation to a worker, to be loaded and not yet put in force."""

    worker: int
    generation: int


class Swap(NamedTuple):
    """Tell a worker to put the generation in force that it has loaded."""

    worker: int
    generation: int


class Kill(NamedTuple):
    """End a worker that has not answered in time."""

    worker: int


class Refuse(NamedTuple):
    """Forget a generation that no worker could load."""

    generation: int


Order = Start | Give | Swap | Kill | Refuse


@dataclass(slots=True)
class _Worker:
    """What is known of a worker. Generations count from 1; 0 is none. Times are seconds of the caller's clock."""

    number: int
    running: bool = False
    given: int = 0
    loaded: int = 0
    told: int = 0
    serving: int = 0
    serving_since: float = 0.0
    due: float | None = None
    start_at: float = 0.0
    deaths: int = 0

    def died(self, now: float) -> None:
        if self.serving and now - self.serving_since >= STEADY_SECONDS:
            self.deaths = 0
        self.deaths += 1
        self.running, self.due = False, None
        self.given = self.loaded = self.told = self.serving = 0
        # At once after the first death: an accident costs a core for no longer than a start takes.
        delay = _FIRST_DELAY_SECONDS * 2.0 ** (self.deaths - 2) if self.deaths > 1 else 0.0
        self.start_at = now + min(delay, _LAST_DELAY_SECONDS)


class Fleet:
    """Keeps a number of workers running, on one generation.

    A generation is offered to all workers that serve, and swapped once each of them has loaded it or has died of it.
    Who starts in the meantime waits for what is settled. So two workers differ for no longer than the order to swap
    takes to reach them.

    Every method takes the time in seconds, and returns what is to be done, in this order.
    """

    def __init__(self, workers: int) -> None:
        self._workers = tuple(_Worker(number) for number in range(workers))
        self.in_force = 0
        self.offered = 0

    def offer(self, generation: int, now: float) -> list[Order]:
        """Spread a new generation; only when none is offered already."""
        serving = [worker for worker in self._workers if worker.told]
        if not serving:
            # Nobody to keep in step with. It may be the mend of the one that they all died of.
            self.in_force = generation
            return [self._give(worker, generation, now) for worker in self._workers if worker.running]
        self.offered = generation
        return [self._give(worker, generation, now) for worker in serving]

    def loaded(self, number: int, generation: int, now: float) -> list[Order]:
        """Note that a worker is ready to swap."""
        worker = self._workers[number]
        worker.loaded = generation
        if worker.given == generation:
            worker.due = None
        if self.offered:
            return self._settle(now)
        return self._catch_up(worker, now)

    def serving(self, number: int, generation: int, now: float) -> list[Order]:
        """Note that a worker decides by a generation."""
        worker = self._workers[number]
        if not worker.serving:
            worker.serving_since = now
        worker.serving = generation
        if worker.given == generation:
            worker.due = None
        return []

    def ended(self, number: int, now: float) -> list[Order]:
        """Note that a worker has died; `tick` starts it anew when its time has come."""
        self._workers[number].died(now)
        return self._settle(now)

    def tick(self, now: float) -> list[Order]:
        """Start who is to be started, and end who owes an answer for too long."""
        orders: list[Order] = []
        for worker in self._workers:
            if not worker.running and worker.start_at <= now:
                orders += self._start(worker, now)
            elif worker.due is not None and worker.due <= now:
                worker.due = None
                orders.append(Kill(worker.number))
        return orders

    def next_tick(self) -> float | None:
        """Say when `tick` has something to do next; None as long as nothing happens."""
        times = [worker.due if worker.running else worker.start_at for worker in self._workers]
        return min((time for time in times if time is not None), default=None)

    def deaths(self, number: int) -> int:
        """Count how often a worker has died in a row."""
        return self._workers[number].deaths

    def starts_at(self, number: int) -> float:
        """Say when a worker that has died is started anew."""
        return self._workers[number].start_at

    def serves(self) -> bool:
        """Tell whether every worker decides by the generation in force."""
        return self.in_force > 0 and all(worker.serving == self.in_force for worker in self._workers)

    def is_hopeless(self) -> bool:
        """Tell whether no worker can be kept up."""
        return all(worker.deaths >= CRASH_LOOP and not worker.serving for worker in self._workers)

    def _start(self, worker: _Worker, now: float) -> list[Order]:
        worker.running = True
        return [Start(worker.number), *([] if self.offered else self._catch_up(worker, now))]

    def _settle(self, now: float) -> list[Order]:
        takers = [worker for worker in self._workers if worker.running and worker.given == self.offered]
        if not self.offered or any(worker.loaded != self.offered for worker in takers):
            return []
        settled, self.offered = self.offered, 0
        if takers:
            self.in_force = settled
        orders: list[Order] = [] if takers else [Refuse(settled)]
        # Who has loaded it first: they swap together, and only then is anything else sent.
        running = sorted(
            (worker for worker in self._workers if worker.running), key=lambda worker: worker not in takers
        )
        return [*orders, *(order for worker in running for order in self._catch_up(worker, now))]

    def _catch_up(self, worker: _Worker, now: float) -> list[Order]:
        if self.in_force in {0, worker.told}:
            return []
        if worker.loaded == self.in_force:
            worker.told, worker.due = self.in_force, now + SWAP_SECONDS
            return [Swap(worker.number, self.in_force)]
        return [] if worker.given == self.in_force else [self._give(worker, self.in_force, now)]

    def _give(self, worker: _Worker, generation: int, now: float) -> Order:
        worker.given, worker.due = generation, now + LOAD_SECONDS
        return Give(worker.number, generation)
