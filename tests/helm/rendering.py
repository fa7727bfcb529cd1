"""How tests render the chart: by a real helm, from a file of values or from a few lines of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from helm.generated import CHART

ROOT: Final = CHART.parents[1]
PLACES: Final = os.pathsep.join((os.environ.get("PATH", ""), str(ROOT / ".tools" / "bin")))
"""Where programs are looked for."""
HELM: Final = shutil.which("helm", path=PLACES)
KUBECTL: Final = shutil.which("kubectl", path=PLACES)
VALUES: Final = {path.stem: path for path in sorted((CHART / "ci").glob("values-*.yaml"))}

needs_helm: Final = pytest.mark.skipif(
    HELM is None, reason="helm is not installed: neither on the PATH nor in .tools/bin"
)

_NOWHERE: Final = Path("/nonexistent")

Kind = dict[str, Any]
"""A rendered object."""


class Rendered(NamedTuple):
    """What helm said: the objects, or why there are none."""

    objects: tuple[Kind, ...]
    refusal: str

    def of(self, kind: str) -> list[Kind]:
        """Give the objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str) -> Kind:
        """Give the only object of a kind."""
        (found,) = self.of(kind)
        return found


def helm(*arguments: str | Path, kubeconfig: Path = _NOWHERE) -> subprocess.CompletedProcess[str]:
    """Run helm away from what its user has set, and from any cluster but one that is named."""
    assert HELM is not None
    environment = {"PATH": os.environ["PATH"], "HOME": str(_NOWHERE), "KUBECONFIG": str(kubeconfig)}
    command = [HELM, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@cache
def of_file(name: str, *flags: str) -> Rendered:
    """Render the chart with a file of `ci/`."""
    return _rendered(helm("template", "shop", CHART, "--namespace", "cors", "--values", VALUES[name], *flags))


def of_values(folder: Path, values: Mapping[str, Any], *flags: str, release: str = "shop") -> Rendered:
    """Render the chart with these values above those of `ci/values-deployment.yaml`."""
    return _rendered(_templated(folder, values, "values-deployment", *flags, release=release))


def text_of_values(
    folder: Path, values: Mapping[str, Any], *flags: str, base: str = "values-deployment", release: str = "shop"
) -> str:
    """Render the chart with these values above those of a file of `ci/`, and give the text."""
    process = _templated(folder, values, base, *flags, release=release)
    assert process.returncode == 0, process.stderr
    return process.stdout


def _templated(
    folder: Path, values: Mapping[str, Any], base: str, *flags: str, release: str
) -> subprocess.CompletedProcess[str]:
    file = folder / "values.yaml"
    # PyYAML knows no `1e3`, and would write that text as helm reads a number.
    file.write_text(json.dumps(values))
    words = ("template", release, CHART, "--namespace", "cors", "--values", VALUES[base], "--values", file)
    return helm(*words, *flags)


def _rendered(process: subprocess.CompletedProcess[str]) -> Rendered:
    if process.returncode:
        return Rendered((), process.stderr)
    return Rendered(tuple(each for each in yaml.safe_load_all(process.stdout) if each), "")


def pods(rendered: Rendered) -> Sequence[tuple[str, Kind]]:
    """Give each specification of a pod with a name for it; of a sidecar's patch, as far as it is one.

    There is one that serves, or whoever looks at each would look at nothing.
    """
    found = list(_pods(rendered))
    assert {kind for kind, _ in found} - {"test"}
    return found


def _pods(rendered: Rendered) -> Iterator[tuple[str, Kind]]:
    for each in rendered.objects:
        if each["kind"] in {"Deployment", "DaemonSet"}:
            yield each["kind"], each["spec"]["template"]["spec"]
        elif each["kind"] == "Pod":
            yield "test", each["spec"]
        elif each["kind"] == "ConfigMap" and "patch.yaml" in each["data"]:
            yield "sidecar", yaml.safe_load(each["data"]["patch.yaml"])["spec"]["template"]["spec"]


def containers(pod: Kind) -> Sequence[Kind]:
    """Give the containers of a pod that run the service or ask it; there is one."""
    every = [*pod.get("initContainers", ()), *pod["containers"]]
    found = [each for each in every if "image" in each]
    assert found
    return found
