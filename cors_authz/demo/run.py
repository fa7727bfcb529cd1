"""`cors-authz demo`: set the stage, lead the tour, stay up until someone ends it."""

from __future__ import annotations

import http.client
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event
from types import FrameType
from typing import Final

from cors_authz.demo.envoy_process import EnvoyError
from cors_authz.demo.screen import Line, Screen, Tone, decision_line, stay_lines, stop_lines, tour_line
from cors_authz.demo.stage import Ports, Stage, StageError, open_stage
from cors_authz.demo.tour import STEPS, Step
from cors_authz.edge.ending import SIGNALS
from cors_authz.edge.generation import GenerationError
from cors_authz.edge.transport.interface import TransportError
from cors_authz.pdp.decision import Decision

FAILED: Final = 1
INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells say it."""

_POLL_SECONDS: Final = 0.2

_Lines = SimpleQueue[Line]


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the demo runs.

    Attributes:
        ports: where it listens on loopback.
        stay: stay up after the tour; else end with it.
        colour: False for no colour at all; True for colours where the output is a terminal and NO_COLOR is not set.
        steps: the stops of the tour.
    """

    ports: Ports
    stay: bool = True
    colour: bool = True
    steps: tuple[Step, ...] = STEPS


def run_demo(options: DemoOptions) -> int:
    """Run the demo in the main thread until it is over, SIGINT or SIGTERM; leave nothing running and no file.

    Returns: 0; 1 if the demo cannot start or an answer differs from what the tour expects; 130 if it was ended before
        the tour was over.
    """
    screen = Screen(sys.stdout, colour=options.colour)
    lines: _Lines = SimpleQueue()
    with ended_by_signal() as ended:
        try:
            with open_stage(options.ports, lambda in_force: _report_reload(lines, in_force=in_force)) as stage:
                return _play(stage, options, screen, lines, ended)
        except (StageError, EnvoyError, GenerationError, TransportError, OSError, http.client.HTTPException) as error:
            # Ctrl-C reaches every process of the terminal: an Envoy or a compiler that is gone by then is no error.
            if ended.is_set():
                return INTERRUPTED
            print(error, file=sys.stderr)
            return FAILED


@contextmanager
def ended_by_signal() -> Iterator[Event]:
    """Set an event on each signal that ends us, and raise nothing: an exception could come in the middle of an end."""
    ended = Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _play(stage: Stage, options: DemoOptions, screen: Screen, lines: _Lines, ended: Event) -> int:
    screen.show(_up_lines(stage))
    wrong = _tour(stage, options.steps, screen, ended.is_set)
    if wrong is None:
        return INTERRUPTED
    if options.stay:
        screen.show(stay_lines(stage.envoy.port, str(stage.policy)))
        stage.journal.listen(lambda decision, decision_id: _report(lines, decision, decision_id))
        _stay(screen, lines, ended)
    return FAILED if wrong else 0


def _up_lines(stage: Stage) -> Iterator[Line]:
    yield Line("Up and listening", Tone.HEADING, indent=0)
    yield Line(f"Envoy     {stage.envoy}")
    yield Line(f"service   {stage.authz}   decides by {stage.policy}")
    yield Line(f"upstream  {stage.upstream.address}   remembers what reaches it")


def _tour(stage: Stage, steps: tuple[Step, ...], screen: Screen, is_over: Callable[[], bool]) -> int | None:
    """Lead the tour and count the stops that went wrong; None if it was ended before."""
    wrong = 0
    for number, stop in enumerate(stage.guide().lead(steps, is_over), 1):
        screen.show(stop_lines(number, stop))
        wrong += bool(stop.differences)
    if is_over():
        return None
    screen.show([Line("", indent=0), tour_line(len(steps) - wrong, wrong)])
    return wrong


def _stay(screen: Screen, lines: _Lines, ended: Event) -> None:
    # A wait without end would not notice a signal that another thread of the process was given.
    while not ended.is_set():
        try:
            screen.show([lines.get(timeout=_POLL_SECONDS)])
        except Empty:
            continue
    screen.show([Line("Ended.", Tone.HEADING, indent=0)])


def _report(lines: _Lines, decision: Decision, decision_id: str) -> None:
    line = decision_line(decision, decision_id)
    if line:
        lines.put(line)


def _report_reload(lines: _Lines, *, in_force: bool) -> None:
    # Of a version that is refused the store's log tells, on the standard error and with every mistake in it.
    if in_force:
        lines.put(Line("✓ the policy has been reloaded", Tone.GOOD, indent=0))
