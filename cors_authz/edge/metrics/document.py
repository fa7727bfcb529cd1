"""The table of metrics in docs/metrics.md, as the code has it.

python -m cors_authz.edge.metrics.document docs/metrics.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cors_authz.edge.metrics import catalogue
from cors_authz.edge.metrics.sample import Metric, Stability

BEGIN: Final = "<!-- metrics: written by cors_authz/edge/metrics/document.py -->"
END: Final = "<!-- /metrics -->"


def metrics() -> tuple[Metric, ...]:
    """Give all metrics of the catalogue, in its order."""
    return (*_ours(), *catalogue.PROCESS)


def table() -> str:
    """Write the table: a row for each metric of ours, with its labels, its stability, and what to do with it.

    Those that every Prometheus client has share the last row.
    """
    head = ("Metric", "Kind", "Labels", "Stability", "What it says, and what to do with it")
    rows = (head, ("---",) * len(head), *map(_cells, _ours()), _process())
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def written(document: str) -> str:
    """Give a document with its table as the code has it; the rest stays as it is.

    Raises: ValueError if the marks that the table stands between are not there.
    """
    between = re.compile(f"(?<={re.escape(BEGIN)}\n).*(?={re.escape(END)})", re.DOTALL)
    if not between.search(document):
        raise ValueError(f"the document has no place for the table: a line `{BEGIN}`, and a line `{END}`")
    return between.sub(lambda _: table(), document)


def _ours() -> Iterator[Metric]:
    return (value for value in vars(catalogue).values() if isinstance(value, Metric))


def _cells(metric: Metric) -> tuple[str, ...]:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    said = f"{metric.text} {metric.use[:1].upper()}{metric.use[1:]}."
    return f"`{metric.name}`", metric.kind.value, labels, metric.stability.value, said


def _process() -> tuple[str, ...]:
    names = ", ".join(f"`{metric.name}`" for metric in catalogue.PROCESS)
    kinds = ", ".join(dict.fromkeys(metric.kind.value for metric in catalogue.PROCESS))
    said = "The process itself, as every Prometheus client tells it. Memory that grows steadily is a fault of ours."
    return names, kinds, "", Stability.STABLE.value, said


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text()))
