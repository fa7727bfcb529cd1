"""Decisions and their traces on a terminal, as they come: a screen that is drawn anew, or line after line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from queue import Empty, Full, Queue
from threading import Event
from typing import TYPE_CHECKING, Final

from cors_authz.demo.board import Board, Decided
from cors_authz.demo.receiver import Sink
from cors_authz.demo.screen import Line, Screen, Tone

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

POLL_SECONDS: Final = 0.2

_MAX_WAITING: Final = 1000
_DRAWN_PER_SECOND: Final = 4
_MAX_TRACE_LINES: Final = 12
_TRACE_EVERY: Final = 10
"""After so many decisions there is a trace between the lines."""
_WAITING: Final = "Waiting for spans and records of cors-authz. Ctrl-C ends this."


class Feed:
    """What came in, on a board, and as a queue of the decisions that are to be told. A slow terminal misses some."""

    def __init__(self) -> None:
        self.board = Board()
        self._decisions: Queue[Decided] = Queue(_MAX_WAITING)

    def sink(self) -> Sink:
        """Give what a receiver tells."""
        return Sink(
            lambda spans: self._put(self.board.take_spans(spans)),
            lambda records: self._put(self.board.take_records(records)),
        )

    def next(self, seconds: float) -> Decided | None:
        """Wait so long for a decision."""
        try:
            return self._decisions.get(timeout=seconds)
        except Empty:
            return None

    def _put(self, decisions: list[Decided]) -> None:
        for decided in decisions:
            try:
                self._decisions.put_nowait(decided)
            except Full:
                return


def tell(feed: Feed, screen: Screen, ended: Event, *, once: bool = False) -> None:
    """Write each decision as a line, and now and then a trace, until the end; with `once`, until the first decision."""
    screen.show([Line(_WAITING, Tone.QUIET, indent=0)])
    until_trace = 0
    while not ended.is_set():
        decided = feed.next(POLL_SECONDS)
        if decided is not None:
            screen.show([decided.line()])
            until_trace -= 1
            if once:
                return
        # The spans of others come later than ours.
        if until_trace < 0 and (trace := _trace(feed.board, feed.board.latest(_TRACE_EVERY))):
            screen.show(trace)
            until_trace = _TRACE_EVERY - 1


def ended_line(board: Board) -> Line:
    """Tell how many decisions there were."""
    outcomes = board.outcomes()
    told = ", ".join(f"{outcome} {number}" for outcome, number in outcomes.items())
    return Line(f"Ended. Decisions: {sum(outcomes.values())}" + (f" ({told})" if told else ""), Tone.HEADING, indent=0)


def draw(feed: Feed, console: Console, heading: Sequence[str], ended: Event) -> None:
    """Draw the latest decisions and the trace of the newest, until the end; the terminal is as before then."""
    from rich.live import Live

    with Live(console=console, screen=True, auto_refresh=False) as live:
        while not ended.is_set():
            live.update(_drawn(picture(feed.board, heading, console.size)), refresh=True)
            ended.wait(1 / _DRAWN_PER_SECOND)


def _drawn(lines: Iterable[Line]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    return Group(*(Text(line.text, line.tone.value, no_wrap=True, overflow="ellipsis") for line in lines))


def picture(board: Board, heading: Sequence[str], size: tuple[int, int]) -> Iterator[Line]:
    """Give the lines that a screen of this size, in columns and lines, shows."""
    width, height = size
    yield from (Line(text, Tone.QUIET, indent=0) for text in heading)
    latest = board.latest(height)
    if not latest:
        yield Line(_WAITING, Tone.QUIET, indent=0)
        return
    trace = _trace(board, latest)
    counts = "   ".join(f"{outcome} {number}" for outcome, number in board.outcomes().items())
    yield Line(f"Decisions   {counts}   Ctrl-C ends this", Tone.HEADING, indent=0)
    for decided in latest[: max(1, height - len(heading) - len(trace) - 1)]:
        yield decided.line(width)
    yield from trace


def _trace(board: Board, latest: Iterable[Decided]) -> list[Line]:
    """Tell the newest trace that somebody else has a span of too."""
    tree = next((tree for decided in latest if len(tree := board.tree(decided.trace_id)) > 1), None)
    if tree is None:
        return []
    heading = Line(f"The latest trace   {tree[0].span.trace_id}", Tone.HEADING, indent=0)
    return [heading, *(twig.line() for twig in tree[:_MAX_TRACE_LINES])]
