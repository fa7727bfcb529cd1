"""The parts of a verification; each gives what it found, as data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from tests.deploy.cluster import AbsentError, ClusterError, until
from tests.deploy.data_planes import DataPlane
from tests.deploy.disturbances import DISTURBANCES, disturbed
from tests.deploy.probes import PROBES, UNASKED, Probe
from tests.deploy.release import REPLICAS, VERSIONS, Release
from tests.deploy.site import HEADLESS, LOCAL, NAMESPACE, RELEASE, SERVICE, Answer, Site

_ATTACH_SECONDS: Final = 120
_FIRST_DECISION_SECONDS: Final = 60
_TRACE_SECONDS: Final = 30
_ROUNDS: Final = 10
_END_SECONDS: Final = 40
_ATTRIBUTE: Final = "cors_authz.decision.id"
_DETACHED: Final = {"integrations": {"istio": {"enabled": False}, "envoyGateway": {"enabled": False}}}

Found = dict[str, Any]
_TLS_OPTIONS: Final = (
    *("--authz", HEADLESS, "--authz-name", SERVICE, "--authz-ca", "/etc/tls/ca.crt"),
    *("--authz-cert", "/etc/tls/tls.crt", "--authz-key", "/etc/tls/tls.key"),
)
_MODES: Final[dict[str, dict[str, Any]]] = {
    "DaemonSet": {"mode": "daemonset"},
    "mutual TLS": {
        "mode": "deployment",
        "tls": {"enabled": True, "existingSecret": "verify-tls", "requireClientCertificate": True},
    },
}


class Jaeger(NamedTuple):
    """Where it takes spans, and where it is asked for them, from within the cluster."""

    collector: str
    query: str


def lifecycle(site: Site, release: Release, plane: DataPlane) -> Found:
    """Install, test, change, roll back and uninstall it."""
    release.uninstall()
    release.gone()
    before = release.remains()
    first = _first_decision(site, release, plane)
    installed = _templates(release)
    release.test()
    release.change({"logging": {"level": "debug"}})
    changed = _templates(release)
    release.roll_back()
    rolled_back = _templates(release)
    release.uninstall()
    return {
        "seconds to the first decision": round(first, 1),
        "upgraded": changed != installed,
        "rolled back": rolled_back == installed,
        "left behind": _left_behind(release, before),
        "answers without it": _refusals(site, plane),
    }


def _first_decision(site: Site, release: Release, plane: DataPlane) -> float:
    """Give the seconds from the installation to the right answers, by an Envoy that was there before."""
    began = time.monotonic()
    release.install()
    found = site.await_answers(plane.url, PROBES, _FIRST_DECISION_SECONDS)
    taken = time.monotonic() - began
    _require_answers("after the installation", PROBES, found)
    return taken


def reload(release: Release) -> Found:
    """Change the policy, and time how long its files lie in the pod before a check is decided by them."""
    release.change({})
    release.settle()
    taken: list[float] = []
    for text, status in VERSIONS * 3:
        with release.watched(status) as seconds:
            release.change({"policy": {"files": {"policy.yaml": text}}})
        taken += seconds
    return {"seconds from files to decision": [round(each, 2) for each in taken]}


def data_plane(site: Site, release: Release, plane: DataPlane) -> Found:
    """Attach a data plane; ask every probe, with pods and without; count a load's answers in each disturbance."""
    with attached(site, release, plane):
        found = site.ask(plane.url, PROBES)
        stripped = all(answer.is_stripped for answer in found)
        release.scale(0)
        refused = _refusals(site, plane)
        release.scale(REPLICAS)
        site.await_answers(plane.url, PROBES, _ATTACH_SECONDS)
        counted = _counts(site, release, plane) if plane.is_disturbed else None
    return {
        "answers": {probe.what: said(answer) for probe, answer in zip(PROBES, found, strict=True)},
        "stripped": stripped,
        "must be stripped": plane.strips,
        "no pods": refused,
        "load": counted,
        "note": plane.note,
    }


def _counts(site: Site, release: Release, plane: DataPlane) -> dict[str, dict[str, int]]:
    counted = {}
    for name, disturbance in DISTURBANCES.items():
        counted[name] = disturbed(site, release, plane.url, disturbance)
        site.say(f"  {name}: {counted[name]}")
    return counted


def trace(site: Site, release: Release, plane: DataPlane, jaeger: Jaeger) -> Found:
    """Have the service send its spans to Jaeger, and find there the one of a decision that a client was told of."""
    if not all(jaeger):
        raise AbsentError("say where Jaeger is, by --collector and --jaeger")
    release.change({"otel": {"endpoint": jaeger.collector, "sampler": "always_on"}})
    release.settle()
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


def modes(site: Site, release: Release) -> Found:
    """Run the service as a DaemonSet, by mutual TLS, and beside an Envoy; ask every probe of each."""
    release.change({})
    found = {
        "DaemonSet": site.envoy("envoy-local", "--authz", LOCAL),
        "mutual TLS": site.envoy("envoy-tls", *_TLS_OPTIONS),
    }
    said_by = {}
    for name, values in _MODES.items():
        release.change(values)
        release.settle(values["mode"])
        said_by[name] = _all_answers(site, found[name])
    release.test()
    release.uninstall()
    return said_by | {"sidecar": _all_answers(site, _beside(site, release))}


def _beside(site: Site, release: Release) -> str:
    """Patch the service into an Envoy's Deployment, as NOTES say."""
    url = site.envoy("beside", "--authz", "unix:/run/cors-authz/authz.sock")
    release.change({"mode": "sidecar", "tls": {"enabled": False}})
    where = f"--namespace={NAMESPACE}"
    patch = site.cluster.kubectl(
        "get", "configmap", where, f"{RELEASE}-sidecar", "--output=jsonpath={.data.patch\\.yaml}"
    )
    site.cluster.kubectl("patch", "deployment", where, "beside", f"--patch={patch}")
    site.rolled_out("deployment/beside")
    return url


def _all_answers(site: Site, url: str) -> dict[str, str]:
    found = site.await_answers(url, PROBES, _ATTACH_SECONDS)
    return {probe.what: said(answer) for probe, answer in zip(PROBES, found, strict=True)}


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


def _refusals(site: Site, plane: DataPlane) -> list[str]:
    """Give every answer of a data plane that reaches no service, from the first moment on: not one may pass."""
    rounds = [site.ask(plane.url, PROBES) for _ in range(_ROUNDS)]
    return sorted({said(answer) for found in rounds for answer in found})


def _left_behind(release: Release, before: AbstractSet[str]) -> list[str]:
    """Give what is still there, and was not before, when pods have had the time to end."""
    with suppress(ClusterError):
        until(lambda: release.remains() <= before, "nothing of the release", _END_SECONDS)
    return sorted(release.remains() - before)


def _templates(release: Release) -> list[str]:
    """Give the digests of the templates of the pods that stay."""
    release.settle()
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
