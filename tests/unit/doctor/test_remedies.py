"""What is to be changed is said in the words of who writes the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cors_authz.cli.doctor_forms import FORMS
from cors_authz.doctor import remedies
from cors_authz.doctor.diagnose import diagnose
from cors_authz.doctor.finding import Finding, Where
from cors_authz.doctor.lined import documents
from cors_authz.doctor.manifests import findings, things_in
from cors_authz.doctor.parsing import setup_of_bootstrap, setup_of_dump
from cors_authz.doctor.plane import Plane
from cors_authz.doctor.reads import Reads
from cors_authz.doctor.remedies import lines_of
from docs.generated import rules
from tests.unit.doctor.test_diagnose import BROKEN, changed, dump, exported, parts
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


def of_objects(text: str) -> list[tuple[str, str]]:
    found = findings(tuple(things_in("all.yaml", documents("all.yaml", text.encode()))), Reads())
    return [(each.rule.code, lines_of(each)) for each in found]


def test_a_patch_is_to_go_whatever_it_does() -> None:
    patch = "\n---\nkind: EnvoyFilter\nspec: {configPatches: [{patch: {value: {failure_mode_allow: true}}}]}\n"
    operation = "{operation: {op: add, path: /http_filters/0/disabled, value: true}}"
    patched = f"\n---\nkind: EnvoyPatchPolicy\nspec: {{jsonPatches: [{operation}]}}\n"
    assert of_objects(ISTIO + patch) == [
        ("DR010", "# EnvoyFilter\nspec: {configPatches: []}  # without this one\n"),
    ]
    assert of_objects(GATEWAY + patched) == [
        ("DR002", "# EnvoyPatchPolicy\nspec: {jsonPatches: []}  # without this one\n"),
    ]


def test_who_has_a_dump_is_not_told_to_take_one() -> None:
    config = exported()
    manager = parts(config)["manager"]
    manager["rds"] = {"route_config_name": manager.pop("route_config")["name"]}
    (written,) = diagnose(setup_of_bootstrap("envoy.yaml", config))
    running = dump(exported())
    running["configs"] = [each for each in running["configs"] if "RoutesConfigDump" not in each["@type"]]
    (dumped,) = diagnose(setup_of_dump("dump", running))
    assert lines_of(written) == "# cors-authz doctor --envoy http://127.0.0.1:9901\n"
    assert lines_of(dumped) == remedies.ASK_AGAIN


def of_gateway(sentence: str, name: str = "shop/edge/http", port: int = 10080) -> str:
    dumped = dump(changed(BROKEN[sentence]))
    listeners = dumped["configs"][2]["dynamic_listeners"]
    listener = listeners[0]["active_state"]["listener"]
    listener |= {"name": name, "metadata": GATEWAYS, "address": {"socket_address": {"port_value": port}}}
    secure = {"name": "shop/edge/https", "filter_chains": [{"transport_socket": {}}]}
    beside = (
        secure | {"address": {"socket_address": {"port_value": 8443}}},
        secure | {"address": {"socket_address": {"port_value": 8443, "protocol": "UDP"}}},
        secure | {"name": "shop/other/http"},
        secure | {"name": "shop/edge/`; exit"},
    )
    listeners += [{"active_state": {"listener": each}} for each in beside]
    (finding,) = diagnose(setup_of_dump("dump", dumped))
    return lines_of(finding)


PATCH: Final = """\
# values of the chart
integrations:
  envoyGateway:
    patch:
      enabled: true
      gateway: edge
      listeners:
"""
HTTPS: Final = "      - {name: https, port: 8443, protocol: HTTPS}\n"


def test_what_the_dump_knows_of_a_gateway_is_filled_in() -> None:
    guess = "      - {name: http, port: 80, protocol: HTTP}  # a guess: Envoy has 10080\n"
    assert of_gateway("no strip") == PATCH + guess + HTTPS
    sure = "      - {name: http, port: 8080, protocol: HTTP}\n"
    assert of_gateway("no strip", port=8080) == PATCH + sure + HTTPS
    assert "targetRefs: [{kind: Gateway, name: edge}]" in of_gateway("ext_authz off for a route")


def test_what_the_dump_does_not_know_has_a_name_to_fill_in() -> None:
    assert "gateway: edge" in of_gateway("no strip", name="ingress")
    dumped = dump(changed(BROKEN["no strip"]))
    dumped["configs"][2]["dynamic_listeners"][0]["active_state"]["listener"]["metadata"] = GATEWAYS
    (finding,) = diagnose(setup_of_dump("dump", dumped))
    assert "gateway: NAME" in lines_of(finding)


def test_lines_that_several_findings_have_are_printed_once() -> None:
    config = changed(BROKEN["a thousand checks may wait"])
    parts(config)["cluster"]["circuit_breakers"]["thresholds"][0]["max_retries"] = 3
    text = FORMS["text"](diagnose(setup_of_bootstrap("envoy.yaml", config)))
    assert (text.count("circuit_breakers:"), text.count("  Change: as for DR044\n")) == (1, 1)
