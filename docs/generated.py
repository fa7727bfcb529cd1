"""What of the documents is written from the code: the tables of metrics and of the doctor's findings.

`make docs` writes them; a test holds that they are fresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cors_authz.doctor import catalogue as findings
from cors_authz.doctor.finding import Rule
from cors_authz.edge.metrics import catalogue as counted
from cors_authz.edge.metrics.sample import Metric, Stability
from docs.marked import between, table

DOCS: Final = Path(__file__).resolve().parent

_METRICS: Final = ("Metric", "Kind", "Labels", "Stability", "What it says, and what to do with it")
_FINDINGS: Final = ("Finding", "Severity", "What is wrong", "Why it matters")


def files() -> dict[Path, str]:
    """Give each document that has a table of the code, with its text."""
    return {
        DOCS / "metrics.md": _document("metrics", _METRICS, (*map(_metric, _ours()), _process())),
        DOCS / "doctor.md": _document("doctor", _FINDINGS, map(_finding, rules())),
    }


def rules() -> tuple[Rule, ...]:
    """Give all rules of the doctor, in the catalogue's order."""
    return tuple(value for value in vars(findings).values() if isinstance(value, Rule))


def metrics() -> tuple[Metric, ...]:
    """Give all metrics, in the catalogue's order."""
    return (*_ours(), *counted.PROCESS)


def _document(name: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    begin, end = f"<!-- {name}: begin; written by `make docs` -->", f"<!-- {name}: end -->"
    return between((DOCS / f"{name}.md").read_text(), begin, end, table(head, rows))


def _finding(rule: Rule) -> tuple[str, ...]:
    return rule.code, rule.severity.name.lower(), rule.title, rule.why.replace("|", "\\|")


def _ours() -> Iterator[Metric]:
    return (value for value in vars(counted).values() if isinstance(value, Metric))


def _metric(metric: Metric) -> tuple[str, ...]:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    said = f"{metric.text} {metric.use[:1].upper()}{metric.use[1:]}."
    return f"`{metric.name}`", metric.kind.value, labels, metric.stability.value, said


def _process() -> tuple[str, ...]:
    """Give the one row of those that every Prometheus client has."""
    names = ", ".join(f"`{metric.name}`" for metric in counted.PROCESS)
    kinds = ", ".join(dict.fromkeys(metric.kind.value for metric in counted.PROCESS))
    said = "The process itself, as every Prometheus client tells it. Memory that grows steadily is a fault of ours."
    return names, kinds, "", Stability.STABLE.value, said


def main() -> None:
    """Write the documents."""
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
