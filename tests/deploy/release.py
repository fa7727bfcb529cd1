"""The release under test: installed, changed, looked at, taken away."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from cors_authz._gen.wire.external_auth_pb2 import AttributeContext, CheckRequest
from helm.generated import CHART
from tests.deploy.cluster import ClusterError, Kind, until
from tests.deploy.probes import ALLOWED, HOST, LATER, NEW_ORIGIN
from tests.deploy.site import NAMESPACE, PYTHON, RELEASE, Site

PODS: Final = f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=authorization"
REPLICAS: Final = 2
_TEXT: Final = Path(__file__).with_name("policy.yaml").read_text()
VERSIONS: Final = ((_TEXT.replace(f'"{ALLOWED}"', f'"{ALLOWED}", "{LATER}"'), 204), (_TEXT, 403))
"""The policy with a further origin, and as it was; and how a preflight of that origin is answered."""
_INSIDE: Final = Path(__file__).parent / "inside"
_POLICY_LINK: Final = "/etc/cors-authz/policy/..data"
_NO_KINDS: Final = ("events",)
_OWNERS: Final = {"deployment": "ReplicaSet", "daemonset": "DaemonSet"}


class Release:
    """A release of the chart, in the site's namespace, with the user's values under those of each step."""

    def __init__(self, site: Site, values: Mapping[str, Any]) -> None:
        self._site = site
        self._cluster = site.cluster
        repository, _, tag = site.images.service.rpartition(":")
        self._values = merged(
            {
                "image": {"repository": repository, "tag": tag},
                "policy": {"files": {"policy.yaml": _TEXT}},
                "jwks": {"existingConfigMap": "verify-keys"},
            },
            values,
        )

    def install(self) -> None:
        """Install it, and return before its pods are ready."""
        with self._written() as file:
            self._cluster.helm("install", *_placed(file))

    def change(self, values: Mapping[str, Any]) -> None:
        """Lay these values over its own, install or upgrade it, and wait until its pods are ready."""
        self._values = merged(self._values, values)
        with self._written() as file:
            self._cluster.helm("upgrade", "--install", *_placed(file), "--wait", "--timeout=3m")

    def test(self) -> None:
        """Run `helm test`."""
        self._cluster.helm("test", RELEASE, f"--namespace={NAMESPACE}", "--timeout=2m")

    def roll_back(self) -> None:
        """Go back to the revision before."""
        self._cluster.helm("rollback", RELEASE, f"--namespace={NAMESPACE}", "--wait", "--timeout=3m")

    def uninstall(self) -> None:
        """Take it away, if it is there."""
        self._cluster.helm("uninstall", RELEASE, f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait")

    def remains(self) -> set[str]:
        """Name what has the release's label, of all kinds that the cluster knows, and what helm keeps of it."""
        kinds = self._cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
        every = ",".join(kind for kind in kinds if kind.partition(".")[0] not in _NO_KINDS)
        label = f"--selector=app.kubernetes.io/instance={RELEASE}"
        found = self._cluster.kubectl("get", every, "--all-namespaces", label, "--output=name").split()
        kept = self._cluster.kubectl("get", "secret", f"--namespace={NAMESPACE}", "--output=name").split()
        return {*found, *kept}

    def settle(self, mode: str = "deployment") -> None:
        """Wait until all pods of the mode are ready, and no other is left."""
        until(partial(self._settled, _OWNERS[mode]), "all pods of the release ready, and no other")

    def gone(self) -> None:
        """Wait until no pod is left."""
        until(lambda: not self.pods(), "no pod of the release")

    def pods(self) -> list[Kind]:
        """Give its pods, by their names."""
        found = self._cluster.objects("pods", NAMESPACE, PODS)
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def scale(self, replicas: int) -> None:
        """Have so many pods, and wait until it is so."""
        self._cluster.kubectl("scale", f"--namespace={NAMESPACE}", f"deployment/{RELEASE}", f"--replicas={replicas}")
        self.settle() if replicas else self.gone()

    @contextmanager
    def watched(self, status: int) -> Iterator[list[float]]:
        """Change the policy in the block, so that a preflight of a further origin is answered by this status.

        The list then has the seconds from the kubelet's files to that answer.
        """
        request = _preflight().SerializeToString().hex()
        words = ("exec", f"--namespace={NAMESPACE}", self.pods()[0]["metadata"]["name"], "--")
        script = (_INSIDE / "watch.py").read_text()
        process = self._cluster.start(*words, PYTHON, "-c", script, request, _POLICY_LINK, str(status))
        assert process.stdout is not None
        if not process.stdout.readline():
            raise ClusterError(f"the watcher ended: {process.communicate()[1]}")
        taken: list[float] = []
        try:
            yield taken
        except BaseException:
            process.kill()
            raise
        taken.append(_seconds_of(process))

    def _settled(self, owner: str) -> bool:
        pods = self.pods()
        whole = len(pods) == REPLICAS or owner == _OWNERS["daemonset"]
        return bool(pods) and whole and all(_ready(pod) and _owner(pod) == owner for pod in pods)

    @contextmanager
    def _written(self) -> Iterator[Path]:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "values.yaml"
            file.write_text(yaml.safe_dump(self._values))
            yield file


def merged(*values: Mapping[str, Any]) -> dict[str, Any]:
    """Lay values over each other, as helm does."""
    result: dict[str, Any] = {}
    for each in values:
        for key, value in each.items():
            both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if both else value
    return result


def values_of(file: Path | None) -> dict[str, Any]:
    """Read a file of values; nothing without one."""
    read: dict[str, Any] = {} if file is None else yaml.safe_load(file.read_text())
    return read


def _placed(file: Path) -> tuple[str, ...]:
    return (RELEASE, str(CHART), f"--namespace={NAMESPACE}", f"--values={file}")


def _owner(pod: Kind) -> str:
    kind: str = pod["metadata"]["ownerReferences"][0]["kind"]
    return kind


def _ready(pod: Kind) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _preflight() -> CheckRequest:
    headers = {name.lower(): value for name, value in NEW_ORIGIN.headers.items()}
    http = AttributeContext.HttpRequest(
        method=NEW_ORIGIN.method, scheme="http", host=HOST, path=NEW_ORIGIN.path, headers=headers
    )
    return CheckRequest(attributes=AttributeContext(request=AttributeContext.Request(http=http)))


def _seconds_of(process: subprocess.Popen[str]) -> float:
    said, errors = process.communicate()
    if process.returncode:
        raise ClusterError(f"the watcher ended: {errors}")
    seconds: float = json.loads(said)
    return seconds
