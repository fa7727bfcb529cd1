"""The chart's own files: what is written from elsewhere is fresh, each value is explained, no unknown key passes."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from helm import generated


def _objects(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:  # noqa: ANN401 - any JSON
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        if isinstance(value, dict) and value.get("type") in ("object", ["object", "null"]):
            yield str(key), value
        yield from _objects(value)


def test_what_is_written_from_elsewhere_is_fresh() -> None:
    stale = [
        str(path.relative_to(generated.ROOT)) for path, text in generated.files().items() if path.read_text() != text
    ]
    assert stale == [], "run: make chart"
    shipped = {path.name for path in (generated.CHART / "files").rglob("*.*")}
    assert shipped == {path.name for path in generated.files() if "files" in path.parts}


def test_each_value_is_explained_and_known_to_the_schema() -> None:
    schema = json.loads((generated.CHART / "values.schema.json").read_text())
    values = list(generated.values())
    assert [each.path for each in values if not each.comment.endswith((".", ")"))] == []
    # What has a comment is no part of another's default: of that, a reader of the table would never hear.
    text = (generated.CHART / "values.yaml").read_text()
    commented = re.findall(r"#.*\n *(\w+):", text)
    assert [each.path.rpartition(".")[2] for each in values] == commented
    for value in values:
        part = schema
        for name in value.path.split("."):
            part = part["properties"][name]


def test_the_schema_lets_no_unknown_key_pass() -> None:
    schema = json.loads((generated.CHART / "values.schema.json").read_text())
    loose = {key for key, each in _objects(schema) if "additionalProperties" not in each}
    # Kubernetes' own types, which the API server checks; what a policy's document is, its kinds say; a test for a type.
    assert loose == {"kubernetes", "behavior", "items", "policy.document", "if"}


def test_the_chart_and_the_service_have_one_version() -> None:
    version = tomllib.loads((generated.ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((generated.CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert chart["kubeVersion"] == ">=1.29.0-0"
