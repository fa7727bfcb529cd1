"""What is to be changed is said in the words of who writes the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cors_authz.cli.doctor_document import rules
from cors_authz.doctor import remedies
from cors_authz.doctor.diagnose import diagnose
from cors_authz.doctor.finding import Finding, Where
from cors_authz.doctor.lined import documents
from cors_authz.doctor.manifests import findings, things_in
from cors_authz.doctor.plane import Plane
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.remedies import lines_of
from cors_authz.doctor.setup import setup_of_bootstrap, setup_of_dump
from tests.unit.doctor.test_diagnose import BROKEN, changed, dump
from tests.unit.doctor.test_manifest_findings import GATEWAY, ISTIO

CHART: Final = Path(__file__).parents[3] / "helm" / "cors-authz" / "values.yaml"
HERE: Final = Where("dump.json", 0, "listener ingress")
ALL: Final = {
    f"{plane.value} {rule.code}": Finding(rule, HERE, "", plane)
    for plane in (Plane.ISTIO, Plane.ENVOY_GATEWAY)
    for rule in rules()
    if lines_of(Finding(rule, HERE, "", plane)) != rule.fix
}


@pytest.mark.parametrize("finding", ALL.values(), ids=ALL)
def test_it_is_yaml_that_says_whose_it_is(finding: Finding) -> None:
    text = lines_of(finding)
    assert text.startswith("# ")
    assert isinstance(yaml.safe_load(text), dict), text


@pytest.mark.parametrize("finding", ALL.values(), ids=ALL)
def test_values_of_the_chart_are_those_that_it_has(finding: Finding) -> None:
    text = lines_of(finding)
    if text.startswith("# values of the chart"):
        assert unknown(yaml.safe_load(text), yaml.safe_load(CHART.read_text())) == []


def unknown(wanted: Any, known: Any, way: str = "") -> list[str]:  # noqa: ANN401 - YAML
    if not isinstance(wanted, dict):
        return []
    here = [f"{way}.{key}" for key in wanted if key not in known]
    return here + [name for key in wanted if key in known for name in unknown(wanted[key], known[key], f"{way}.{key}")]


def test_no_rule_is_named_that_there_is_not() -> None:
    named = {code for lines in remedies._OF_PLANE.values() for code in lines}  # noqa: SLF001 - a table
    assert named - {rule.code for rule in rules()} == set()


ISTIOS: Final = {"metadata": {"ISTIO_VERSION": "1.31.0"}}
GATEWAYS: Final[dict[str, Any]] = {"filter_metadata": {"envoy-gateway": {"resources": []}}}


def of_dump(*, node: object = None, metadata: object = None) -> str:
    dumped = dump(changed(BROKEN["fail open"]))
    dumped["configs"][0]["bootstrap"] = {"node": node}
    dumped["configs"][2]["dynamic_listeners"][0]["active_state"]["listener"]["metadata"] = metadata
    (finding,) = diagnose(setup_of_dump("dump", dumped))
    return lines_of(finding)


def test_a_dump_tells_whose_objects_to_change() -> None:
    istios = of_dump(node=ISTIOS)
    assert (istios.startswith("# meshConfig"), "failOpen: false" in istios) == (True, True)
    assert of_dump(metadata=GATEWAYS) == "# SecurityPolicy\nspec: {extAuth: {failOpen: false}}\n"


def test_a_file_is_changed_where_it_stands() -> None:
    (finding,) = diagnose(setup_of_bootstrap("envoy.yaml", changed(BROKEN["fail open"])))
    assert (lines_of(finding), of_dump()) == (finding.rule.fix, finding.rule.fix)


def test_objects_tell_whose_they_are() -> None:
    text = (
        ISTIO.replace("        port: 9191", "        failOpen: true")
        + "---\n"
        + GATEWAY.replace("failOpen: false", "failOpen: true")
    )
    found = findings(tuple(things_in("all.yaml", documents("all.yaml", text.encode()))), Reads())
    planes = [each.plane for each in found if each.rule.code == "DR010"]
    assert planes == [Plane.ISTIO, Plane.ENVOY_GATEWAY]
