"""A null takes a default away: what templates need is refused by its path, and what says nothing changes nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

import pytest
import yaml

from helm.generated import CHART
from tests.helm.rendering import VALUES, Kind, containers, helm, needs_helm, of_file

pytestmark = needs_helm

DEFAULTS: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text())
LEFT_TO_KUBERNETES: Final = {
    "autoscaling.behavior",
    "metrics.dashboards.labels",
    "podSecurityContext.fsGroup",
    "podSecurityContext.runAsGroup",
    "podSecurityContext.runAsUser",
    "resources.limits",
    "resources.requests",
    "updateStrategy.rollingUpdate",
}
"""What has a default and may be null all the same, with everything below it."""
MISSING: Final = re.compile(r"^ *- at '(.*)': missing propert(?:y|ies) (.+)$", re.MULTILINE)
WRONG: Final = re.compile(r"^ *- at '/(.*)': (?!validation failed)", re.MULTILINE)


def _paths(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key, value in values.items():
        path = f"{above}{key}"
        yield path
        if isinstance(value, dict) and path not in LEFT_TO_KUBERNETES:
            yield from _paths(value, f"{path}.")


def _at(values: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - any value
    found: Any = values
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _nulls(paths: set[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for path in paths:
        *above, name = path.split(".")
        place = values
        for each in above:
            place = place.setdefault(each, {})
        place[name] = None
    return values


def _without(values: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without(value, taken[key]) if isinstance(taken.get(key), dict) else value
        for key, value in values.items()
        if key not in taken or taken[key] is not None
    }


EMPTY: Final = {path for path in _paths(DEFAULTS) if _at(DEFAULTS, path) in (None, "", [], {})}
NEEDED: Final = set(_paths(DEFAULTS)) - EMPTY - LEFT_TO_KUBERNETES
HEADINGS: Final = {path for path in NEEDED if isinstance(_at(DEFAULTS, path), dict)}
AT_ONCE: Final = {
    "no heading": NEEDED - HEADINGS,
    **{f"headings at level {level}": {path for path in HEADINGS if path.count(".") == level} for level in range(3)},
}
"""What is needed, in sets of which none holds a path and one below it."""

WITHIN: Final[dict[str, Any]] = yaml.safe_load("""
commonLabels: {a: null}
podLabels: {a: null}
podAnnotations: {a: null}
nodeSelector: {a: null, kubernetes.io/arch: null, kubernetes.io/os: null}
resources: {requests: {a: null}, limits: {a: null}}
service: {annotations: {a: null}}
serviceAccount: {annotations: {a: null}}
metrics: {serviceMonitor: {labels: {a: null}}, prometheusRule: {labels: {a: null}}, dashboards: {labels: {a: null}}}
""")
"""Nulls for what another file of values may have said; of these helm takes none away."""


def _handed_on(folder: Path, nulls: Mapping[str, Any]) -> Path:
    """Give the chart as `--reuse-values` has it, where defaults that were taken away are no more, and nulls stay."""
    chart = folder / "chart"
    shutil.copytree(CHART, chart)
    (chart / "values.yaml").write_text(json.dumps(_without(DEFAULTS, nulls)))
    return chart


def _templated(chart: Path, name: str, nulls: Mapping[str, Any], folder: Path) -> CompletedProcess[str]:
    file = folder / "nulls.yaml"
    file.write_text(json.dumps(nulls))
    return helm("template", "shop", chart, "--namespace", "cors", "--values", VALUES[name], "--values", file)


def _unsaid(name: str) -> dict[str, Any]:
    """Give a null for each empty default of which a file of values says nothing."""
    said = yaml.safe_load(VALUES[name].read_text())
    return _nulls({path for path in EMPTY if _at(said, path) is None})


def _objects(process: CompletedProcess[str]) -> tuple[Kind, ...]:
    assert process.returncode == 0, process.stderr
    return tuple(each for each in yaml.safe_load_all(process.stdout) if each)


def test_what_is_needed_is_all_asked_for() -> None:
    assert set().union(*AT_ONCE.values()) == NEEDED
    assert all(AT_ONCE.values())


@pytest.mark.parametrize("paths", AT_ONCE.values(), ids=AT_ONCE)
def test_a_null_for_what_is_needed_is_refused_by_its_path(paths: set[str], tmp_path: Path) -> None:
    said = _templated(CHART, "values-deployment", _nulls(paths), tmp_path).stderr
    missing = {
        ".".join([*filter(None, above.split("/")), name])
        for above, names in MISSING.findall(said)
        for name in re.findall(r"'([^']+)'", names)
    }
    assert missing == paths


@pytest.mark.parametrize("paths", AT_ONCE.values(), ids=AT_ONCE)
def test_a_null_that_is_handed_on_is_refused_by_its_path(paths: set[str], tmp_path: Path) -> None:
    nulls = _nulls(paths)
    said = _templated(_handed_on(tmp_path, nulls), "values-deployment", nulls, tmp_path).stderr
    assert {path.replace("/", ".") for path in WRONG.findall(said)} == paths


@pytest.mark.parametrize("name", VALUES)
def test_a_null_for_what_is_empty_changes_nothing(name: str, tmp_path: Path) -> None:
    assert _objects(_templated(CHART, name, _unsaid(name), tmp_path)) == of_file(name).objects


@pytest.mark.parametrize("name", VALUES)
def test_a_null_for_what_is_empty_changes_nothing_when_it_is_handed_on(name: str, tmp_path: Path) -> None:
    nulls = _unsaid(name)
    assert _objects(_templated(_handed_on(tmp_path, nulls), name, nulls, tmp_path)) == of_file(name).objects


def test_a_null_within_what_users_fill_says_nothing(tmp_path: Path) -> None:
    assert _objects(_templated(CHART, "values-observed", WITHIN, tmp_path)) == of_file("values-observed").objects


def test_a_rollout_is_judged_without_nulls_that_are_handed_on(tmp_path: Path) -> None:
    taken = {"updateStrategy": {"rollingUpdate": {"maxSurge": None}}}
    values = {**taken, "mode": "daemonset"}
    refusal = _templated(_handed_on(tmp_path, taken), "values-deployment", values, tmp_path).stderr
    assert "updateStrategy.rollingUpdate: maxSurge and maxUnavailable are both 0" in refusal


@pytest.mark.parametrize(
    ("chart_of", "resources"),
    [(lambda *_: CHART, {}), (_handed_on, {"requests": {}, "limits": {}})],
    ids=["at first", "handed on"],
)
def test_nulls_leave_to_kubernetes_what_they_may(
    chart_of: Callable[[Path, Mapping[str, Any]], Path], resources: dict[str, Any], tmp_path: Path
) -> None:
    nulls = _nulls(LEFT_TO_KUBERNETES)
    chart = chart_of(tmp_path, nulls)
    nulls["autoscaling"]["enabled"] = nulls["metrics"]["dashboards"]["enabled"] = True
    objects = _objects(_templated(chart, "values-deployment", nulls, tmp_path))
    specs = {each["kind"]: each["spec"] for each in objects if "spec" in each}
    pod = specs["Deployment"]["template"]["spec"]
    assert [each["resources"] for each in containers(pod)] == [resources]
    assert _set(pod["securityContext"]) == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert _set(specs["Deployment"]["strategy"]) == {"type": "RollingUpdate"}
    assert "behavior" not in specs["HorizontalPodAutoscaler"]


def _set(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Give what is set: to the API server a null says as much as nothing."""
    return {key: value for key, value in settings.items() if value is not None}
