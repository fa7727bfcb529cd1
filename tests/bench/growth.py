"""How the price grows with the policy: per check, to load it, and to swap it while checks go on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from struct import Struct
from threading import Event, Thread
from typing import Any, Final, NamedTuple, Self

import orjson

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from cors_authz.edge.clock import now_seconds
from tests.bench.cpu import memory_bytes
from tests.bench.decisions import QUEUE, probe
from tests.bench.load import Trace, faultless, loader, trace_load
from tests.bench.load_cost import STAGES
from tests.bench.machine import ROOT
from tests.bench.servers import Running, full_job, product, serving, until_idle
from tests.bench.traffic import PASS, write_trace
from tests.bench.workspace import Shop, Workspace, open_shop, verify

_STAGE_SECONDS: Final = 900
_SWAP_SECONDS: Final = 300
_SAMPLE_SECONDS: Final = 0.02
_LEAD_SECONDS: Final = 1.0
_MOST_STREAMS: Final = 400
"""Below the service's own bound, so that a stall shows as waiting and not as refusals."""
_TIMING: Final = Struct("<qq")


class Place(NamedTuple):
    """An estate that is served."""

    shop: Shop
    server: Running
    folder: Path

    @property
    def name(self) -> str:
        """The estate in the tables."""
        return f"{self.shop.estate.groups:,} groups, {self.shop.estate.origins:,} origins"


class Swap(NamedTuple):
    """When a new version was written and when it first decided (seconds since the epoch), and the most memory then."""

    written: float
    decided: float
    peak_bytes: int


class PeakMemory:
    """Watches a process and its descendants while its `with` block runs, and keeps the most bytes that they held."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._stop = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_SECONDS):
            self.bytes = max(self.bytes, sum(memory_bytes(self._pid).values()))


def measure(space: Workspace) -> dict[str, dict[str, float]]:
    """Measure each estate; the largest also while it is swapped under load.

    Raises: LoadError, ServerFailedError, MissingError.
    """
    shops = [
        open_shop(estate, space.folder / f"estate-{estate.groups}", int(now_seconds())) for estate in space.size.estates
    ]
    with ExitStack() as running:
        places = [_open(shop, space, running) for shop in shops]
        rows = {place.name: _load_costs(place, space) for place in places}
        for name, cost in _check_costs(places, space).items():
            rows[name] |= cost
        for place in places:
            rows[place.name] |= _swap_cost(place)
        rows[places[-1].name] |= _swap_under_load(places[-1], rows[places[-1].name], space)
    return rows


def _open(shop: Shop, space: Workspace, running: ExitStack) -> Place:
    folder = space.folder / f"estate-{shop.estate.groups}"
    space.say(f"{shop.estate.groups:,} groups, {shop.estate.origins:,} origins: starting")
    command = product(shop.policy, QUEUE, full_job(folder / "audit", space.collector))
    server = running.enter_context(serving(command, space.cores, folder, probe(shop)))
    checks = list(shop.traffic.mixed(1))
    verify(server, checks[:100])
    trace_load(server, Trace(write_trace(checks, folder / "known"), PASS), space.cores)
    return Place(shop, server, folder)


def _load_costs(place: Place, space: Workspace) -> dict[str, float]:
    """Load in processes of their own, a stage further each time."""
    space.say(f"{place.name}: parse, check, compile")
    costs = {stage: _stage(stage, place.shop.policy, space) for stage in STAGES}
    seconds = {stage: cost["seconds"] for stage, cost in costs.items()}
    return {
        "parse_s": seconds["parse"],
        "check_s": seconds["check"] - seconds["parse"],
        "compile_s": seconds["compile"] - seconds["check"],
        "load_s": seconds["compile"],
        "load_peak_mb": costs["compile"]["peak_bytes"] / 1e6,
    }


def _stage(stage: str, policy: Path, space: Workspace) -> dict[str, float]:
    words = space.cores.on_server([sys.executable, "-m", "tests.bench.load_cost", stage, str(policy)])
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=True, timeout=_STAGE_SECONDS)
    cost: dict[str, float] = orjson.loads(done.stdout)
    return cost


def _check_costs(places: Sequence[Place], space: Workspace) -> dict[str, dict[str, float]]:
    """Visit the estates in turn with the mix, drawn over everything that each has."""
    samples: dict[str, list[tuple[float, float]]] = {}
    for number in range(space.size.rounds):
        space.say(f"growth, round {number + 1} of {space.size.rounds}")
        for place in places:
            trace = write_trace(place.shop.traffic.mixed(space.size.checks // PASS), place.folder / "mixed")
            until_idle(place.server.pid)
            samples.setdefault(place.name, []).append(
                trace_load(place.server, Trace(trace, space.size.checks), space.cores)
            )
    return {
        name: {"rate": median(rate for rate, _ in of), "cpu_us": median(cpu for _, cpu in of) * 1e6}
        for name, of in samples.items()
    }


def _swap_cost(place: Place) -> dict[str, float]:
    swap = _swap(place, "r2")
    until_idle(place.server.pid)
    return {
        "swap_s": swap.decided - swap.written,
        "swap_peak_mb": swap.peak_bytes / 1e6,
        "serving_mb": max(memory_bytes(place.server.pid).values()) / 1e6,
    }


def _swap(place: Place, revision: str) -> Swap:
    """Write a new version as one change, and ask until it decides."""
    with PeakMemory(place.server.pid) as peak:
        written = _write_revision(place.shop, revision)
        for _ in _until(_SWAP_SECONDS):
            if _revision(place) == revision:
                return Swap(written, now_seconds(), peak.bytes)
    raise TimeoutError(f"{place.name}: revision {revision} does not decide after {_SWAP_SECONDS} s")


def _write_revision(shop: Shop, revision: str) -> float:
    bundle, fresh = shop.policy / "bundle.yaml", shop.policy / ".bundle"
    content: dict[str, Any] = orjson.loads(bundle.read_bytes())
    content["metadata"]["revision"] = revision
    fresh.write_bytes(orjson.dumps(content))
    fresh.replace(bundle)
    return now_seconds()


def _revision(place: Place) -> str:
    response = CheckResponse.FromString(place.server.call([probe(place.shop)])[0])
    return response.dynamic_metadata.fields["revision"].string_value


def _swap_under_load(place: Place, row: dict[str, float], space: Workspace) -> dict[str, float]:
    """Ask at half of what it can answer, at rest and then while it swaps, by a clock that does not wait for answers."""
    rate = row["rate"] / 2
    seconds = max(space.size.reload_seconds, 2 * _LEAD_SECONDS + 3 * row["swap_s"])
    space.say(f"{place.name}: {rate:,.0f} checks/s at rest, then for {seconds:.0f} s while it swaps")
    rest = _paced(place, rate, min(seconds, space.size.reload_seconds), space)
    with ThreadPoolExecutor(1) as pool:
        load: Future[list[tuple[float, float]]] = pool.submit(_paced, place, rate, seconds, space)
        time.sleep(_LEAD_SECONDS)
        swap = _swap(place, "r3")
        during = [took for at, took in load.result() if swap.written <= at <= swap.decided]
    return {
        "paced_rate": rate,
        "rest_p99_ms": _p99([took for _, took in rest]) * 1e3,
        "swap_p99_ms": _p99(during) * 1e3,
        "loaded_swap_s": swap.decided - swap.written,
        "loaded_swap_peak_mb": swap.peak_bytes / 1e6,
    }


def _paced(place: Place, rate: float, seconds: float, space: Workspace) -> list[tuple[float, float]]:
    """Give for each answer when it was due (seconds since the epoch) and how many seconds it took from then."""
    timings = place.folder / "latencies"
    trace = Trace(place.folder / "mixed", int(rate * seconds))
    options = ["-rate", f"{rate:.1f}", "-streams", str(_MOST_STREAMS), "-latencies", str(timings), "-limit", "280s"]
    began = faultless(loader(place.server.address, trace, space.cores, options)).began
    return [(began + at / 1e9, took / 1e9) for at, took in _TIMING.iter_unpack(timings.read_bytes())]


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


def _until(seconds: float) -> Iterator[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield
        time.sleep(_SAMPLE_SECONDS)
