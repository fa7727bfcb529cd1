"""The tables of findings in docs/doctor.md, as the code has them.

python -m cors_authz.cli.doctor_document docs/doctor.md
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from cors_authz.doctor import catalogue
from cors_authz.doctor.finding import Rule

BEGIN: Final = "<!-- findings: written by cors_authz/cli/doctor_document.py -->"
END: Final = "<!-- /findings -->"


def rules() -> tuple[Rule, ...]:
    """Give all rules of the catalogue, in its order."""
    return tuple(value for value in vars(catalogue).values() if isinstance(value, Rule))


def table() -> str:
    """Write the table: a row for each rule."""
    head = ("Finding", "Severity", "What is wrong", "Why it matters")
    rows = (head, ("---",) * len(head), *map(_cells, rules()))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def written(document: str) -> str:
    """Give a document with its table as the code has it; the rest stays as it is.

    Raises: ValueError if the marks that the table stands between are not there.
    """
    between = re.compile(f"(?<={re.escape(BEGIN)}\n).*(?={re.escape(END)})", re.DOTALL)
    if not between.search(document):
        raise ValueError(f"the document has no place for the table: a line `{BEGIN}`, and a line `{END}`")
    return between.sub(lambda _: table(), document)


def _cells(rule: Rule) -> tuple[str, ...]:
    return rule.code, rule.severity.name.lower(), rule.title, rule.why.replace("|", "\\|")


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text()))
