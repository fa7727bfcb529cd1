"""The streams by which Envoys send their access log: bounded in number, in silence and in what they may send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event, Lock
from typing import Final

import grpc

from cors_authz.edge.access_log.figures import Ending, Fate, Figures
from cors_authz.edge.access_log.inbox import Inbox
from cors_authz.edge.access_log.options import StreamBounds
from cors_authz.envoy.access_log import Outline, outline

_SWEEP_SECONDS: Final = 0.5
_NO_ROOM: Final = "too many streams are open; try again, or ask another instance"
_NO_IDENTIFIER: Final = "the first message of a stream must say whose it is"
_GARBAGE: Final = "not a StreamAccessLogsMessage"
_TOO_MANY: Final = "more entries than a message of an Envoy holds"


class _Stream:
    """One open stream: when it was last heard, and whether it said whose it is."""

    __slots__ = ("context", "heard", "is_identified")

    def __init__(self, context: grpc.ServicerContext, now: float) -> None:
        self.context, self.heard, self.is_identified = context, now, False


class Streams:
    """Takes the messages of all streams to an inbox.

    Args:
        inbox: takes the entries.
        figures: counts.
        clock: gives seconds that never go back.
        bounds: how much senders can take.
    """

    def __init__(self, inbox: Inbox, figures: Figures, clock: Callable[[], float], bounds: StreamBounds) -> None:
        self._inbox, self._figures, self._clock, self._bounds = inbox, figures, clock, bounds
        self._lock = Lock()
        self._open: set[_Stream] = set()
        self._asking: set[_Stream] = set()

    def take(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Serve `AccessLogService/StreamAccessLogs`: take what comes until the sender ends the stream.

        Returns: a serialized StreamAccessLogsResponse, which is empty.
        """
        stream = _Stream(context, self._clock())
        if not self._admit(stream):
            self._end(stream, Ending.REFUSED, grpc.StatusCode.RESOURCE_EXHAUSTED, _NO_ROOM)
        try:
            for raw in messages:
                stream.heard = self._clock()
                self._take(raw, stream)
        finally:
            self._leave(stream)
        return b""

    def only_message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Wait for the one message of another call, which is swept too; none is the empty one."""
        call = _Stream(context, self._clock())
        with self._lock:
            self._asking.add(call)
        try:
            return next(messages, b"")
        finally:
            with self._lock:
                self._asking.discard(call)

    def sweep_until(self, end: Event) -> None:
        """End those that have been silent for too long, until the end."""
        while not end.wait(_SWEEP_SECONDS):
            self.sweep()

    def sweep(self) -> None:
        """End those that have been silent for too long."""
        now = self._clock()
        with self._lock:
            streams, asking = list(self._open), list(self._asking)
        is_crowded = len(streams) >= self._bounds.streams
        for stream in streams:
            if now - stream.heard > self._patience_seconds(stream, is_crowded=is_crowded):
                self._figures.ended(Ending.IDLE if stream.is_identified else Ending.UNIDENTIFIED)
                stream.context.cancel()
        for call in asking:
            if now - call.heard > self._bounds.crowded_seconds:
                call.context.cancel()

    def _patience_seconds(self, stream: _Stream, *, is_crowded: bool) -> float:
        if is_crowded:
            return self._bounds.crowded_seconds
        return self._bounds.idle_seconds if stream.is_identified else self._bounds.identify_seconds

    def _admit(self, stream: _Stream) -> bool:
        with self._lock:
            has_room = len(self._open) < self._bounds.streams
            if has_room:
                self._open.add(stream)
            self._figures.streams(len(self._open))
            return has_room

    def _leave(self, stream: _Stream) -> None:
        with self._lock:
            self._open.discard(stream)
            self._figures.streams(len(self._open))

    def _take(self, raw: bytes, stream: _Stream) -> None:
        held = outline(raw)
        if held is None:
            self._refuse(stream, 1, Ending.GARBAGE, _GARBAGE)
            return
        count = held.entries + held.tcp_entries
        if count > self._bounds.entries:
            # To read half a million empty entries takes seconds, in which no other message is compared.
            self._refuse(stream, count, Ending.GARBAGE, _TOO_MANY)
        elif not (stream.is_identified or held.is_identified):
            self._refuse(stream, count, Ending.UNIDENTIFIED, _NO_IDENTIFIER)
        else:
            stream.is_identified = True
            self._put(raw, held)

    def _refuse(self, stream: _Stream, count: int, why: Ending, details: str) -> None:
        self._figures.entries(Fate.UNREADABLE, count)
        self._end(stream, why, grpc.StatusCode.INVALID_ARGUMENT, details)

    def _put(self, raw: bytes, held: Outline) -> None:
        if held.tcp_entries:
            self._figures.entries(Fate.IGNORED, held.tcp_entries)
        if held.entries and not self._inbox.put(raw):
            self._figures.entries(Fate.DROPPED, held.entries)

    def _end(self, stream: _Stream, why: Ending, code: grpc.StatusCode, details: str) -> None:
        self._figures.ended(why)
        stream.context.abort(code, details)
