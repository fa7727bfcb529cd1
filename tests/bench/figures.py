"""The figures that the bench stands for: ratios within one run, each with what must be reached and what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum, unique
from typing import Any, Final, NamedTuple

Results = Mapping[str, Any]
"""What a run measured, as it stands in its JSON."""

_QUEUE: Final = "cors-authz, completion-queue"
_THREADS: Final = "cors-authz, grpc-server"
_GO: Final = "static, grpc-go"
_OPA: Final = "OPA, token decoded"
_ABSOLUTE: Final = frozenset({"envoy_p50_ms", "load_s", "load_mb"})
TOLERANCE: Final = 0.2
"""By which share a figure may be worse than the committed one: neighbours on a machine cost up to half of that."""


@unique
class Better(StrEnum):
    """Which way a figure is better."""

    LESS = "less"
    MORE = "more"


class Goal(NamedTuple):
    """A figure: its key and name, its bounds, which way it is better, and where it comes from."""

    key: str
    name: str
    must: float
    want: float
    better: Better
    read: Callable[[Results], float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that was read, or why not (`reached` is None then)."""

    key: str
    name: str
    must: float
    want: float
    better: Better
    reached: float | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """How the figure stands: `want`, `must`, `missed` or `not measured`."""
        if self.reached is None:
            return "not measured"
        if self.reaches(self.want):
            return "want"
        return "must" if self.reaches(self.must) else "missed"

    def reaches(self, bound: float) -> bool:
        """Say whether a bound is reached."""
        if self.reached is None:
            return False
        return self.reached >= bound if self.better is Better.MORE else self.reached <= bound


def figures(results: Results) -> list[Figure]:
    """Read every figure that a run has the parts for."""
    return [_figure(goal, results) for goal in _GOALS]


def ratios(reached: Iterable[Figure]) -> dict[str, float]:
    """Give what can be committed: seconds and bytes belong to a machine, ratios to the code."""
    return {
        figure.key: round(figure.reached, 3)
        for figure in reached
        if figure.reached is not None and figure.key not in _ABSOLUTE
    }


def as_json(figure: Figure) -> dict[str, Any]:
    """Give a figure as it stands in the JSON."""
    return {**asdict(figure), "verdict": figure.verdict}


def worse(reached: Iterable[Figure], committed: Mapping[str, float]) -> list[str]:
    """Say which ratios are worse than the committed ones by more than the tolerance."""
    said = []
    for figure in reached:
        base = committed.get(figure.key)
        if base is None or figure.reached is None:
            continue
        bound = base * (1 - TOLERANCE) if figure.better is Better.MORE else base * (1 + TOLERANCE)
        if not figure.reaches(bound):
            said.append(f"{figure.name}: {figure.reached:.2f}, committed {base:.2f}")
    return said


def _figure(goal: Goal, results: Results) -> Figure:
    bounds = (goal.key, goal.name, goal.must, goal.want, goal.better)
    try:
        return Figure(*bounds, goal.read(results))
    except KeyError as missing:
        return Figure(*bounds, None, f"no {missing.args[0]} in this run")


def _cpu(results: Results, server: str, load: str = "hot") -> float:
    loads = results["decisions"][server]
    # Without our loader, the hot request is the one body that h2load sends.
    cpu: float = loads["h2load" if load == "hot" and load not in loads else load]["cpu_us"]
    return cpu


def _over(one: str, other: str) -> Callable[[Results], float]:
    return lambda results: _cpu(results, one) / _cpu(results, other)


def _envoy(results: Results, way: str, field: str) -> float:
    value: float = results["envoy"][way][field]
    return value


def _growth(results: Results) -> tuple[Mapping[str, float], Mapping[str, float]]:
    rows = list(results["growth"].values())
    return rows[0], rows[-1]


def _growth_of(field: str) -> Callable[[Results], float]:
    def read(results: Results) -> float:
        first, last = _growth(results)
        return last[field] / first[field]

    return read


def _largest(field: str) -> Callable[[Results], float]:
    return lambda results: _growth(results)[1][field]


_GOALS: Final = (
    Goal(
        "floor",
        "CPU over the static completion-queue floor",
        2.2,
        1.6,
        Better.LESS,
        _over(_QUEUE, "static, completion-queue"),
    ),
    Goal("go", "CPU over a static grpc-go server", 1.5, 1.0, Better.LESS, _over(_QUEUE, _GO)),
    Goal("opa", "CPU of OPA's library over ours", 6, 10, Better.MORE, _over(_OPA, _QUEUE)),
    Goal(
        "mixed",
        "mixed trace over hot request, CPU",
        1.6,
        1.25,
        Better.LESS,
        lambda results: _cpu(results, _QUEUE, "mixed") / _cpu(results, _QUEUE),
    ),
    Goal(
        "envoy_rate",
        "through Envoy: rps over static grpc-go's",
        0.9,
        1.0,
        Better.MORE,
        lambda results: _envoy(results, _QUEUE, "rate") / _envoy(results, _GO, "rate"),
    ),
    Goal(
        "envoy_p50_ms",
        "through Envoy: p50 beyond static grpc-go's, one at a time, ms",
        0.1,
        0.03,
        Better.LESS,
        lambda results: _envoy(results, _QUEUE, "single_p50_ms") - _envoy(results, _GO, "single_p50_ms"),
    ),
    Goal("growth", "largest policy over smallest, CPU", 1.15, 1.05, Better.LESS, _growth_of("cpu_us")),
    Goal("load_s", "load the largest policy, s", 10, 4, Better.LESS, _largest("load_s")),
    Goal("load_mb", "load the largest policy, peak MB", 400, 250, Better.LESS, _largest("load_peak_mb")),
    Goal(
        "reload_p99",
        "p99 while the largest reloads over p99 at rest",
        3,
        1.5,
        Better.LESS,
        lambda results: _largest("swap_p99_ms")(results) / _largest("rest_p99_ms")(results),
    ),
    Goal(
        "fallback",
        "fallback transport, CPU over its own floor",
        1.6,
        1.3,
        Better.LESS,
        _over(_THREADS, "static, grpc-server"),
    ),
)
