"""The dashboards: what is shipped is what the code makes, and every query is one that Prometheus can answer."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cors_authz.edge.metrics import catalogue
from cors_authz.edge.metrics.sample import Kind, Metric
from monitoring import boards
from monitoring.panels import of

FILES: Final = {path.name: path.read_text() for path in sorted(boards.FOLDER.glob("*.json"))}
BOARDS: Final[dict[str, dict[str, Any]]] = {name: json.loads(text) for name, text in FILES.items()}
METRICS: Final = {
    metric.name: metric
    for value in vars(catalogue).values()
    for metric in (value if isinstance(value, tuple) else (value,))
    if isinstance(metric, Metric)
}
_SERIES: Final = re.compile(r"([a-z_]+){([^}]*)}")
_LABEL: Final = re.compile(r"(\w+)(?:=~|!~|!=|=)")
_BY: Final = re.compile(r"\bby \(([^)]*)\)")
_MADE_UP: Final = {"$__rate_interval": "5m", "$__range": "6h"}


def _panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for panel in board["panels"]:
        yield from panel.get("panels") or ()
        if panel["type"] != "row":
            yield panel


QUERIES: Final = {
    f"{name}: {panel['title']} {target['refId']}": str(target["expr"])
    for name, board in BOARDS.items()
    for panel in _panels(board)
    for target in panel["targets"]
}


def test_what_is_shipped_is_what_the_code_makes() -> None:
    assert boards.files() == FILES, "run: make dashboards"


def _metric(series: str) -> Metric:
    name = series.removesuffix("_bucket")
    metric = METRICS[name]
    assert (metric.kind is Kind.HISTOGRAM) == (name != series)
    return metric


@pytest.mark.parametrize("expression", QUERIES.values(), ids=QUERIES)
def test_each_query_names_metrics_and_labels_that_there_are(expression: str) -> None:
    found = _SERIES.findall(expression)
    assert len(found) == len(re.findall(r"\b(?:cors_authz|process)_", expression)) > 0
    known = {"job", "instance"}
    for series, matchers in found:
        metric = _metric(series)
        allowed = {*metric.labels, "job", "instance", *({"le"} if metric.kind is Kind.HISTOGRAM else ())}
        assert set(_LABEL.findall(matchers)) <= allowed
        known |= allowed
    assert {label.strip() for by in _BY.findall(expression) for label in by.split(",")} <= known


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_each_query_keeps_to_what_the_reader_chose(board: dict[str, Any]) -> None:
    variables = {each["name"] for each in board["templating"]["list"]}
    used: set[str] = {"source"}
    for panel in _panels(board):
        for target in panel["targets"]:
            matchers = [matchers for _, matchers in _SERIES.findall(target["expr"])]
            assert all(matcher.startswith('job=~"$job",instance=~"$instance"') for matcher in matchers)
            used |= set(re.findall(r"\$([a-z]+)\b", target["expr"]))
    assert used == variables


def test_legends_name_labels_that_the_query_leaves() -> None:
    for board in BOARDS.values():
        for panel in _panels(board):
            for target in panel["targets"]:
                left = {label.strip() for by in _BY.findall(target["expr"]) for label in by.split(",")}
                left |= {"instance", "sink"} if not _BY.search(target["expr"]) else set()
                assert set(re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))) <= left, panel["title"]


def test_each_metric_of_ours_is_on_some_board() -> None:
    shown = {series.removesuffix("_bucket") for query in QUERIES.values() for series, _ in _SERIES.findall(query)}
    assert {name for name in METRICS if name.startswith("cors_authz_")} - shown == set()


def test_slow_checks_lead_to_their_traces() -> None:
    (spread,) = (panel for panel in _panels(BOARDS["latency.json"]) if panel["title"] == "Spread")
    assert [target["exemplar"] for target in spread["targets"]] == [True]


def test_each_panel_says_what_it_shows_and_fits_on_the_screen() -> None:
    for name, board in BOARDS.items():
        assert board["uid"] == f"cors-authz-{name.removesuffix('.json')}"
        spots = set()
        for panel in _panels(board):
            assert panel["title"]
            assert panel["description"], panel["title"]
            assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "heatmap", panel["title"]
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24
            spots.add((place["x"], place["y"]))
        assert len(spots) == len(list(_panels(board)))


def test_a_label_that_a_metric_lacks_cannot_be_written() -> None:
    with pytest.raises(KeyError, match="origin"):
        of(catalogue.DECISIONS, origin='="x"')


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool, of Debian's package prometheus, is not installed"
)
def test_prometheus_understands_each_query(tmp_path: Path) -> None:
    rules = []
    for number, expression in enumerate(QUERIES.values()):
        for name, value in _MADE_UP.items():
            expression = expression.replace(name, value)  # noqa: PLW2901 - one step after another
        rules.append({"record": f"query_{number}", "expr": expression})
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    checked = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, check=False)  # noqa: S607 - found by its name
    assert checked.returncode == 0, checked.stderr.decode()
    assert f"SUCCESS: {len(QUERIES)} rules found" in checked.stdout.decode()
