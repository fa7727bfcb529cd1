"""The calls that end without a decision are counted, by why."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import grpc

from cors_authz.edge.metrics.catalogue import SHED
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.transport.choose import Maker
from cors_authz.edge.transport.completion_queue import CompletionQueueTransport
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import (
    CHECK_METHOD,
    OVERLOADED,
    TOO_LATE,
    Bounds,
    Check,
    Transport,
    TransportOptions,
)
from tests.contract.transports import Ended, Running, serve, until

Future: TypeAlias = Any  # the stubs know of no call that is also a future of bytes


def shed(running: Running, **counts: int) -> bool:
    """Tell whether these are the counts, and all others are zero."""
    return list(running.transport.samples()) == [
        Sample(SHED, (reason,), counts.get(reason, 0)) for reason in ("overloaded", "too_long", "too_late")
    ]


@contextmanager
def silent_call(running: Running) -> Iterator[Future]:
    """Begin a check, and send no message."""
    may_end = threading.Event()

    def nothing() -> Iterator[bytes]:
        may_end.wait(10)
        yield b"never"

    call: grpc.StreamUnaryMultiCallable[bytes, bytes] = running.channel.stream_unary(CHECK_METHOD)
    yield call.future(nothing(), timeout=10)
    may_end.set()


def test_calls_that_are_answered_or_have_no_method_are_not_counted(running: Running) -> None:
    running.check(b"ab")
    running.call("/no/such", b"ab")
    running.call(CHECK_METHOD)
    assert shed(running)


def test_calls_that_are_open_for_too_long_are_counted(make: Maker, address: str) -> None:
    options = TransportOptions(bounds=Bounds(call_seconds=0.3, crowded_seconds=0.3))
    with serve(make, address, options=options) as running, silent_call(running) as ended:
        assert until(ended.done)
        assert shed(running, too_long=1)


# In the fallback gRPC itself refuses what is beyond the bound, and looks at deadlines.


def test_calls_beyond_the_bound_are_counted(address: str) -> None:
    options = TransportOptions(bounds=Bounds(concurrent=1, crowded_seconds=10))
    with (
        serve(CompletionQueueTransport, address, options=options) as running,
        silent_call(running) as one,
        silent_call(running) as other,
    ):
        assert until(lambda: bool(one.done() or other.done()))
        assert shed(running, overloaded=1)
        assert running.check(b"ab") == Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, OVERLOADED)
        assert shed(running, overloaded=2)


def test_calls_past_their_deadline_are_counted(address: str) -> None:
    def make_ahead(check: Check, health: Health, clock: Callable[[], float], options: TransportOptions) -> Transport:
        return CompletionQueueTransport(check, health, lambda: clock() + 3600, options)

    with serve(make_ahead, address) as running:
        assert running.check(b"ab") == Ended(grpc.StatusCode.DEADLINE_EXCEEDED, TOO_LATE)
        assert shed(running, too_late=1)
