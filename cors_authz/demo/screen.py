"""What the demo says: pure functions from facts to lines, and a screen that colours them where there are colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, unique
from textwrap import wrap
from typing import Final, NamedTuple, TextIO

from cors_authz.demo.backend import API, EVIL, SEEN_PATH, SHOP, TOKEN_PATH
from cors_authz.demo.journal import cause_of
from cors_authz.demo.tour import Call, Stop
from cors_authz.fetch.request import OWN_PREFIX
from cors_authz.pdp.decision import Decision, Outcome
from cors_authz.policy.finding import printable

_INDENT: Final = 4
_MAX_VALUE: Final = 48
"""Longer header values are shortened: a token fills half a screen and tells nothing."""

_UNTOLD: Final = frozenset({"sec-websocket-key", "sec-websocket-version", "connection"})
_TELLING: Final = ("access-control-", "vary", "link", "sunset", "deprecation", "www-authenticate", OWN_PREFIX)
_ALLOWED: Final = frozenset({Outcome.ALLOW, Outcome.PREFLIGHT_ALLOW})


@unique
class Tone(Enum):
    """How a line is meant; the value is its style on a screen with colours."""

    PLAIN = ""
    HEADING = "bold"
    QUIET = "dim"
    GOOD = "green"
    BAD = "bold red"
    COMMAND = "cyan"


class Line(NamedTuple):
    """One line, indented by so many columns. What people copy, and what they compare, is never broken."""

    text: str
    tone: Tone = Tone.PLAIN
    indent: int = _INDENT
    breaks: bool = False


def stop_lines(number: int, stop: Stop) -> Iterator[Line]:
    """Tell one stop of the tour."""
    step, witnessed = stop.step, stop.witnessed
    yield Line("", indent=0)
    yield Line(f"{number:2}  {step.title}", Tone.HEADING, indent=0)
    yield from _request_lines(step.call)
    yield Line(f"-> {witnessed.status}", Tone.HEADING)
    for name, value in _telling(witnessed.headers):
        yield Line(f"   {name}: {printable(value)}", Tone.QUIET)
    if witnessed.decision:
        yield Line(f"reason: {witnessed.decision.reason.value} ({cause_of(witnessed.decision)})")
    yield Line(f"upstream: {_upstream(stop)}")
    yield Line(step.why, Tone.QUIET, breaks=True)
    yield from _verdict(stop)


def _request_lines(call: Call) -> Iterator[Line]:
    yield Line(f"{call.method} http://{call.host}{call.path}", Tone.COMMAND)
    for name, value in call.headers.items():
        if name not in _UNTOLD:
            yield Line(f"   {name}: {_shortened(value)}", Tone.COMMAND)


def _shortened(value: str) -> str:
    return value if len(value) <= _MAX_VALUE else f"{value[: _MAX_VALUE - 1]}…"


def _telling(headers: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if value and name.startswith(_TELLING)]


def _upstream(stop: Stop) -> str:
    if stop.witnessed.upstream is None:
        return "not reached"
    withheld = stop.step.expected.withheld
    return f"reached, without {', '.join(withheld)}" if withheld and not stop.differences else "reached"


def _verdict(stop: Stop) -> Iterator[Line]:
    if not stop.differences:
        yield Line("✓ as expected", Tone.GOOD)
    for difference in stop.differences:
        yield Line(f"✗ {printable(difference)}", Tone.BAD)


def tour_line(right: int, wrong: int) -> Line:
    """Sum the tour up."""
    if wrong:
        return Line(f"✗ {wrong} of {right + wrong} answers differ from what this demo expects", Tone.BAD, indent=0)
    return Line(f"✓ all {right} answers are as expected", Tone.GOOD, indent=0)


def commands(port: int) -> tuple[str, ...]:
    """Give commands for a shell, each of which shows one more answer of the running demo."""
    api, shop, evil = (f"http://{host}:{port}" for host in (API, SHOP, EVIL))
    preflight = "-H 'Access-Control-Request-Method: PUT'"
    return (
        f"curl -i {api}/v2/products -H 'Origin: {shop}'",
        f"curl -i {api}/v2/products -H 'Origin: {evil}' -X DELETE",
        f"curl -i {api}/v2/products/7 -X OPTIONS -H 'Origin: {shop}' {preflight}",
        f"curl -i {api}/v1/products -H 'Origin: {shop}'",
        f"curl -i {api}/v2/orders -H \"Authorization: Bearer $(curl -s '{shop}{TOKEN_PATH}?role=clerk')\"",
        f"curl -i {api}/v2/orders -H \"Authorization: Bearer $(curl -s '{shop}{TOKEN_PATH}')\"",
    )


def stay_lines(port: int, policy: str) -> Iterator[Line]:
    """Say what to try while the demo stays up."""
    yield Line("", indent=0)
    yield Line("Open in a browser", Tone.HEADING, indent=0)
    yield Line(f"http://{SHOP}:{port}/   calls http://{API}:{port}/, and may", Tone.COMMAND)
    yield Line(f"http://{EVIL}:{port}/   tries the same, and fails", Tone.COMMAND)
    yield Line("Try in another terminal", Tone.HEADING, indent=0)
    for command in commands(port):
        yield Line(command, Tone.COMMAND)
    yield Line(f"If your curl does not know *.localhost, add: --resolve '*:{port}:127.0.0.1'", Tone.QUIET, breaks=True)
    yield Line("Edit the policy; what you save decides within a second or so", Tone.HEADING, indent=0)
    yield Line(policy, Tone.COMMAND)
    yield Line("", indent=0)
    yield Line("Each decision is a line here. Ctrl-C ends everything.", Tone.HEADING, indent=0)


def decision_line(decision: Decision, decision_id: str) -> Line | None:
    """Tell a decision in one line; None for a page that asks the demo itself what became of its requests."""
    facts = decision.facts
    request = facts.request if facts else None
    path = request.target.partition("?")[0] if request else ""
    if path == SEEN_PATH:
        return None
    allowed = decision.outcome in _ALLOWED
    asked = f"{request.method} {request.host}{path}" if request else "unread request"
    origin = f" from {facts.origin}" if facts and facts.origin else ""
    text = f"{'✓' if allowed else '✗'} {asked}{origin}  {decision.reason.value}  ({cause_of(decision)})"
    return Line(f"{printable(text)}  {decision_id[:8]}", Tone.GOOD if allowed else Tone.BAD, indent=0)


class Screen:
    """Writes lines: coloured on a terminal, unless NO_COLOR or `colour` forbids it.

    Args:
        out: where to.
        colour: False for none at all.
    """

    def __init__(self, out: TextIO, *, colour: bool) -> None:
        from rich.console import Console

        self.console = Console(
            file=out, highlight=False, markup=False, emoji=False, color_system="auto" if colour else None
        )

    def show(self, lines: Iterable[Line]) -> None:
        """Write lines, each broken between words only where it may be."""
        from rich.text import Text

        for line in lines:
            for text in self._broken(line):
                self.console.print(Text(" " * line.indent + text, line.tone.value), soft_wrap=True)

    def _broken(self, line: Line) -> Iterable[str]:
        return wrap(line.text, self.console.width - line.indent) if line.breaks else (line.text,)
