"""`cors-authz observe`: decisions and their traces on this terminal, of any service or of a demo."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

from cors_authz.demo.child import ChildError
from cors_authz.demo.envoy_process import EnvoyError
from cors_authz.demo.live import Feed, draw, ended_line, tell
from cors_authz.demo.observatory import ObservatoryOptions, open_observatory
from cors_authz.demo.receiver import Receiver
from cors_authz.demo.run import FAILED, ended_by_signal
from cors_authz.demo.screen import Line, Screen
from cors_authz.demo.stage import StageError
from cors_authz.envoy.address import Address


@dataclass(frozen=True, slots=True)
class ObserveOptions:
    """What is shown, and how.

    Attributes:
        listen: where spans and records are taken by OTLP/gRPC; not used where there is a demo.
        demo: the demo to start and watch; None watches whoever sends.
        lines: write line after line; else draw a screen anew, where the output is a terminal.
        once: end after the first decision.
    """

    listen: Address
    demo: ObservatoryOptions | None = None
    lines: bool = False
    once: bool = False


def run_observe(options: ObserveOptions) -> int:
    """Show decisions in the main thread until a signal ends it; leave nothing running and no file.

    Returns: 0; 1 if something does not come up.
    """
    feed = Feed()
    with ended_by_signal() as ended:
        try:
            with _source(options, feed) as up:
                _show(options, feed, up, ended)
        except (StageError, EnvoyError, ChildError, OSError) as error:
            # Ctrl-C reaches every process of the terminal: a part that is gone by then is no error.
            if not ended.is_set():
                print(error, file=sys.stderr)
                return FAILED
    return 0


def _show(options: ObserveOptions, feed: Feed, up: Sequence[str], ended: Event) -> None:
    screen = Screen(sys.stdout, colour=True)
    if options.lines or options.once or not sys.stdout.isatty():
        screen.show(Line(text, indent=0) for text in up)
        tell(feed, screen, ended, once=options.once)
    else:
        draw(feed, screen.console, up, ended)
    if not options.once:
        screen.show([ended_line(feed.board)])


@contextmanager
def _source(options: ObserveOptions, feed: Feed) -> Iterator[Sequence[str]]:
    if options.demo is not None:
        with open_observatory(options.demo, feed) as up:
            yield up
        return
    with Receiver(options.listen, feed.sink()) as receiver:
        yield (f"Spans and records are taken at OTEL_EXPORTER_OTLP_ENDPOINT=http://{receiver.address}",)
