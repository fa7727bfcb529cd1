"""What the demo says, line by line."""

from __future__ import annotations

import io
from typing import NamedTuple

import pytest

from cors_authz.demo.screen import Line, Screen, Tone, decision_line, stop_lines, tour_line
from cors_authz.demo.tour import Call, Expected, Step, Stop, Witnessed
from cors_authz.demo.upstream import Seen
from cors_authz.fetch.request import Request
from cors_authz.pdp.decide import decide, refuse_unread
from cors_authz.pdp.decision import Decision, Reason
from cors_authz.pdp.match import match
from cors_authz.pdp.readings import Readings
from cors_authz.policy.compiled import CompiledPolicy, OriginTable, RouteTable
from cors_authz.policy.trie import Trie

DECISION_ID = "0123456789abcdef0123456789abcdef"
POLICY = CompiledPolicy(
    "empty", "1", "dev", RouteTable(exact={}, patterns=Trie()), OriginTable(exact={}, patterns={}), groups=()
)


def decided(method: str, host: str, target: str, origin: str = "") -> Decision:
    """Decide by a policy that has nothing: every host is unknown."""
    headers = {"origin": origin} if origin else {}
    return decide(match(Request(method, "http", host, target, headers), POLICY), Readings(0.0, {}))


class Case(NamedTuple):
    """A decision and the line that tells it."""

    decision: Decision
    line: Line | None


DECISIONS = {
    "a request is told without its query, which may hold secrets": Case(
        decided("GET", "a.example", "/x?token=1"),
        Line("✗ GET a.example/x  host_unknown  (no group)  01234567", Tone.BAD, 0),
    ),
    "an origin is told": Case(
        decided("PUT", "a.example", "/x", "https://b.example"),
        Line("✗ PUT a.example/x from https://b.example  host_unknown  (no group)  01234567", Tone.BAD, 0),
    ),
    "what could not be read is told too": Case(
        refuse_unread(Reason.INTERNAL_ERROR),
        Line("✗ unread request  internal_error  (no group)  01234567", Tone.BAD, 0),
    ),
    "a page's question about its own requests is not told": Case(decided("GET", "a.example", "/seen?of=1"), None),
    "a client's escape sequences do not reach the terminal": Case(
        decided("GET", "a.example", "/\x1b[2J\x9b1m"),
        Line("✗ GET a.example/\\x1b[2J\\x9b1m  path_ambiguous  (no group)  01234567", Tone.BAD, 0),
    ),
}


@pytest.mark.parametrize("sentence", DECISIONS)
def test_decision_line(sentence: str) -> None:
    case = DECISIONS[sentence]
    assert decision_line(case.decision, DECISION_ID) == case.line


STEP = Step(
    "A page asks",
    Call("GET", "api.localhost:1", "/x", {"origin": "http://a:1", "authorization": "Bearer " + "x" * 80}),
    Expected(200, Reason.HOST_UNKNOWN, reached=True, headers={}, withheld=("cookie",)),
    "It matters.",
)
WITNESSED = Witnessed(
    200,
    {"vary": "Origin", "server": "envoy", "access-control-allow-origin": "", "link": "</y>\x9b"},
    decided("GET", "api.localhost:1", "/x"),
    Seen("GET", "/x", ()),
)
HEAD = [
    Line("", indent=0),
    Line(" 3  A page asks", Tone.HEADING, 0),
    Line("GET http://api.localhost:1/x", Tone.COMMAND),
    Line("   origin: http://a:1", Tone.COMMAND),
    Line(f"   authorization: Bearer {'x' * 40}…", Tone.COMMAND),
    Line("-> 200", Tone.HEADING),
    Line("   vary: Origin", Tone.QUIET),
    Line("   link: </y>\\x9b", Tone.QUIET),
]
REASON = Line("reason: host_unknown (no group)")
WHY = Line("It matters.", Tone.QUIET, breaks=True)
STOPS = {
    "as expected: the headers that matter, a tick, long values shortened, blank ones left out": (
        Stop(STEP, WITNESSED, ()),
        [*HEAD, REASON, Line("upstream: reached, without cookie"), WHY, Line("✓ as expected", Tone.GOOD)],
    ),
    "not reached": (
        Stop(STEP, WITNESSED._replace(upstream=None), ()),
        [*HEAD, REASON, Line("upstream: not reached"), WHY, Line("✓ as expected", Tone.GOOD)],
    ),
    "nothing decided, and every difference with a cross": (
        Stop(STEP, WITNESSED._replace(decision=None), ("one\x1b", "two")),
        [
            *HEAD,
            Line("upstream: reached"),
            WHY,
            Line("✗ one\\x1b", Tone.BAD),
            Line("✗ two", Tone.BAD),
        ],
    ),
}


@pytest.mark.parametrize("sentence", STOPS)
def test_stop_lines(sentence: str) -> None:
    stop, lines = STOPS[sentence]
    assert list(stop_lines(3, stop)) == lines


SUMS = {
    "all right": (14, 0, Line("✓ all 14 answers are as expected", Tone.GOOD, 0)),
    "one wrong": (13, 1, Line("✗ 1 of 14 answers differ from what this demo expects", Tone.BAD, 0)),
}


@pytest.mark.parametrize("sentence", SUMS)
def test_tour_line(sentence: str) -> None:
    right, wrong, line = SUMS[sentence]
    assert tour_line(right, wrong) == line


class Terminal(io.StringIO):
    """A terminal, as far as rich asks."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


COLOURS = {
    "a terminal has colours": (Terminal(), True, {}, "\x1b[32mgood\x1b[0m\n"),
    "a pipe has none": (io.StringIO(), True, {}, "good\n"),
    "NO_COLOR takes them": (Terminal(), True, {"NO_COLOR": "1"}, "good\n"),
    "the option takes them": (Terminal(), False, {}, "good\n"),
}


@pytest.mark.parametrize("sentence", COLOURS)
def test_colours(sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out, colour, environment, said = COLOURS[sentence]
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": "80", **environment}.items():
        monkeypatch.setenv(name, value)
    Screen(out, colour=colour).show([Line("good", Tone.GOOD, indent=0)])
    assert out.getvalue() == said


def test_sentences_break_at_the_width_and_commands_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    out = io.StringIO()
    words = "one two three four five six"
    Screen(out, colour=False).show([Line(words, breaks=True), Line(words), Line("[bold]:tada:")])
    assert out.getvalue().splitlines() == [
        "    one two three four",
        "    five six",
        f"    {words}",
        "    [bold]:tada:",
    ]
