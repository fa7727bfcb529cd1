"""A cluster by its kubeconfig, through kubectl and helm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.helm.tools import TOOLS

_SECONDS: Final = 300
_POLL_SECONDS: Final = 0.5
_PLACES: Final = os.pathsep.join((os.environ.get("PATH", ""), str(TOOLS)))


Kind = dict[str, Any]
"""An object of Kubernetes."""


class ClusterError(Exception):
    """What was asked of the cluster did not happen; the message has what it said."""


class AbsentError(Exception):
    """There is nothing here to verify on; the message says what is missing."""


class Cluster:
    """Runs kubectl and helm against one cluster.

    Raises: AbsentError, if it cannot be reached or a program is missing.
    """

    def __init__(self, kubeconfig: str) -> None:
        if not kubeconfig or not Path(kubeconfig).is_file():
            raise AbsentError("no cluster is named: make verify-deploy KUBECONFIG=FILE")
        self._environment = {**os.environ, "KUBECONFIG": kubeconfig}
        self._programs = {name: _found(name) for name in ("kubectl", "helm")}
        try:
            self.version = json.loads(self.kubectl("version", "--output=json"))["serverVersion"]["gitVersion"]
        except (ClusterError, KeyError) as error:
            raise AbsentError(f"the cluster of {kubeconfig} does not answer: {error}") from error

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """Run kubectl, with a text on its standard input.

        Raises: ClusterError.
        """
        return self._run("kubectl", words, text)

    def helm(self, *words: str) -> str:
        """Run helm.

        Raises: ClusterError.
        """
        return self._run("helm", words, None)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a kubectl that goes on beside what comes next."""
        command = [self._programs["kubectl"], *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self._environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def objects(self, kind: str, namespace: str, selector: str) -> list[Kind]:
        """Give the objects of a kind that have these labels."""
        words = ("get", kind, f"--namespace={namespace}", f"--selector={selector}", "--output=json")
        found: list[Kind] = json.loads(self.kubectl(*words))["items"]
        return found

    def has(self, kind: str) -> bool:
        """Say whether the cluster knows a kind of objects, written as `plural.group`."""
        return kind in self.kubectl("api-resources", "--output=name").split()

    def _run(self, program: str, words: Sequence[str], text: str | None) -> str:
        try:
            done = subprocess.run(
                [self._programs[program], *words],
                env=self._environment,
                input=text,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"{program} {' '.join(words[:3])}: no end in {_SECONDS} s") from error
        if done.returncode:
            raise ClusterError(f"{program} {' '.join(words[:3])}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def until(holds: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
    """Wait until something holds.

    Raises: ClusterError, if it does not in time.
    """
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise ClusterError(f"not in {seconds:g} s: {what}")
        time.sleep(_POLL_SECONDS)


def _found(program: str) -> str:
    path = shutil.which(program, path=_PLACES)
    if path is None:
        raise AbsentError(f"{program} is missing, on the PATH and in {TOOLS}")
    return path
