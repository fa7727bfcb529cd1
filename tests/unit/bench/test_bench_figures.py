"""Figures: read from a run, judged by their bounds, held against what was committed, and written into the README."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.bench.figures import Better, Figure, figures, ratios, worse
from tests.bench.report import BEGIN, END, replaced, tables

_QUEUE, _THREADS = "cors-authz, completion-queue", "cors-authz, grpc-server"
_CPU: Final = {
    "static, completion-queue": 20.0,
    "static, grpc-server": 70.0,
    _QUEUE: 30.0,
    _THREADS: 105.0,
    "static, grpc-go": 25.0,
    "OPA, token decoded": 300.0,
}
_GROWN: Final = {
    "parse_s": 1.0,
    "check_s": 1.0,
    "compile_s": 1.0,
    "load_s": 3.0,
    "load_peak_mb": 200.0,
    "swap_s": 4.0,
    "serving_mb": 90.0,
    "swap_peak_mb": 300.0,
    "paced_rate": 9000.0,
    "loaded_swap_s": 5.0,
    "rest_p99_ms": 2.0,
    "swap_p99_ms": 5.0,
    "cpu_us": 33.0,
}


def results(**parts: object) -> dict[str, Any]:
    """Give a run with every part; the arguments replace some."""
    loads = {
        name: {
            load: {"cpu_us": cpu * (1.5 if load == "mixed" else 1), "rate": 1e6 / cpu}
            for load in ("h2load", "hot", "mixed")
        }
        for name, cpu in _CPU.items()
    }
    way = {"p50_ms": 5.0, "p99_ms": 9.0, "single_p99_ms": 1.0, "envoy_cpu_us": 150.0, "service_cpu_us": 40.0}
    envoy = {
        "static, grpc-go": {**way, "rate": 5000.0, "single_p50_ms": 0.5},
        _QUEUE: {**way, "rate": 4600.0, "single_p50_ms": 0.52},
    }
    growth = {"10 groups": {**_GROWN, "cpu_us": 30.0}, "10,000 groups": _GROWN}
    facts = {"cores": "2", "python": "3.11.7", "grpcio": "1.85.1", "protobuf": "7", "experiments": "-x", "rounds": 5}
    return {"decisions": loads, "envoy": envoy, "growth": growth, "skipped": {}, "facts": facts, **parts}


def test_every_figure_is_read_and_judged() -> None:
    read = {figure.key: (round(figure.reached or 0, 3), figure.verdict) for figure in figures(results())}
    assert read == {
        "floor": (1.5, "want"),
        "go": (1.2, "must"),
        "opa": (10, "want"),
        "mixed": (1.5, "must"),
        "envoy_rate": (0.92, "must"),
        "envoy_p50_ms": (0.02, "want"),
        "growth": (1.1, "must"),
        "load_s": (3, "want"),
        "load_mb": (200, "want"),
        "reload_p99": (2.5, "must"),
        "fallback": (1.5, "must"),
    }


def test_a_part_that_was_not_run_leaves_its_figures_unmeasured() -> None:
    missing = results()
    del missing["envoy"]
    by_key = {figure.key: figure for figure in figures(missing)}
    assert (by_key["envoy_rate"].verdict, by_key["floor"].verdict) == ("not measured", "want")


def test_a_server_that_was_skipped_is_named() -> None:
    decisions = results()["decisions"]
    del decisions["static, grpc-go"]
    by_key = {figure.key: figure for figure in figures(results(decisions=decisions))}
    assert by_key["go"].note == "no static, grpc-go in this run"


@pytest.mark.parametrize(
    ("better", "reached", "verdict"),
    [
        (Better.LESS, 1.0, "want"),
        (Better.LESS, 2.0, "must"),
        (Better.LESS, 2.1, "missed"),
        (Better.MORE, 2.0, "want"),
        (Better.MORE, 1.0, "must"),
        (Better.MORE, 0.9, "missed"),
    ],
)
def test_a_bound_itself_is_within(better: Better, reached: float, verdict: str) -> None:
    bounds = (2.0, 1.0) if better is Better.LESS else (1.0, 2.0)
    assert Figure("x", "x", *bounds, better, reached).verdict == verdict


def test_a_ratio_that_got_worse_than_the_tolerance_is_said() -> None:
    said = worse(figures(results()), {"floor": 1.2, "go": 1.1, "opa": 13.0, "envoy_rate": 1.0})
    assert said == [
        "CPU over the static completion-queue floor: 1.50, committed 1.20",
        "CPU of OPA's library over ours: 10.00, committed 13.00",
    ]


def test_seconds_and_bytes_are_not_committed() -> None:
    assert ratios(figures(results())).keys().isdisjoint({"envoy_p50_ms", "load_s", "load_mb"})


def test_the_section_is_replaced_and_nothing_else() -> None:
    new = tables(results(skipped={"static, tonic": "cargo is not installed"}), figures(results()))
    once = replaced(f"before\n{BEGIN}\nold\n{END}\nafter\n", new)
    assert once == replaced(once, new) == f"before\n{BEGIN}\n{new}\n{END}\nafter\n"
    assert "- static, tonic: skipped, cargo is not installed" in new


def test_a_readme_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        replaced("nothing here", "new")
