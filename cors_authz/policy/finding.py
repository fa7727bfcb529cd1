"""What is said of a policy: a code, a place, a sentence that names the value, what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final, NamedTuple

MAX_SHOWN_CHARACTERS: Final = 120


class Place(NamedTuple):
    """Where something stands in a policy: a file as the operator named it, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Write the place as editors and terminals link it: `file:line:column`."""
        return f"{printable(self.file)}:{self.line}:{self.column}"


@unique
class Severity(Enum):
    """Whether a finding refuses the policy (E), warns (W) or informs (I)."""

    ERROR = "E"
    WARNING = "W"
    INFO = "I"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing said of a policy.

    `code` is the lint rule (`CX001` to `CX054`); `about` is the path of the object in the policy
    (`resourceGroups/orders`), which a suppression names; `suppressed` says that one covers it.
    """

    place: Place
    code: str
    text: str
    severity: Severity = Severity.ERROR
    about: str = ""
    suppressed: bool = False

    def __str__(self) -> str:
        """Write the finding as `file:line:column: CODE text`."""
        return f"{self.place}: {self.code} {self.text}"


class PolicyError(Exception):
    """A policy that does not load: every error of it, in the order of its files and lines."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings: Sequence[Finding] = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))

    def __reduce__(self) -> tuple[type[PolicyError], tuple[Sequence[Finding]]]:
        """Travel with the findings: an exception would take its text for its argument."""
        return PolicyError, (self.findings,)


class UnknownEnvironmentError(Exception):
    """An environment that the policy does not declare; the message names those that it does."""


def printable(text: str) -> str:
    """Show anybody's text on one line of a terminal, which it shall not steer: what does not print is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(value: str) -> str:
    """Show an author's text on one line of a terminal: cut at 120 characters, and printable."""
    return printable(value if len(value) <= MAX_SHOWN_CHARACTERS else value[: MAX_SHOWN_CHARACTERS - 1] + "…")


def ticked(names: Iterable[str]) -> str:
    """Write names in backticks, with commas."""
    return ", ".join(f"`{name}`" for name in names)
