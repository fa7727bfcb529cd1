"""The default transport: one thread that polls gRPC's completion queue and answers each check where it stands.

This is the layer that `grpc.server` is built on, without its threads: a call costs a third of the CPU. The layer is
private to grpcio. Nothing else in the package touches it; `choose.py` tries it before it is trusted, and one contract
suite runs over this transport and over the public one, with the oldest and the newest grpcio.

Core completes a batch of operations by handing back the batch's tag. Here every tag is what to do next:

    begin -> message -> answer -> ended
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from threading import Thread
from typing import Any, Final, TypeAlias

from grpc._cython import cygrpc  # type: ignore[attr-defined] # private: nothing describes it

from cors_authz._gen.wire.health_pb2 import HealthCheckResponse
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.transport.address import bound, claim, in_use
from cors_authz.edge.transport.answer import answer
from cors_authz.edge.transport.health import SERVICE, Health, serialized, service_asked
from cors_authz.edge.transport.interface import (
    CHECK_METHOD,
    HEALTH_CHECK_METHOD,
    HEALTH_WATCH_METHOD,
    LEAVING,
    NO_HEALTH_REQUEST,
    NO_MESSAGE,
    NO_SUCH_METHOD,
    NO_SUCH_SERVICE,
    NOT_DECIDED,
    OVERLOADED,
    TOO_LATE,
    TOO_LONG,
    TOO_MANY_WATCHERS,
    Check,
    TransportOptions,
    core_arguments,
)
from cors_authz.edge.transport.shed import Shed
from cors_authz.edge.transport.tls import server_credentials

_log = logging.getLogger(__name__)

# grpcio describes none of these to a type checker.
_Call: TypeAlias = Any
_Event: TypeAlias = Any
_Respond: TypeAlias = Callable[[_Event, bytes], None]

_TICK_SECONDS: Final = 0.1
_STUCK_SECONDS: Final = 5.0
"""How much longer than its grace a drain waits for a check that does not come back."""

# One object each for all calls: these hold nothing of a call. What has details or a message must be made anew.
_NO_FLAGS: Final = 0
_INITIAL_METADATA: Final = cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)
_STATUS_OK: Final = cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.ok, b"", _NO_FLAGS)
_CLOSE: Final = cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS)

_ReceiveMessage: Final = cygrpc.ReceiveMessageOperation
_SendMessage: Final = cygrpc.SendMessageOperation


class CompletionQueueTransport:
    """Serves from one thread; see `Transport`.

    Args:
        check: answers a check, on the transport's thread. If it raises, the call ends with INTERNAL.
        health: what to say of our health.
        clock: gives the time in seconds since the epoch, which gRPC's deadlines are told in.
        options: how to serve.
    """

    def __init__(self, check: Check, health: Health, clock: Callable[[], float], options: TransportOptions) -> None:
        self._check, self._health, self._clock = check, health, clock
        self._tls, self._bounds = options.tls, options.bounds
        self._methods = {
            CHECK_METHOD.encode(): self._answer_check,
            HEALTH_CHECK_METHOD.encode(): self._answer_health,
            HEALTH_WATCH_METHOD.encode(): self._begin_watch,
        }
        self._open: dict[_Call, float] = {}  # when each call began, the oldest first
        self._watchers: dict[_Call, _Watcher] = {}
        self._shed = Shed()
        self._now = clock()
        self._grace_seconds: float | None = None
        self._ends_at: float | None = None
        self._is_shut = False
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(core_arguments(options.bounds), False)  # noqa: FBT003 - the layer's own order: no xDS
        self._server.register_completion_queue(self._queue)
        self._poller = Thread(target=self._run, name="checks", daemon=True)

    def listen(self, address: str) -> str:
        """Bind and serve; see `Transport`."""
        claim(address)
        port = self._server.add_http2_port(address.encode(), self._credentials())
        if not port:
            raise in_use(address)
        self._server.start()
        # As many as may be under way at once: a call that waits in core is one that cannot be refused in time.
        for _ in range(self._bounds.concurrent):
            self._await_call()
        self._health.say(SERVICE, serving=True)
        self._poller.start()
        return bound(address, port)

    def drain(self, notice_seconds: float, grace_seconds: float, wait: Callable[[float], object]) -> None:
        """Say NOT_SERVING, wait, then finish what is under way; see `Transport`."""
        self._health.say(SERVICE, serving=False)
        wait(notice_seconds)
        self._grace_seconds = grace_seconds
        if self._poller.is_alive():
            self._poller.join(grace_seconds + _STUCK_SECONDS)

    def samples(self) -> Iterable[Sample]:
        """Read how many calls ended without a decision; see `Transport`."""
        return self._shed.samples()

    def _credentials(self) -> object | None:
        return self._tls and server_credentials(self._tls)._credentials  # type: ignore[attr-defined] # noqa: SLF001

    # The loop.

    def _run(self) -> None:
        poll, clock = self._queue.poll, self._clock
        now = ticked = clock()
        while True:
            event = poll(now + _TICK_SECONDS)
            self._now = now = clock()
            if event.tag is not None:
                self._proceed(event)
            elif event.completion_type == cygrpc.CompletionType.queue_shutdown:
                self._server.destroy()
                return
            # An event that lives on keeps its call alive, and core waits for the call.
            del event
            if not ticked <= now < ticked + _TICK_SECONDS:
                ticked = now
                self._tick()

    def _proceed(self, event: _Event) -> None:
        try:
            event.tag(event)
        except Exception:  # noqa: BLE001 - the sweep ends the call; the loop serves on
            _log.exception("a call was given up")

    def _tick(self) -> None:
        self._cancel_old_calls(self._bounds.call_seconds)
        for watcher in self._watchers.values():
            self._tell(watcher)
        if self._grace_seconds is not None:
            self._leave(self._grace_seconds)

    # A call, from its first header to its last byte.

    def _await_call(self) -> None:
        self._server.request_call(self._queue, self._queue, self._begin)

    def _begin(self, request: _Event) -> None:
        if not request.success:  # the server is shutting down, and takes back what it was asked for
            return
        if self._ends_at is None:
            self._await_call()
        call = request.call
        respond = self._methods.get(request.call_details.method)
        if respond is None:
            self._refuse(call, cygrpc.StatusCode.unimplemented, NO_SUCH_METHOD)
        elif len(self._open) >= self._bounds.concurrent and not self._cancel_old_calls(self._bounds.crowded_seconds):
            self._shed.overloaded += 1
            self._refuse(call, cygrpc.StatusCode.resource_exhausted, OVERLOADED)
        else:
            self._open[call] = self._now
            call.start_server_batch((_ReceiveMessage(_NO_FLAGS),), partial(self._message, request, respond))

    def _message(self, request: _Event, respond: _Respond, event: _Event) -> None:
        call, message = request.call, event.batch_operations[0].message()
        if call not in self._open:  # swept
            return
        if message is None:  # none was sent, or the call is over: cancelled, too late, too long
            self._refuse(call, cygrpc.StatusCode.unimplemented, NO_MESSAGE)
        elif self._now >= request.call_details.deadline:
            self._shed.too_late += 1
            self._refuse(call, cygrpc.StatusCode.deadline_exceeded, TOO_LATE)
        else:
            respond(request, message)

    def _answer_check(self, request: _Event, message: bytes) -> None:
        answered = answer(self._check, message, request.invocation_metadata)
        if answered is None:
            self._refuse(request.call, cygrpc.StatusCode.internal, NOT_DECIDED)
        else:
            self._reply(request.call, answered)

    def _reply(self, call: _Call, message: bytes) -> None:
        call.start_server_batch(
            (_INITIAL_METADATA, _SendMessage(message, _NO_FLAGS), _STATUS_OK, _CLOSE), partial(self._ended, call)
        )

    def _refuse(self, call: _Call, code: int, details: str) -> None:
        status = cygrpc.SendStatusFromServerOperation(None, code, details, _NO_FLAGS)
        call.start_server_batch((_INITIAL_METADATA, status, _CLOSE), partial(self._ended, call))

    def _ended(self, call: _Call, _event: _Event) -> None:
        self._open.pop(call, None)
        self._end_if_empty()

    def _cancel_old_calls(self, seconds: float) -> bool:
        old = []
        for call, began in self._open.items():
            # A clock that was set back makes calls of the future: they are as old as any.
            if 0 <= self._now - began < seconds:
                break
            old.append(call)
        for call in old:
            del self._open[call]
            self._shed.too_long += 1
            call.cancel(cygrpc.StatusCode.resource_exhausted, TOO_LONG)
        return bool(old)

    # Health.

    def _answer_health(self, request: _Event, message: bytes) -> None:
        name = service_asked(message)
        if name is None:
            self._refuse(request.call, cygrpc.StatusCode.invalid_argument, NO_HEALTH_REQUEST)
            return
        status = self._health.status(name)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            self._refuse(request.call, cygrpc.StatusCode.not_found, NO_SUCH_SERVICE)
        else:
            self._reply(request.call, serialized(status))

    def _begin_watch(self, request: _Event, message: bytes) -> None:
        name, call = service_asked(message), request.call
        if name is None:
            self._refuse(call, cygrpc.StatusCode.invalid_argument, NO_HEALTH_REQUEST)
        elif len(self._watchers) >= self._bounds.watchers:
            self._refuse(call, cygrpc.StatusCode.resource_exhausted, TOO_MANY_WATCHERS)
        else:
            del self._open[call]
            self._watchers[call] = watcher = _Watcher(call, name)
            call.start_server_batch((_INITIAL_METADATA,), _nothing_more)
            call.start_server_batch((_CLOSE,), partial(self._watch_ended, call))
            self._tell(watcher)

    def _tell(self, watcher: _Watcher) -> None:
        status = self._health.status(watcher.name)
        # One message at a time: a watcher that does not read is owed the newest status, not all of them.
        if watcher.is_being_told or status == watcher.told:
            return
        watcher.told, watcher.is_being_told = status, True
        message = _SendMessage(serialized(status), _NO_FLAGS)
        watcher.call.start_server_batch((message,), watcher.was_told)

    def _watch_ended(self, call: _Call, _event: _Event) -> None:
        del self._watchers[call]
        self._end_if_empty()

    # The end.

    def _leave(self, grace_seconds: float) -> None:
        if self._ends_at is None:
            self._ends_at = self._now + grace_seconds
            # A status that is sent, and before the end begins: core drops a cancelled call's with its connection.
            leaving = cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.unavailable, LEAVING, _NO_FLAGS)
            for call in self._watchers:
                call.start_server_batch((leaving,), _nothing_more)
            self._server.shutdown(self._queue, self._shut)
        if self._now >= self._ends_at:
            self._server.cancel_all_calls()

    def _shut(self, _event: _Event) -> None:
        self._is_shut = True
        self._end_if_empty()

    def _end_if_empty(self) -> None:
        # A queue that is shutting down takes no further batch, and an open call may begin one.
        if self._is_shut and not self._open and not self._watchers:
            self._queue.shutdown()


class _Watcher:
    """A parked call: it costs no thread."""

    __slots__ = ("call", "is_being_told", "name", "told")

    def __init__(self, call: _Call, name: str) -> None:
        self.call, self.name = call, name
        self.told: int | None = None
        self.is_being_told = False

    def was_told(self, _event: _Event) -> None:
        self.is_being_told = False


def _nothing_more(_event: _Event) -> None:
    """Close a step that nothing follows."""
