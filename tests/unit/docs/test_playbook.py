"""The playbook: a section for each alert, and queries that Prometheus can answer from the metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
import yaml

from docs.generated import metrics

ROOT: Final = Path(__file__).parents[3]
RULES: Final = yaml.safe_load((ROOT / "monitoring" / "rules.yaml").read_text())
ALERTS: Final = {rule["alert"] for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}
_PARTS: Final = re.split(r"^## (.*)\n", (ROOT / "docs" / "playbook.md").read_text(), flags=re.MULTILINE)
SECTIONS: Final = dict(zip(_PARTS[1::2], _PARTS[2::2], strict=True))
QUERIES: Final = {
    f"{alert} {number}": query
    for alert, text in SECTIONS.items()
    for number, query in enumerate(re.findall(r"^```promql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL), 1)
}
DIFFERS: Final = "CorsAuthzDeliveryDiffers"
METRICS: Final = {metric.name: metric for metric in metrics()}


def test_each_alert_has_its_section_and_no_other_does() -> None:
    assert set(SECTIONS) == ALERTS
    assert len(SECTIONS) == len(_PARTS) // 2


@pytest.mark.parametrize("alert", SECTIONS)
def test_each_section_leads_from_what_is_seen_to_a_safe_state(alert: str) -> None:
    said = re.findall(r"^\*\*([A-Z][a-z ]+)\.\*\*", SECTIONS[alert], re.MULTILINE)
    assert said == ["Symptom", "Query", "Likely causes", "Command", "Safe state"]
    assert re.findall(r"^```(\w+)$", SECTIONS[alert], re.MULTILINE)[-1] == "console"
    assert f"{alert} 1" in QUERIES


@pytest.mark.parametrize("alert", sorted(ALERTS))
def test_each_alert_leads_to_its_section(alert: str) -> None:
    rules = [rule for group in RULES["groups"] for rule in group["rules"] if rule.get("alert") == alert]
    assert {rule["annotations"]["runbook_url"] for rule in rules} == {f"docs/playbook.md#{alert.lower()}"}


def test_the_verdicts_of_deliveries_that_differ_are_those_of_the_alert() -> None:
    [rule] = (rule for group in RULES["groups"] for rule in group["rules"] if rule.get("alert") == DIFFERS)
    excluded = [set(re.findall(r'verdict!~"[^"]*"', text)) for text in (rule["expr"], SECTIONS[DIFFERS])]
    assert len(excluded[0]) == 1
    assert excluded[0] == excluded[1]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_each_query_names_metrics_and_labels_that_there_are(query: str) -> None:
    found = [METRICS[name.removesuffix("_bucket")] for name in re.findall(r"\b(?:cors_authz|process)_\w+", query)]
    labels = {"job", "instance", "le", *(label for metric in found for label in metric.labels)}
    assert found or query.startswith("up{")
    assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", query)) <= labels
    assert {name.strip() for by in re.findall(r"by \(([^)]*)\)", query) for name in by.split(",")} <= labels


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool, of Debian's package prometheus, is not installed"
)
def test_prometheus_understands_each_query(tmp_path: Path) -> None:
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(QUERIES.values())]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    command = ["promtool", "check", "rules", str(file)]
    checked = subprocess.run(command, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode()
