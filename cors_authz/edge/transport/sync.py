"""The fallback transport: `grpc.server`, the public layer, with handlers that see raw bytes.

It keeps the same promises at about twice the CPU: every call has a thread of its own, a silent one until the
sweep cancels it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import BoundedSemaphore, Event, Thread
from typing import Any, Final, NoReturn

import grpc

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
    NO_SUCH_SERVICE,
    NOT_DECIDED,
    TOO_MANY_WATCHERS,
    Check,
    TransportOptions,
    core_arguments,
)
from cors_authz.edge.transport.shed import Shed
from cors_authz.edge.transport.tls import server_credentials

_SWEEP_SECONDS: Final = 0.1


class GrpcServerTransport:
    """Serves with `grpc.server`; see `Transport`.

    Args:
        check: answers a check, on one of the transport's threads. If it raises, the call ends with INTERNAL.
        health: what to say of our health.
        clock: gives the time in seconds since the epoch.
        options: how to serve.
    """

    def __init__(self, check: Check, health: Health, clock: Callable[[], float], options: TransportOptions) -> None:
        bounds = options.bounds
        self._health, self._tls, self._leaving = health, options.tls, Event()
        self._shed = Shed()
        self._silent = _SilentCalls(clock, bounds.crowded_seconds, self._shed)
        self._server = grpc.server(
            # One for each call, as a silent one holds its own until it is swept; threads begin when they are needed.
            ThreadPoolExecutor(bounds.concurrent, thread_name_prefix="check", initializer=_wake_without_preempting),
            options=core_arguments(bounds),
            maximum_concurrent_rpcs=bounds.concurrent,
        )
        self._server.add_generic_rpc_handlers((_Handlers(check, health, self._silent, self._leaving, bounds.watchers),))

    def listen(self, address: str) -> str:
        """Bind and serve; see `Transport`."""
        claim(address)
        try:
            port = self._add_port(address)
        except RuntimeError as error:
            raise in_use(address) from error
        self._server.start()
        Thread(target=self._silent.sweep_until, args=(self._leaving,), name="sweep", daemon=True).start()
        self._health.say(SERVICE, serving=True)
        return bound(address, port)

    def drain(self, notice_seconds: float, grace_seconds: float, wait: Callable[[float], object]) -> None:
        """Say NOT_SERVING, wait, then finish what is under way; see `Transport`."""
        self._health.say(SERVICE, serving=False)
        wait(notice_seconds)
        self._leaving.set()
        self._health.wake()
        self._server.stop(grace_seconds).wait()

    def samples(self) -> Iterable[Sample]:
        """Read how many calls ended without a decision; see `Transport`. Those beyond the bound are refused by gRPC."""
        return self._shed.samples()

    def _add_port(self, address: str) -> int:
        if self._tls is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, server_credentials(self._tls))


class _SilentCalls:
    """Calls whose message has not come: each holds a thread, and an honest message comes with its call."""

    def __init__(self, clock: Callable[[], float], seconds: float, shed: Shed) -> None:
        self._clock, self._seconds, self._shed = clock, seconds, shed
        # Its single operations are atomic: a lock around them would be held by every check.
        self._began: dict[grpc.ServicerContext, float] = {}

    def message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Wait for the message of a call; a call with none ends here."""
        self._began[context] = self._clock()
        try:
            message = next(messages, None)
        finally:
            self._began.pop(context, None)
        if message is None:
            _refuse(context, grpc.StatusCode.UNIMPLEMENTED, NO_MESSAGE)
        return message

    def sweep_until(self, end: Event) -> None:
        """Cancel those that have waited too long, until the end."""
        swept = self._clock()
        while not end.wait(_SWEEP_SECONDS):
            now, before = self._clock(), swept
            swept = now
            # Where the sweep itself comes late, those who wait had no processor either.
            if 0 <= now - before < 2 * _SWEEP_SECONDS:
                self._cancel_silent(now)

    def _cancel_silent(self, now: float) -> None:
        for context, began in self._began.copy().items():
            # A clock that was set back makes calls of the future: they are as old as any.
            if not 0 <= now - began < self._seconds and self._began.pop(context, None) is not None:
                self._shed.too_long += 1
                context.cancel()


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, check: Check, health: Health, silent: _SilentCalls, leaving: Event, watchers: int) -> None:
        self._check, self._health, self._silent, self._leaving = check, health, silent, leaving
        self._watchers = BoundedSemaphore(watchers)
        # Streams of requests, of which one is taken: a handler of one request shows no call without one.
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            CHECK_METHOD: grpc.stream_unary_rpc_method_handler(self._answer_check),
            HEALTH_CHECK_METHOD: grpc.stream_unary_rpc_method_handler(self._answer_health),
            HEALTH_WATCH_METHOD: grpc.stream_stream_rpc_method_handler(self._watch_health),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Find the handler of a method; None is answered UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)

    def _answer_check(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        raw = self._silent.message(messages, context)
        answered = answer(self._check, raw, context.invocation_metadata())
        if answered is None:
            _refuse(context, grpc.StatusCode.INTERNAL, NOT_DECIDED)
        return answered

    def _answer_health(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        status = self._health.status(self._service_asked(messages, context))
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            _refuse(context, grpc.StatusCode.NOT_FOUND, NO_SUCH_SERVICE)
        return serialized(status)

    def _watch_health(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        name = self._service_asked(messages, context)
        if not self._watchers.acquire(blocking=False):
            _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, TOO_MANY_WATCHERS)

        def is_listening() -> bool:
            return context.is_active() and not self._leaving.is_set()

        try:
            yield from map(serialized, self._health.changes(name, is_listening))
        finally:
            self._watchers.release()
        _refuse(context, grpc.StatusCode.UNAVAILABLE, LEAVING)

    def _service_asked(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> str:
        name = service_asked(self._silent.message(messages, context))
        if name is None:
            _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, NO_HEALTH_REQUEST)
        return name


def _wake_without_preempting() -> None:
    # Whoever is woken for a check wants the interpreter, and would take the core from the thread that still holds it:
    # two switches for nothing, a sixth of a check's cost. Where the system knows no such class, that is paid.
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _refuse(context: grpc.ServicerContext, code: grpc.StatusCode, details: str) -> NoReturn:
    context.abort(code, details)
    raise AssertionError("abort raises")
