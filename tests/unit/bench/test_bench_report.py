"""The report: what a run says on the screen and in the documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench.figures import Better, Figure
from tests.bench.report import BEGIN, END, brief, replaced, tables

RESULTS: dict[str, Any] = {
    "facts": {
        "cores": 2,
        "python": "3.11.2",
        "grpcio": "1.85.1",
        "protobuf": "7.36.2",
        "experiments": "-x",
        "rounds": 5,
    },
    "decisions": {
        "ours": {"hot": {"cpu_us": 40.81, "rate": 24_131.4}, "h2load": {"cpu_us": 51.8, "rate": 19_154.0}},
        "static": {"hot": {"cpu_us": 9.9, "rate": 90_000.0}, "h2load": {"cpu_us": 11.4, "rate": 77_440.0}},
    },
    "skipped": {"tonic": "cargo is not installed"},
}
ENVOY = {"ours": {"rate": 7_162.2, "p50_ms": 4.376, "p99_ms": 7.38}}
SINGLE = {"single_p50_ms": 0.5, "envoy_cpu_us": 80.0, "service_cpu_us": 50.0}
CONDITIONS = (
    "2 cores; Python 3.11.2, grpcio 1.85.1, protobuf 7.36.2, `GRPC_EXPERIMENTS=-x` for every Python row. Medians of 5 "
    "rounds; one connection, 32 streams; the server on one core, the loader on the other; "
    "CPU from the operating system."
)


def test_the_readme_has_what_a_check_costs_alone_and_behind_envoy() -> None:
    assert brief(RESULTS | {"envoy": ENVOY}).splitlines() == [
        CONDITIONS,
        "",
        "| server | hot request: CPU µs | mixed trace: CPU µs | through Envoy: rps | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- | --- |",
        "| ours | 40.8 | - | 7,162 | 4.38 | 7.38 |",
        "| static | 9.90 | - | - | - | - |",
    ]


def test_a_row_says_whether_it_is_the_native_wheel() -> None:
    row = RESULTS["decisions"]["ours"]
    names = ("cors-authz, grpc-server", "cors-authz, grpc-server, from source", "static, grpc-server")
    results = RESULTS | {"decisions": dict.fromkeys(names, row), "envoy": {names[0]: ENVOY["ours"] | SINGLE}}
    told = ("cors-authz, grpc-server, native wheel", *names[1:])
    assert [line.split(" | ")[0].removeprefix("| ") for line in brief(results).splitlines()[4:]] == list(told)
    report = tables(results, [])
    assert [report.count(f"| {name} |") for name in told] == [2, 1, 1]


def test_a_report_has_the_figures_the_parts_that_ran_and_what_was_skipped() -> None:
    reached = [Figure("floor", "over the floor", 2.2, 1.6, Better.LESS, 2.0, "")]
    text = tables(RESULTS, reached)
    assert "| over the floor | ≤ 2.2 | ≤ 1.6 | 2.00 | must |" in text
    assert "90,000 checks/s where h2load reaches 77,440" in text
    assert text.endswith("- tonic: skipped, cargo is not installed")
    assert "through Envoy" not in text


def test_new_text_takes_the_place_between_the_markers() -> None:
    assert replaced(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"


@pytest.mark.parametrize("document", ["", BEGIN, END, f"{END}{BEGIN}"])
def test_a_document_without_a_place_for_it_is_an_error(document: str) -> None:
    with pytest.raises(ValueError, match="has no place for it"):
        replaced(document, "new")
