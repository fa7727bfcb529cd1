"""An explanation for people: plain text, with colour where a terminal shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import click

from cors_authz.fetch import browser
from cors_authz.pdp.decision import Decision
from cors_authz.pdp.explain import Explanation
from cors_authz.pdp.header_reasons import Because, Explained, Removed
from cors_authz.pdp.reasons import WORDS, mend_of
from cors_authz.pdp.steps import Step, Verdict
from cors_authz.policy.finding import Place, printable

_COLOURS: Final = {Verdict.PASSES: "green", Verdict.OBJECTS: "red", Verdict.NOT_ASKED: "bright_black"}
_MARKS: Final = {browser.Verdict.GOES_ON: "+", browser.Verdict.STOPS: "-", browser.Verdict.NOTE: " "}


def to_text(explanation: Explanation, notes: Iterable[str]) -> str:
    """Write an explanation: the verdict and the policy that gave it, the steps, the headers, what a browser concludes.

    Control characters of the request are shown by their codes, so that none reaches the terminal.
    """
    return "".join(f"{line}\n" for line in _lines(explanation, notes))


def _lines(explanation: Explanation, notes: Iterable[str]) -> Iterator[str]:
    yield from _verdict(explanation.decision)
    yield from (f"note: {printable(note)}" for note in notes)
    yield from _section("steps", (line for step in explanation.steps for line in _step(step, 1)))
    yield from _section("headers to the client", _headers(explanation.to_client))
    yield from _section("headers to the upstream", _headers(explanation.to_upstream))
    yield from _section("taken off the request", _removed(explanation.removed))
    yield from _section("body", [printable(f"  {explanation.body}")] if explanation.body else [])
    yield from _section("a browser concludes", map(_conclusion, explanation.conclusions))


def _verdict(decision: Decision) -> Iterator[str]:
    answer = str(decision.status) if decision.status else "forwarded"
    shadow = "shadow, not applied: " if decision.shadow else ""
    colour = "red" if decision.status >= 400 else "green"  # noqa: PLR2004 - refusals begin there
    yield (
        click.style(f"{shadow}{answer} {decision.reason.value}", fg=colour, bold=True)
        + f"  {WORDS[decision.reason].title}"
    )
    mend = mend_of(decision)
    if mend:
        yield f"to mend it: {printable(mend)}"
    if decision.facts is not None:
        policy = decision.facts.policy
        yield f"policy: {policy.name}, revision {policy.revision}, as {policy.environment}"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    held = list(lines)
    if held:
        yield from ("", click.style(title, bold=True), *held)


def _step(step: Step, depth: int) -> Iterator[str]:
    verdict = click.style(f"{step.verdict.value:<9}", fg=_COLOURS[step.verdict])
    name = f"{step.name:<15}" if depth == 1 else step.name
    yield f"{'  ' * depth}{verdict}  {printable(name)}  {printable(step.sentence)}{_at(step.place)}"
    for inner in step.steps:
        yield from _step(inner, depth + 1)


def _headers(headers: Iterable[Explained]) -> Iterator[str]:
    blanked = []
    for header in headers:
        if header.blanks:
            blanked.append(header)
            continue
        yield f"  {printable(f'{header.name}: {header.value}')}"
        yield _why(header.because)
    if blanked:
        yield f"  {', '.join(header.name for header in blanked)}: (empty, where the upstream sets them)"
        yield _why(blanked[0].because)


def _removed(removed: Iterable[Removed]) -> Iterator[str]:
    for header in removed:
        if header.sent:
            yield f"  {printable(header.name)}"
            yield _why(header.because)


def _why(because: Because) -> str:
    return f"      {printable(because.why)}{_at(because.place)}"


def _at(place: Place | None) -> str:
    return f"  [{printable(str(place))}]" if place else ""


def _conclusion(conclusion: browser.Conclusion) -> str:
    engine = f"{conclusion.engine.value}: " if conclusion.engine else ""
    return f"  {_MARKS[conclusion.verdict]} {engine}{printable(conclusion.sentence)}"
