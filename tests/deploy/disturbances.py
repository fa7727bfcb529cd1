"""What happens to the pods while requests go on: nobody's request may fail."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from tests.deploy.cluster import ClusterError, Kind, until
from tests.deploy.release import VERSIONS, Release
from tests.deploy.site import HAND_NAMESPACE, NAMESPACE, PYTHON, RELEASE, Site

_HAND: Final = Path(__file__).parent / "inside" / "hand.py"
_CALM_SECONDS: Final = 1.0
_EVICTION_SECONDS: Final = 120

Disturbance = Callable[["Disturber"], None]


class Disturber:
    """Has a hand on the nodes and on the release."""

    def __init__(self, site: Site, release: Release) -> None:
        self._cluster = site.cluster
        self._release = release

    def restart(self) -> None:
        """Restart pod after pod."""
        where = (f"--namespace={NAMESPACE}", f"deployment/{RELEASE}")
        self._cluster.kubectl("rollout", "restart", *where)
        self._cluster.kubectl("rollout", "status", *where, "--timeout=3m")

    def delete(self) -> None:
        """Delete a pod."""
        self._cluster.kubectl("delete", "pod", f"--namespace={NAMESPACE}", _name(self._release.pods()[0]))

    def kill(self) -> None:
        """Kill the processes of a pod."""
        pod = self._release.pods()[0]
        self._touch("kill", pod)
        until(lambda: self._restarts(_name(pod)) > _restarts(pod), f"a restarted container in {_name(pod)}")

    def freeze(self) -> None:
        """Freeze the processes of a pod for four seconds."""
        self._touch("freeze", self._release.pods()[0])

    def reload(self) -> None:
        """Change the policy, and wait until it decides; then take the change back."""
        before = [_name(pod) for pod in self._release.pods()]
        for text, status in VERSIONS:
            with self._release.watched(status):
                self._release.change({"policy": {"files": {"policy.yaml": text}}})
        if [_name(pod) for pod in self._release.pods()] != before:
            raise ClusterError("a changed policy rolled the pods")

    def evict(self) -> None:
        """Evict each pod in turn, as soon as the PodDisruptionBudget lets it go."""
        for pod in self._release.pods():
            until(partial(self._evicted, _name(pod)), f"the eviction of {_name(pod)}", _EVICTION_SECONDS)

    def _restarts(self, name: str) -> int:
        return sum(_restarts(pod) for pod in self._release.pods() if _name(pod) == name)

    def _evicted(self, name: str) -> bool:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        try:
            self._cluster.kubectl("create", "--raw", path, "--filename=-", text=json.dumps(body))
        except ClusterError as error:
            if "disruption budget" in str(error):
                return False
            raise
        return True

    def _touch(self, what: str, pod: Kind) -> None:
        hands = self._cluster.objects("pods", HAND_NAMESPACE, "app=hand")
        (hand,) = (_name(each) for each in hands if each["spec"]["nodeName"] == pod["spec"]["nodeName"])
        words = ("exec", f"--namespace={HAND_NAMESPACE}", hand, "--", PYTHON, "-c", _HAND.read_text())
        self._cluster.kubectl(*words, what, pod["metadata"]["uid"])


DISTURBANCES: Final[dict[str, Disturbance]] = {
    "rolling restart": Disturber.restart,
    "pod deleted": Disturber.delete,
    "pod killed (SIGKILL)": Disturber.kill,
    "pod frozen 4 s": Disturber.freeze,
    "policy reloaded, twice": Disturber.reload,
    "each pod evicted": Disturber.evict,
}


def disturbed(site: Site, release: Release, url: str, disturbance: Disturbance) -> dict[str, int]:
    """Disturb the release under a load on a data plane, and count the answers until all pods are ready again."""
    answers: dict[str, int] = {}
    with site.load(url, answers):
        time.sleep(_CALM_SECONDS)
        disturbance(Disturber(site, release))
        release.settle()
        time.sleep(_CALM_SECONDS)
    return answers


def _name(pod: Kind) -> str:
    name: str = pod["metadata"]["name"]
    return name


def _restarts(pod: Kind) -> int:
    return sum(int(each["restartCount"]) for each in pod["status"].get("containerStatuses", ()))
