"""Findings counted, and in the forms that code hosts read: SARIF, and the workflow commands of GitHub Actions."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from cors_authz import __version__
from cors_authz.policy.finding import Finding, Severity

_GITHUB: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_SARIF: Final = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_NOUNS: Final = {
    Severity.ERROR: ("error", "errors"),
    Severity.WARNING: ("warning", "warnings"),
    Severity.INFO: ("info", "info"),
}
"""For one finding, and for any other number of them."""


def summary(severities: Iterable[Severity]) -> str:
    """Count findings by their severity: `1 error, 0 warnings, 2 info`."""
    counts = Counter(severities)
    return ", ".join(f"{counts[severity]} {_NOUNS[severity][counts[severity] != 1]}" for severity in Severity)


def github(findings: Sequence[Finding]) -> str:
    """Write workflow commands. Spec: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    return "".join(
        f"::{_GITHUB[f.severity]} file={_property(f.place.file)},line={f.place.line},col={f.place.column},"
        f"title={f.code}::{_escaped(f.text)}\n"
        for f in findings
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    # The name of a file may hold bytes that are no UTF-8, and no output does.
    text = text.encode(errors="backslashreplace").decode()
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def sarif(findings: Sequence[Finding]) -> str:
    """Write SARIF 2.1.0. Spec: https://docs.oasis-open.org/sarif/sarif/v2.1.0/."""
    rules = [{"id": code} for code in sorted({finding.code for finding in findings})]
    driver = {"name": "cors-authz", "version": __version__, "rules": rules}
    run = {"tool": {"driver": driver}, "results": [_result(finding) for finding in findings]}
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2) + "\n"


def _result(finding: Finding) -> Mapping[str, object]:
    region = {"startLine": finding.place.line, "startColumn": finding.place.column}
    location = {"artifactLocation": {"uri": quote(os.fsencode(finding.place.file))}, "region": region}
    result: dict[str, object] = {
        "ruleId": finding.code,
        "level": _SARIF[finding.severity],
        "message": {"text": finding.text},
        "locations": [{"physicalLocation": location}],
    }
    return result | {"suppressions": [{"kind": "inSource"}]} if finding.suppressed else result
