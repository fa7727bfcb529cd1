"""The rules for Prometheus: each alert is tested both ways, explained, and asks for metrics that are there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cors_authz.edge.metrics.sample import Kind, Metric
from docs.generated import metrics

ROOT: Final = Path(__file__).parents[3]
FOLDER: Final = ROOT / "monitoring"
PROMTOOL: Final = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed; Debian has it in `prometheus`")

RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
ALERTS: Final = [rule for rule in RULES if "alert" in rule]
RECORDED: Final = {rule["record"] for rule in RULES if "record" in rule}
CASES: Final[list[dict[str, Any]]] = [
    case
    for test in yaml.safe_load((FOLDER / "rules_test.yaml").read_text())["tests"]
    for case in test["alert_rule_test"]
]
METRICS: Final = {metric.name: metric for metric in metrics()}
SEVERITIES: Final = {"critical", "warning"}
OF_EVERY_TARGET: Final = frozenset({"job", "instance"})

_SERIES: Final = re.compile(r"\b((?:cors_authz|process)_\w+)\b(?:\{([^}]*)\})?")
_LABEL: Final = re.compile(r'(\w+)(?:=~|!~|!=|=)"')
_BY: Final = re.compile(r"\b(?:by|on) \(([^)]*)\)")


def promtool(*arguments: str) -> None:
    assert PROMTOOL is not None
    run = subprocess.run([PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


@needs_promtool
def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", "rules.yaml")


@needs_promtool
def test_each_alert_fires_on_what_it_is_about_and_on_nothing_else() -> None:
    promtool("test", "rules", "rules_test.yaml")


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ALERTS}))
def test_each_alert_is_seen_to_fire_and_not_to_fire(name: str) -> None:
    fires = [bool(case.get("exp_alerts")) for case in CASES if case["alertname"] == name]
    assert (True in fires, False in fires) == (True, True)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']} {alert['labels']['severity']}")
def test_each_alert_says_what_it_means_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert set(alert["labels"]) == {"severity"}
    assert alert["labels"]["severity"] in SEVERITIES
    told = alert["annotations"]
    assert set(told) == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"docs/playbook.md#{alert['alert'].lower()}"
    assert told["description"].endswith(".")
    assert not told["summary"].endswith(".")


def test_where_the_playbook_is_read_can_be_put_in_front_as_the_readme_says() -> None:
    command = re.findall(r"^sed '.*' rules.yaml(?= > )", (FOLDER / "README.md").read_text(), re.MULTILINE)
    run = subprocess.run(shlex.split(*command), cwd=FOLDER, capture_output=True, text=True, check=True)
    rules = [rule for group in yaml.safe_load(run.stdout)["groups"] for rule in group["rules"]]
    assert [rule["annotations"]["runbook_url"] for rule in rules if "alert" in rule] == [
        f"https://git.example/cors-authz/blob/main/{alert['annotations']['runbook_url']}" for alert in ALERTS
    ]


def _series(expression: str) -> Iterator[tuple[Metric, set[str]]]:
    for name, matchers in _SERIES.findall(expression):
        suffix = next((end for end in ("_bucket", "_count", "_sum") if name.endswith(end)), "")
        metric = METRICS[name.removesuffix(suffix)]
        assert (metric.kind is Kind.HISTOGRAM) == bool(suffix), name
        yield metric, set(_LABEL.findall(matchers)) - ({"le"} if suffix == "_bucket" else set())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_each_rule_asks_for_metrics_and_labels_that_are_there(rule: dict[str, Any]) -> None:
    expression = rule["expr"]
    labels: set[str] = set(OF_EVERY_TARGET)
    for recorded in re.findall(r"\b\w+:\w+:\w+\b", expression):
        assert recorded in RECORDED
        labels |= {recorded.partition(":")[0]}
    without_recorded = re.sub(r"\b\w+:\w+:\w+\b", "", expression)
    for metric, matched in _series(without_recorded):
        assert matched <= set(metric.labels) | OF_EVERY_TARGET
        labels |= set(metric.labels)
    for listed in _BY.findall(expression):
        assert set(listed.replace(" ", "").split(",")) <= labels
