"""What `doctor` prints: text for people, JSON for machines, SARIF and workflow commands for code hosts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Final

from cors_authz.cli import finding_forms
from cors_authz.doctor.finding import Finding, Where
from cors_authz.doctor.remedies import lines_of
from cors_authz.policy.finding import Finding as PlacedFinding
from cors_authz.policy.finding import Place, printable

_WIDTH: Final = 100
_MAX_PLACES: Final = 10
"""A mesh has thousands of routes, and they tend to be wrong alike."""

_INDENT: Final = "    "


def _text(findings: Sequence[Finding]) -> str:
    """Write each finding with its places; why and what to change are said once for all places."""
    places: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        places.setdefault((finding.rule.code, lines_of(finding)), []).append(finding)
    told: dict[str, str] = {}
    blocks = [(*_block(found), *_change(found[0], told)) for found in places.values()]
    return "\n".join("".join(f"{printable(line)}\n" for line in block) for block in blocks)


def _block(found: Sequence[Finding]) -> Iterator[str]:
    rule = found[0].rule
    yield f"{rule.code} {rule.severity.name.lower()}: {rule.title}"
    for finding in found[:_MAX_PLACES]:
        yield f"  {_place(finding.where)}: {finding.detail}"
    if len(found) > _MAX_PLACES:
        yield f"  and in {len(found) - _MAX_PLACES} more places, which --format json lists"
    yield from wrap(f"Why: {rule.why}", _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _change(finding: Finding, told: dict[str, str]) -> Iterator[str]:
    """Write the lines to have instead, once for all findings that have the same; `told` keeps whose they were."""
    lines = lines_of(finding)
    if lines in told:
        yield f"  Change: as for {told[lines]}"
        return
    told[lines] = finding.rule.code
    yield "  Change:"
    yield from (_INDENT + line for line in lines.splitlines())


def _place(where: Where) -> str:
    return f"{where.source}:{where.line}: {where.part}" if where.line else f"{where.source}: {where.part}"


def _json(findings: Sequence[Finding]) -> str:
    return json.dumps([_object(finding) for finding in findings], indent=2) + "\n"


def _object(finding: Finding) -> Mapping[str, object]:
    rule, where = finding.rule, finding.where
    return {
        "code": rule.code,
        "severity": rule.severity.name.lower(),
        "title": rule.title,
        "detail": finding.detail,
        "source": where.source,
        "line": where.line or None,
        "part": where.part,
        "why": rule.why,
        "fix": lines_of(finding),
    }


def _placed(findings: Sequence[Finding]) -> list[PlacedFinding]:
    return [
        PlacedFinding(
            # What has no lines is shown at the top of its source.
            Place(each.where.source, each.where.line or 1, 1),
            each.rule.code,
            printable(f"{each.where.part}: {each.rule.title}: {each.detail}. {each.rule.why}"),
            each.rule.severity,
        )
        for each in findings
    ]


FORMS: Final[Mapping[str, Callable[[Sequence[Finding]], str]]] = {
    "text": _text,
    "json": _json,
    "sarif": lambda findings: finding_forms.sarif(_placed(findings)),
    "github": lambda findings: finding_forms.github(_placed(findings)),
}
"""A form's writer by its name."""
