"""The parts of a verification; each gives what it found, as data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from tests.deploy.cluster import ClusterError, until
from tests.deploy.data_planes import UNAVAILABLE, DataPlane
from tests.deploy.disturbances import DISTURBANCES, disturbed
from tests.deploy.probes import LATER, PROBES, UNASKED, Probe, closed
from tests.deploy.release import REPLICAS, Release
from tests.deploy.site import Answer, Site, policy_text

_ATTACH_SECONDS: Final = 120
_FIRST_DECISION_SECONDS: Final = 60
_TRACE_SECONDS: Final = 30
_CLOSE_SECONDS: Final = 20
_END_SECONDS: Final = 40
_SPAN: Final = "envoy.service.auth.v3.Authorization/Check"
_ATTRIBUTE: Final = "cors_authz.decision.id"
_DETACHED: Final = {"integrations": {"istio": {"enabled": False}, "envoyGateway": {"enabled": False}}}

Found = dict[str, Any]


class Jaeger(NamedTuple):
    """Where it takes spans, and where it is asked for them, from within the cluster."""

    collector: str
    query: str


def lifecycle(site: Site, release: Release, plane: DataPlane) -> Found:
    """Install, test, change, roll back, uninstall, and install again."""
    release.uninstall()
    began = time.monotonic()
    release.install()
    # By Envoy itself, with which the network may not yet have met the pods.
    _require_answers("after the installation", PROBES, site.await_answers(plane.url, PROBES, _FIRST_DECISION_SECONDS))
    first = time.monotonic() - began
    release.settle()
    installed = _templates(release)
    release.test()
    release.change({"logging": {"level": "debug"}})
    changed = _templates(release)
    release.roll_back()
    rolled_back = _templates(release)
    release.uninstall()
    left = _left_behind(release)
    refused = site.await_answers(plane.url, closed(UNAVAILABLE), _CLOSE_SECONDS)
    return {
        "seconds to the first decision": round(first, 1),
        "upgraded": changed != installed,
        "rolled back": rolled_back == installed,
        "left behind": left,
        "answers without it": sorted({said(answer) for answer in refused}),
    }


def reload(release: Release) -> Found:
    """Change the policy, and time how long its files lie in the pod before a check is decided by them."""
    release.change({})
    taken: list[float] = []
    for text in (policy_text(later=LATER), policy_text()) * 3:
        with release.watched() as seconds:
            release.change({"policy": {"files": {"policy.yaml": text}}})
        taken += seconds
    return {"seconds from files to decision": [round(each, 2) for each in taken]}


def data_plane(site: Site, release: Release, plane: DataPlane) -> Found:
    """Attach a data plane; ask every probe, with pods and without; count a load's answers in each disturbance."""
    with attached(site, release, plane):
        found = site.ask(plane.url, PROBES)
        release.scale(0)
        refused = site.await_answers(plane.url, closed(UNAVAILABLE), _CLOSE_SECONDS)
        release.scale(REPLICAS)
        site.await_answers(plane.url, PROBES, _ATTACH_SECONDS)
        counted = {}
        for name, disturbance in DISTURBANCES.items():
            counted[name] = disturbed(site, release, plane.url, disturbance)
            site.say(f"  {name}: {counted[name]}")
    return {
        "answers": {probe.what: said(answer) for probe, answer in zip(PROBES, found, strict=True)},
        "no pods": sorted({said(answer) for answer in refused}),
        "load": counted,
        "note": plane.note,
    }


def trace(site: Site, release: Release, plane: DataPlane, jaeger: Jaeger) -> Found:
    """Have the service send its spans to Jaeger, and find there the one of a decision that a client was told of."""
    release.change({"otel": {"endpoint": jaeger.collector, "sampler": "always_on"}})
    probe = next(probe for probe in PROBES if probe.what == "foreign POST")
    (answer,) = site.await_answers(plane.url, (probe,), _ATTACH_SECONDS)
    tags = quote(json.dumps({_ATTRIBUTE: answer.decision}))
    asked = Probe("spans", "GET", f"/api/traces?service=cors-authz&lookback=1h&tags={tags}", {}, 200)
    names: list[str] = []

    def came() -> bool:
        (told,) = site.ask(jaeger.query, (asked,))
        names[:] = [span["operationName"] for each in json.loads(told.body)["data"] for span in each["spans"]]
        return bool(names)

    until(came, "the span of the decision in Jaeger", _TRACE_SECONDS)
    release.change({"otel": {"endpoint": ""}})
    return {"decision": answer.decision, "spans": names}


@contextmanager
def attached(site: Site, release: Release, plane: DataPlane) -> Iterator[None]:
    """Attach a data plane while the block runs, and see that nobody is asked before and after."""
    if plane.values is None:
        release.change({})
        _require_answers(plane.name, PROBES, site.await_answers(plane.url, PROBES, _ATTACH_SECONDS))
        yield
        return
    release.change(_DETACHED)
    _require_answers("before it is attached", UNASKED, site.await_answers(plane.url, UNASKED, _ATTACH_SECONDS))
    release.change({"integrations": plane.values})
    try:
        _require_answers(plane.name, PROBES, site.await_answers(plane.url, PROBES, _ATTACH_SECONDS))
        yield
    finally:
        release.change(_DETACHED)
    _require_answers("after it was attached", UNASKED, site.await_answers(plane.url, UNASKED, _ATTACH_SECONDS))


def _left_behind(release: Release) -> list[str]:
    """Give what is still there when pods have had the time to end."""
    with suppress(ClusterError):
        until(lambda: not release.left_behind(), "nothing of the release", _END_SECONDS)
    return release.left_behind()


def _templates(release: Release) -> list[str]:
    return sorted({pod["metadata"]["labels"]["pod-template-hash"] for pod in release.pods()})


def _require_answers(when: str, probes: Sequence[Probe], found: Sequence[Answer]) -> None:
    wrong = [
        f"{probe.what}: {said(answer)} instead of {probe.status} {probe.reader}"
        for probe, answer in zip(probes, found, strict=True)
        if (answer.status, answer.reader) != (probe.status, probe.reader)
    ]
    if wrong:
        raise ClusterError(f"{when}: {'; '.join(wrong)}")


def said(answer: Answer) -> str:
    """Write an answer as the tables have it: its status and who may read it."""
    return f"{answer.status} {answer.reader or '-'}" if answer.status else answer.body
