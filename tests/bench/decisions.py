"""Checks alone, without Envoy: floors, the product on both transports and the peers, visited in turn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from tests.bench import build
from tests.bench.load import Sample, Trace, hot_load, trace_load
from tests.bench.machine import MissingError
from tests.bench.opa_data import write_opa_data
from tests.bench.servers import (
    Command,
    Running,
    Watched,
    floor,
    from_source,
    full_job,
    go_static,
    opa,
    product,
    rust_static,
    serving,
    until_idle,
)
from tests.bench.traffic import PASS, write_trace
from tests.bench.workspace import Shop, Workspace, available, verify

QUEUE: Final = "completion-queue"
THREADS: Final = "grpc-server"
ONE_BODY, HOT, MIXED = LOADS = ("h2load", "hot", "mixed")
"""One body over and over; the hot request, no two alike; the mix."""

_VERIFIED: Final = 200
"""So many answers of a pass are read one by one; the loader judges all."""


class Entrant(NamedTuple):
    """A server in the rounds: whether it decides, and how many checks make about a second of work for it."""

    server: Running
    decides: bool
    checks: int


Rows = dict[str, dict[str, dict[str, float]]]
"""By server and load: `rate` in checks a second, and `cpu_us` a check."""


def measure(shop: Shop, space: Workspace, skipped: dict[str, str], loads: Collection[str]) -> Rows:
    """Measure every server under some of `LOADS`; only those that decide get the mix.

    Raises: LoadError, ServerFailedError.
    """
    loads = _possible(loads, skipped)
    write_trace(shop.traffic.hot(space.size.checks), space.folder / "hot")
    with ExitStack() as running:
        entrants = [
            enter(running.enter_context(serving(command, space.cores, space.folder, probe(shop))), shop, space)
            for command in _commands(shop, space, skipped)
        ]
        return rounds(entrants, shop, space, loads)


def rounds(entrants: Sequence[Entrant], shop: Shop, space: Workspace, loads: Collection[str]) -> Rows:
    """Visit servers in turn, round by round, and give the medians.

    Raises: LoadError.
    """
    samples: dict[tuple[str, str], list[Sample]] = {}
    for number in range(space.size.rounds):
        space.say(f"round {number + 1} of {space.size.rounds}")
        for name, load, sample in _round(entrants, shop, space, loads):
            samples.setdefault((name, load), []).append(sample)
    return _rows(samples)


def probe(shop: Shop) -> bytes:
    """Give a request that any server of this shop answers."""
    return next(shop.traffic.hot(1)).message


def static_answer(shop: Shop, space: Workspace) -> Path:
    """Write what servers answer that decide nothing: the product's own answer to the hot request, byte for byte.

    With another one, Envoy and the generated stubs would have less to do for them, and the difference would pass for
    the price of deciding.
    """
    command = product(shop.policy, QUEUE, _full_job(space, "once"))
    with serving(command, space.cores, space.folder, probe(shop)) as server:
        (answer,) = server.call([probe(shop)])
    (space.folder / "answer").write_bytes(answer)
    return space.folder / "answer"


def _commands(shop: Shop, space: Workspace, skipped: dict[str, str]) -> Iterable[Command]:
    answer = static_answer(shop, space)
    data = write_opa_data(shop.estate, shop.jwks, space.folder / "opa.json")
    makes: Mapping[str, Callable[[], Command]] = {
        "static, completion-queue": partial(floor, QUEUE, answer),
        "static, grpc-server": partial(floor, THREADS, answer),
        "cors-authz, completion-queue": partial(product, shop.policy, QUEUE, _full_job(space, QUEUE)),
        "cors-authz, grpc-server": partial(product, shop.policy, THREADS, _full_job(space, THREADS)),
        "cors-authz, completion-queue, from source": partial(
            from_source, shop.policy, QUEUE, _full_job(space, "source")
        ),
        "static, grpc-go": partial(go_static, answer, raw=False),
        "static, grpc-go raw bytes": partial(go_static, answer, raw=True),
        "static, tonic": partial(rust_static, answer),
        "OPA, token decoded": partial(opa, data, verify=False),
        "OPA, token verified": partial(opa, data, verify=True),
    }
    found = [available(make, skipped, name) for name, make in makes.items()]
    return [command for command in found if command is not None]


def _full_job(space: Workspace, name: str) -> Watched:
    return full_job(space.folder / f"audit-{name}", space.collector)


def _possible(loads: Collection[str], skipped: dict[str, str]) -> Collection[str]:
    """Leave out what needs our loader where it cannot be built."""
    try:
        build.go("loader")
    except MissingError as error:
        skipped["the varied hot request and the mixed trace (hot is one body by h2load)"] = str(error)
        return (ONE_BODY,)
    return loads


def enter(server: Running, shop: Shop, space: Workspace) -> Entrant:
    """Verify a server's answers, let it see every token that is not new, and find its pace."""
    decides = not server.name.startswith("static")
    if decides:
        checks = list(shop.traffic.mixed(1))
        verify(server, checks[:_VERIFIED])
        server.call([check.message for check in checks[_VERIFIED:]])
    rate = hot_load(server, probe(shop), PASS, space.cores, space.folder).rate
    count = min(space.size.checks, max(PASS, int(rate) // PASS * PASS))
    space.say(f"{server.name}: about {rate:,.0f} checks/s, {count:,} a round")
    return Entrant(server, decides, count)


def _round(
    entrants: Iterable[Entrant], shop: Shop, space: Workspace, loads: Collection[str]
) -> Iterable[tuple[str, str, Sample]]:
    """Visit each server once; in each round the mix brings its own new tokens, the same to all."""
    write_trace(shop.traffic.mixed(space.size.checks // PASS), space.folder / "mixed")
    for entrant in entrants:
        until_idle(entrant.server.pid)
        for load in loads:
            if entrant.decides or load != MIXED:
                yield entrant.server.name, load, _sample(entrant, load, shop, space)


def _sample(entrant: Entrant, load: str, shop: Shop, space: Workspace) -> Sample:
    if load == ONE_BODY:
        return hot_load(entrant.server, probe(shop), entrant.checks, space.cores, space.folder)
    return trace_load(entrant.server, Trace(space.folder / load, entrant.checks), space.cores)


def _rows(samples: Mapping[tuple[str, str], list[Sample]]) -> Rows:
    rows: Rows = {}
    for (name, load), of_rounds in samples.items():
        rows.setdefault(name, {})[load] = {
            "rate": median(sample.rate for sample in of_rounds),
            "cpu_us": median(sample.cpu_seconds for sample in of_rounds) * 1e6,
        }
    return rows
