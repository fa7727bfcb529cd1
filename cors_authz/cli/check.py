"""`cors-authz check`: everything that is to be said of a policy."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from cors_authz.cli.finding_forms import github, sarif, summary
from cors_authz.cli.policy_option import INVALID_POLICY, sources_at
from cors_authz.edge.clock import now
from cors_authz.edge.collector import collector_at_rest
from cors_authz.policy.finding import Finding, Severity, UnknownEnvironmentError
from cors_authz.policy.load import check_policy

_SHOWN: Final = {"error": 1, "warning": 2, "info": 3}
_RANK: Final = {Severity.ERROR: 1, Severity.WARNING: 2, Severity.INFO: 3}


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--environment", help="Judge this environment alone; without it, each that the policy declares.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "sarif", "github"]), default="text", show_default=True
)
@click.option("--fail-on", type=click.Choice(["error", "warning"]), default="error", show_default=True)
@click.option(
    "--show", type=click.Choice(list(_SHOWN)), default="warning", show_default=True, help="The lowest severity to show."
)
def check(path: Path, environment: str | None, form: str, fail_on: str, show: str) -> None:
    """Parse and lint the policy at PATH, a file or a directory.

    Every finding is printed as `file:line:column: CODE text`. Exit 0 if the policy would load, 3 if not.
    """
    try:
        with collector_at_rest():
            findings = check_policy(sources_at(path), environment, now())
    except UnknownEnvironmentError as error:
        raise click.UsageError(str(error)) from error
    shown = [finding for finding in findings if _RANK[finding.severity] <= _SHOWN[show]]
    click.echo(_FORMS[form](list(_below(path, shown)) if form in _OF_A_REPOSITORY else shown), nl=False)
    if form == "text":
        click.echo(_summary(findings), err=True)
    if any(_RANK[finding.severity] <= _SHOWN[fail_on] and not finding.suppressed for finding in findings):
        sys.exit(INVALID_POLICY)


def _below(path: Path, findings: Sequence[Finding]) -> Iterator[Finding]:
    base = path if path.is_dir() else path.parent
    for finding in findings:
        yield replace(finding, place=finding.place._replace(file=(base / finding.place.file).as_posix()))


def _summary(findings: Sequence[Finding]) -> str:
    would_load = all(finding.severity is not Severity.ERROR for finding in findings)
    return f"{'ok' if would_load else 'would not load'}: {summary(finding.severity for finding in findings)}"


def _text(findings: Sequence[Finding]) -> str:
    return "".join(f"{finding}{_mark(finding)}\n" for finding in findings)


def _mark(finding: Finding) -> str:
    severity = "" if finding.severity is Severity.ERROR else f" [{finding.severity.name.lower()}]"
    return f"{severity} [suppressed]" if finding.suppressed else severity


def _object(finding: Finding) -> Mapping[str, object]:
    return {
        "code": finding.code,
        "severity": finding.severity.name.lower(),
        "file": finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "text": finding.text,
        "about": finding.about,
        "suppressed": finding.suppressed,
    }


def _json(findings: Sequence[Finding]) -> str:
    return json.dumps([_object(finding) for finding in findings], indent=2) + "\n"


_OF_A_REPOSITORY: Final = frozenset({"github", "sarif"})
"""Forms whose readers look for a file from where the command ran; elsewhere it is named from the policy on."""

_FORMS: Final[Mapping[str, Callable[[Sequence[Finding]], str]]] = {
    "text": _text,
    "json": _json,
    "sarif": sarif,
    "github": github,
}
