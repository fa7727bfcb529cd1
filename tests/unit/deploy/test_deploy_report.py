"""The report of `make verify-deploy`: what is not as it must be has its line, and what is has none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from tests.deploy.__main__ import main
from tests.deploy.disturbances import DISTURBANCES
from tests.deploy.probes import ALLOWED, PROBES
from tests.deploy.report import BEGIN, END, tables, wrong
from tests.helm.rendering import ROOT

ANSWERS: Final = {probe.what: f"{probe.status} {probe.reader or '-'}" for probe in PROBES}
PLANE: Final[dict[str, Any]] = {
    "answers": ANSWERS,
    "stripped": True,
    "must be stripped": True,
    "no pods": ["500 -", "503 -"],
    "load": {name: {f"200 {ALLOWED}": 600} for name in DISTURBANCES},
    "note": "",
}
RESULTS: Final[dict[str, Any]] = {
    "lifecycle": {
        "seconds to the first decision": 4.1,
        "upgraded": True,
        "rolled back": True,
        "left behind": [],
        "answers without it": ["503 -"],
    },
    "reload": {"seconds from files to decision": [0.2, 0.3]},
    "modes": {"DaemonSet": ANSWERS},
    "envoy": {"plain Envoy": PLANE},
    "trace": {"decision": "1f", "spans": ["envoy.service.auth.v3.Authorization/Check"]},
}


class Case(NamedTuple):
    """What is changed in the results, and the line that says so."""

    change: Callable[[dict[str, Any]], None]
    line: str


def _put(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(results: dict[str, Any]) -> None:
        for step in path[:-1]:
            results = results[step]
        results[path[-1]] = value

    return change


CASES: Final = {
    "a part that failed": Case(_put("reload", value={"failed": "no pod"}), "reload: no pod"),
    "a first decision that came late": Case(
        _put("lifecycle", "seconds to the first decision", value=10.1),
        "from `helm install` to the first correct decisions through Envoy: 10.1 s, must be ≤ 10 s",
    ),
    "an upgrade that changed nothing": Case(
        _put("lifecycle", "upgraded", value=False), "`helm upgrade` of a setting rolls the pods: no, must be yes"
    ),
    "a rollback to something else": Case(
        _put("lifecycle", "rolled back", value=False), "`helm rollback` brings the former pods back: no, must be yes"
    ),
    "what uninstalling left": Case(
        _put("lifecycle", "left behind", value=["secret/a"]), "`helm uninstall` leaves: secret/a, must be nothing"
    ),
    "an Envoy that lets requests pass without a service": Case(
        _put("lifecycle", "answers without it", value=["200 -", "503 -"]),
        "a plain Envoy then answers: 200 -, 503 -, must be refusals",
    ),
    "a policy that decides late": Case(
        _put("reload", "seconds from files to decision", value=[0.2, 1.01]),
        "from the kubelet's files to a changed decision, worst of 2: 1.01 s, must be ≤ 1 s",
    ),
    "another answer in a mode": Case(
        _put("modes", value={"DaemonSet": ANSWERS | {"foreign POST": "200 -"}}),
        "DaemonSet: foreign POST: 200 -, must be 403 -",
    ),
    "another answer of a data plane": Case(
        _put("envoy", "plain Envoy", "answers", value=ANSWERS | {"no Origin": "200 *"}),
        "plain Envoy: no Origin: 200 *, must be 200 -",
    ),
    "headers of the upstream that are left blank": Case(
        _put("envoy", "plain Envoy", "stripped", value=False),
        "plain Envoy: the upstream's CORS headers are blank, must be removed",
    ),
    "an answer that is no refusal of ours": Case(
        _put("envoy", "plain Envoy", "no pods", value=["404 -"]), "plain Envoy: without pods: 404 -, must be refusals"
    ),
    "a disturbance that did not happen": Case(
        _put("envoy", "plain Envoy", "load", value={name: PLANE["load"][name] for name in list(DISTURBANCES)[1:]}),
        "plain Envoy: rolling restart: 0 requests, must be at least 500",
    ),
    "a refusal without pods that a page may read": Case(
        _put("envoy", "plain Envoy", "no pods", value=["503 *"]), "plain Envoy: without pods: 503 *, must be refusals"
    ),
    "too few requests": Case(
        _put("envoy", "plain Envoy", "load", "pod deleted", value={f"200 {ALLOWED}": 499}),
        "plain Envoy: pod deleted: 499 requests, must be at least 500",
    ),
    "a request that failed": Case(
        _put("envoy", "plain Envoy", "load", "pod deleted", value={f"200 {ALLOWED}": 599, "503 None": 1}),
        f"plain Envoy: pod deleted: 1 of 600 requests failed: {{'200 {ALLOWED}': 599, '503 None': 1}}",
    ),
    "a span that is not in Jaeger": Case(
        _put("trace", "spans", value=["GET /"]),
        "the span of a refusal, in Jaeger by its id: `GET /`, must be `envoy.service.auth.v3.Authorization/Check`",
    ),
}


def test_nothing_is_said_of_what_is_as_it_must_be() -> None:
    assert wrong(RESULTS) == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_not_as_it_must_be_has_its_line(case: Case) -> None:
    results = copy.deepcopy(RESULTS)
    case.change(results)
    assert wrong(results) == [case.line]


def test_a_data_plane_that_says_why_may_lose_requests_and_shows_how_many() -> None:
    results = copy.deepcopy(RESULTS)
    results["envoy"]["plain Envoy"] |= {"note": "it has no retries"}
    results["envoy"]["plain Envoy"]["load"]["pod deleted"] = {f"200 {ALLOWED}": 590, "503 None": 10}
    shown = tables(results | {"facts": {"kubernetes": "v1.36.3", "note": ""}})
    assert wrong(results) == []
    assert "| plain Envoy | 11 of 11 | removed | 500 -, 503 - | 0 of 600 | 10 of 600 |" in shown
    assert "- plain Envoy: it has no retries." in shown


def test_a_data_plane_that_is_not_disturbed_shows_its_answers_alone() -> None:
    results = copy.deepcopy(RESULTS)
    results["envoy"]["plain Envoy"] |= {"load": None, "stripped": False, "must be stripped": False}
    shown = tables(results | {"facts": {"kubernetes": "v1.36.3", "note": ""}})
    assert wrong(results) == []
    assert "| plain Envoy | 11 of 11 | blank | 500 -, 503 - |  |  |" in shown


@pytest.mark.parametrize(
    "answers",
    [{f"200 {ALLOWED}": 599, "200 *": 1}, {f"200 {ALLOWED}": 539, "503 None": 61}, {f"200 {ALLOWED}": 599, "404 -": 1}],
    ids=["a request that passed unasked", "more than a tenth", "another answer"],
)
def test_a_data_plane_that_says_why_is_not_excused_from_everything(answers: dict[str, int]) -> None:
    results = copy.deepcopy(RESULTS)
    results["envoy"]["plain Envoy"] |= {"note": "it has no retries"}
    results["envoy"]["plain Envoy"]["load"]["pod deleted"] = answers
    assert wrong(results) == [
        f"plain Envoy: pod deleted: {600 - answers[f'200 {ALLOWED}']} of 600 requests failed: {answers}"
    ]


def test_a_part_that_was_skipped_says_why_and_is_not_wrong() -> None:
    results = RESULTS | {"istio": {"skipped": "the cluster has no Istio"}}
    assert wrong(results) == []
    assert "- istio: skipped, the cluster has no Istio." in tables(
        results | {"facts": {"kubernetes": "v1.36.3", "note": ""}}
    )


def test_the_document_has_a_place_for_it() -> None:
    document = (ROOT / "docs" / "verified.md").read_text()
    assert (document.count(BEGIN), document.count(END)) == (1, 1)


def test_without_a_cluster_it_is_skipped_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out == "verify-deploy skipped: no cluster is named: make verify-deploy KUBECONFIG=FILE\n"
