"""The fleet: workers differ in their generation for no longer than a swap takes, whatever dies, and when."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from cors_authz.edge.workers.fleet import (
    CRASH_LOOP,
    LOAD_SECONDS,
    STEADY_SECONDS,
    SWAP_SECONDS,
    Fleet,
    Give,
    Kill,
    Order,
    Refuse,
    Start,
    Swap,
)


def serving(workers: int) -> Fleet:
    """Give a fleet whose workers all decide by generation 1, since second 0."""
    fleet = Fleet(workers)
    fleet.tick(0)
    fleet.offer(1, 0)
    for number in range(workers):
        fleet.loaded(number, 1, 0)
        fleet.serving(number, 1, 0)
    return fleet


def test_at_first_all_start_and_each_serves_as_soon_as_it_has_loaded() -> None:
    fleet = Fleet(2)
    assert fleet.tick(0) == [Start(0), Start(1)]
    assert fleet.offer(1, 1) == [Give(0, 1), Give(1, 1)]
    assert fleet.loaded(1, 1, 2) == [Swap(1, 1)]
    assert fleet.serving(1, 1, 2) == []
    assert not fleet.serves()
    assert fleet.loaded(0, 1, 3) == [Swap(0, 1)]
    assert fleet.serving(0, 1, 3) == []
    assert fleet.serves()


def test_a_new_generation_is_swapped_once_all_have_loaded_it() -> None:
    fleet = serving(3)
    assert fleet.offer(2, 1) == [Give(0, 2), Give(1, 2), Give(2, 2)]
    assert fleet.loaded(0, 2, 2) == []
    assert fleet.loaded(2, 2, 2) == []
    assert (fleet.in_force, fleet.offered) == (1, 2)
    assert fleet.loaded(1, 2, 3) == [Swap(0, 2), Swap(1, 2), Swap(2, 2)]
    assert (fleet.in_force, fleet.offered) == (2, 0)


def test_a_worker_that_dies_starts_at_once_and_gets_what_is_in_force() -> None:
    fleet = serving(2)
    assert fleet.ended(1, 10) == []
    assert not fleet.serves()
    assert fleet.next_tick() == 10
    assert fleet.tick(10) == [Start(1), Give(1, 1)]
    assert fleet.loaded(1, 1, 11) == [Swap(1, 1)]


def test_who_dies_of_a_generation_does_not_hold_it_up_and_gets_it_when_it_is_settled() -> None:
    fleet = serving(2)
    fleet.offer(2, 10)
    assert fleet.loaded(0, 2, 11) == []
    assert fleet.ended(1, 12) == [Swap(0, 2)]
    assert fleet.tick(12) == [Start(1), Give(1, 2)]


def test_who_starts_while_a_generation_is_spread_waits_until_it_is_settled() -> None:
    fleet = serving(3)
    fleet.offer(2, 10)
    fleet.ended(2, 10)
    assert fleet.tick(10) == [Start(2)]
    assert fleet.loaded(0, 2, 11) == []
    assert fleet.loaded(1, 2, 11) == [Swap(0, 2), Swap(1, 2), Give(2, 2)]


def test_who_has_the_old_one_loaded_when_a_new_one_is_offered_does_not_begin_to_serve_it() -> None:
    fleet = serving(2)
    fleet.ended(1, 10)
    fleet.tick(10)
    assert fleet.offer(2, 11) == [Give(0, 2)]
    assert fleet.loaded(1, 1, 12) == []
    assert fleet.loaded(0, 2, 13) == [Swap(0, 2), Give(1, 2)]
    assert fleet.loaded(1, 2, 14) == [Swap(1, 2)]


def test_a_generation_that_no_worker_survives_is_refused_and_the_old_one_decides_on() -> None:
    fleet = serving(2)
    fleet.offer(2, 10)
    assert fleet.ended(0, 11) == []
    assert fleet.ended(1, 11) == [Refuse(2)]
    assert (fleet.in_force, fleet.offered) == (1, 0)
    assert fleet.tick(11) == [Start(0), Give(0, 1), Start(1), Give(1, 1)]


def test_what_is_offered_while_nobody_serves_is_in_force_at_once_since_it_may_be_the_mend() -> None:
    fleet = serving(2)
    fleet.ended(0, 10)
    fleet.ended(1, 10)
    fleet.tick(10)
    assert fleet.offer(2, 11) == [Give(0, 2), Give(1, 2)]
    assert fleet.loaded(0, 1, 12) == []
    assert fleet.loaded(0, 2, 12) == [Swap(0, 2)]


def test_who_answers_too_late_is_killed_once() -> None:
    fleet = serving(2)
    fleet.offer(2, 10)
    fleet.loaded(0, 2, 11)
    assert fleet.next_tick() == 10 + LOAD_SECONDS
    assert fleet.tick(10 + LOAD_SECONDS - 1) == []
    assert fleet.tick(10 + LOAD_SECONDS) == [Kill(1)]
    assert fleet.tick(10 + LOAD_SECONDS) == []
    assert fleet.ended(1, 200) == [Swap(0, 2)]
    assert fleet.next_tick() == 200
    assert fleet.tick(200) == [Start(1), Give(1, 2)]
    assert fleet.tick(200 + SWAP_SECONDS) == [Kill(0)]


def test_deaths_in_a_row_are_waited_for_longer_and_longer() -> None:
    fleet = serving(1)
    waits = []
    for _ in range(10):
        fleet.ended(0, 0)
        waits.append(fleet.starts_at(0))
        fleet.tick(1000)
    assert waits == [0, 0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_steady_life_forgives_the_deaths_before() -> None:
    fleet = serving(1)
    for _ in range(3):
        fleet.ended(0, 1)
        fleet.tick(100)
    fleet.loaded(0, 1, 100)
    fleet.serving(0, 1, 100)
    fleet.ended(0, 100 + STEADY_SECONDS - 1)
    assert fleet.deaths(0) == 4
    fleet.tick(500)
    fleet.loaded(0, 1, 500)
    fleet.serving(0, 1, 500)
    fleet.ended(0, 500 + STEADY_SECONDS)
    assert fleet.deaths(0) == 1


def test_there_is_no_hope_once_each_worker_is_in_a_crash_loop() -> None:
    fleet = serving(2)
    for _ in range(CRASH_LOOP):
        assert not fleet.is_hopeless()
        fleet.ended(0, 0)
        fleet.tick(1000)
    for _ in range(CRASH_LOOP):
        assert not fleet.is_hopeless()
        fleet.ended(1, 0)
        fleet.tick(1000)
    assert fleet.is_hopeless()


class _World:
    """Processes that do as they are told, in an order that the test draws."""

    def __init__(self, workers: int) -> None:
        self.fleet = Fleet(workers)
        self.now = 0.0
        self.newest = 0
        self.inboxes: list[list[Give | Swap] | None] = [None] * workers
        self.in_force = [0] * workers
        self.lacks_processes = False

    def obey(self, orders: list[Order]) -> None:
        for order in orders:
            match order:
                case Start(number):
                    self.start(number)
                case Give(number, generation):
                    assert generation in {self.fleet.in_force, self.fleet.offered}
                    self.send(number, order)
                case Swap(number, _):
                    self.send(number, order)
                case Kill(number):
                    self.die(number)
                case Refuse(generation):
                    assert generation not in self.in_force

    def start(self, number: int) -> None:
        assert self.inboxes[number] is None
        if self.lacks_processes:
            self.obey(self.fleet.ended(number, self.now))
        else:
            self.inboxes[number] = []

    def send(self, number: int, order: Give | Swap) -> None:
        inbox = self.inboxes[number]
        if inbox is not None:
            inbox.append(order)
        else:
            # It could not be started, by the order before this one.
            assert self.lacks_processes

    def work(self, number: int) -> None:
        inbox = self.inboxes[number]
        if not inbox:
            return
        order = inbox.pop(0)
        if isinstance(order, Give):
            self.obey(self.fleet.loaded(number, order.generation, self.now))
        else:
            self.in_force[number] = order.generation
            self.obey(self.fleet.serving(number, order.generation, self.now))

    def die(self, number: int) -> None:
        if self.inboxes[number] is not None:
            self.inboxes[number], self.in_force[number] = None, 0
            self.obey(self.fleet.ended(number, self.now))

    def offer(self) -> None:
        if not self.fleet.offered:
            self.newest += 1
            self.obey(self.fleet.offer(self.newest, self.now))

    def tick(self) -> None:
        self.now += 1
        self.obey(self.fleet.tick(self.now))

    def take(self, step: str, number: int) -> None:
        match step:
            case "work":
                self.work(number)
            case "die":
                self.die(number)
            case "tick":
                self.tick()
            case "lack":
                self.lacks_processes = not self.lacks_processes
            case _:
                self.offer()

    def swaps_are_under_way(self) -> bool:
        return any(isinstance(order, Swap) for inbox in self.inboxes for order in inbox or ())


STEPS = ["work", "work", "work", "work", "die", "tick", "offer", "lack"]


@settings(max_examples=300)
@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3)), max_size=80))
def test_workers_differ_only_while_swaps_are_under_way(workers: int, steps: list[tuple[str, int]]) -> None:
    world = _World(workers)
    world.tick()
    world.offer()
    for step, number in steps:
        world.take(step, number % workers)
        if not world.swaps_are_under_way():
            assert len(set(world.in_force) - {0}) <= 1
    # Whatever happened, once nothing dies any more all come to serve what is in force.
    world.lacks_processes = False
    for _ in range(40):
        world.tick()
        for number in range(workers):
            while world.inboxes[number]:
                world.work(number)
    assert world.fleet.serves()
    assert set(world.in_force) == {world.fleet.in_force}
