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
from cors_authz.edge.metrics.sample import Metric

BEGIN: Final = "<!-- metrics: written by cors_authz/edge/metrics/document.py -->"
END: Final = "<!-- /metrics -->"


def metrics() -> tuple[Metric, ...]:
    """Give all metrics of the catalogue, in its order."""
    ours = (value for value in vars(catalogue).values() if isinstance(value, Metric))
    return (*ours, *catalogue.PROCESS)


def table() -> str:
    """Write the table: a row for each metric, with its labels, its stability, and what to do with it."""
    head = "| Metric | Kind | Labels | Stability | What it says | What to do with it |\n|---|---|---|---|---|---|\n"
    return head + "".join(f"| {' | '.join(_cells(metric))} |\n" for metric in metrics())


def written(document: str) -> str:
    """Give a document with its table as the code has it; the rest stays as it is.

    Raises: ValueError if the marks that the table stands between are not there.
    """
    between = re.compile(f"(?<={re.escape(BEGIN)}\n).*(?={re.escape(END)})", re.DOTALL)
    if not between.search(document):
        raise ValueError(f"the document has no place for the table: a line `{BEGIN}`, and a line `{END}`")
    return between.sub(lambda _: table(), document)


def _cells(metric: Metric) -> Iterator[str]:
    yield f"`{metric.name}`"
    yield metric.kind.value
    yield ", ".join(f"`{label}`" for label in metric.labels)
    yield metric.stability.value
    yield metric.text
    yield f"{metric.use[:1].upper()}{metric.use[1:]}."


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text()))
