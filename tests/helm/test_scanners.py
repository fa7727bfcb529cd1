"""What checkov and kube-score find in what the chart renders is what the document explains, no more and no less."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.helm.rendering import PLACES, ROOT, VALUES, needs_helm, of_file

pytestmark = needs_helm

CHECKOV: Final = os.environ.get("CORS_AUTHZ_CHECKOV") or shutil.which("checkov", path=PLACES)
KUBE_SCORE: Final = shutil.which("kube-score", path=PLACES)
# kube-score's grades end at 10; below it something is left to say.
_FLAWLESS: Final = 10


def _explained(pattern: str) -> set[str]:
    text = (ROOT / "docs" / "kubernetes.md").read_text().partition("## What scanners say\n")[2].partition("\n## ")[0]
    findings = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return {each for cell in findings for each in re.findall(f"`({pattern})`", cell)}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Path]:
    """Render each file of values whose objects have pods of their own."""
    folder = tmp_path_factory.mktemp("manifests")
    files = [folder / f"{name}.yaml" for name in VALUES if name != "values-sidecar"]
    for file in files:
        file.write_text(yaml.safe_dump_all(of_file(file.stem).objects))
    return files


def _said(*words: str | Path) -> Any:  # noqa: ANN401 - any JSON
    # A finding is an exit code too.
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def _graded(file: Path) -> Iterator[str]:
    assert KUBE_SCORE is not None
    for each in _said(KUBE_SCORE, "score", "--output-format=json", file):
        for check in each["checks"]:
            if not check["skipped"] and check["grade"] < _FLAWLESS:
                yield check["check"]["id"]


@pytest.mark.skipif(CHECKOV is None, reason="checkov is not installed; run: make scan")
def test_checkov_finds_what_is_explained(manifests: Sequence[Path]) -> None:
    assert CHECKOV is not None
    words = ("--skip-download", "--framework=kubernetes", "--compact", "--quiet", "--output=json")
    results = _said(CHECKOV, *words, *(f"--file={file}" for file in manifests))["results"]
    assert results.get("parsing_errors", []) == []
    assert {each["check_id"] for each in results["failed_checks"]} == _explained("CKV2?_K8S_[0-9]+")


@pytest.mark.skipif(KUBE_SCORE is None, reason="kube-score is not installed; run: make scan, where Go is")
def test_kube_score_finds_what_is_explained(manifests: Sequence[Path]) -> None:
    assert {found for file in manifests for found in _graded(file)} == _explained("[a-z]+(?:-[a-z]+)+")
