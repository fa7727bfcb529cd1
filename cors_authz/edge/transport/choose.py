"""Which transport serves: the fast one where it works, the public one where it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import grpc

from cors_authz._gen.wire.health_pb2 import HealthCheckResponse
from cors_authz.edge.transport.health import Health, serialized
from cors_authz.edge.transport.interface import (
    CHECK_METHOD,
    HEALTH_CHECK_METHOD,
    Check,
    Metadata,
    Transport,
    TransportChoice,
    TransportOptions,
)
from cors_authz.edge.transport.sync import GrpcServerTransport

_log = logging.getLogger(__name__)

_TRIAL_ADDRESS: Final = "127.0.0.1:0"
_TRIAL_SECONDS: Final = 5.0
_TRIALS: Final = (
    (CHECK_METHOD, b"\x00abc\xff", b"\xffcba\x00"),
    (HEALTH_CHECK_METHOD, b"", serialized(HealthCheckResponse.SERVING)),
)
_FALLBACK: Final = (
    "transport: the completion-queue loop does not work with grpcio %s (%s); serving with grpc.server, at about"
    " twice the CPU per check"
)


class TrialError(Exception):
    """A transport did not answer as it must; the message says which call."""


class Maker(Protocol):
    """Makes a transport."""

    def __call__(
        self, check: Check, health: Health, clock: Callable[[], float], options: TransportOptions
    ) -> Transport:
        """Make it, not listening yet."""


def open_transport(check: Check, health: Health, clock: Callable[[], float], options: TransportOptions) -> Transport:
    """Make the transport that serves, not listening yet.

    By default the completion-queue loop is tried on loopback; if it does not answer as it must, `grpc.server` serves
    and a warning says why: the loop stands on a layer that any version of grpcio may change.

    Args:
        check: answers a check; see `Check`.
        health: what to say of our health.
        clock: gives the time in seconds since the epoch.
        options: how to serve; a transport that is named is made without a trial.
    """
    return _maker(options.choice, clock)(check, health, clock, options)


def try_out(make: Maker, clock: Callable[[], float]) -> None:
    """Let a transport answer a check and a health check on loopback.

    Raises: TrialError, or whatever the transport raises.
    """
    with _trial_channel(make, clock) as channel:
        for method, message, expected in _TRIALS:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            try:
                answer = call(message, timeout=_TRIAL_SECONDS)
            except grpc.RpcError as error:
                raise TrialError(f"{method} ended with {error}") from error
            if answer != expected:
                raise TrialError(f"{method} was answered {answer!r} where {expected!r} is right")


def _maker(choice: TransportChoice, clock: Callable[[], float]) -> Maker:
    if choice is TransportChoice.GRPC_SERVER:
        return GrpcServerTransport
    try:
        # Here, as a grpcio that has changed may fail as soon as its private layer is named.
        from cors_authz.edge.transport.completion_queue import CompletionQueueTransport

        if choice is TransportChoice.AUTO:
            try_out(CompletionQueueTransport, clock)
    except Exception as error:
        if choice is not TransportChoice.AUTO:
            raise
        _log.warning(_FALLBACK, grpc.__version__, error)
        return GrpcServerTransport
    return CompletionQueueTransport


@contextmanager
def _trial_channel(make: Maker, clock: Callable[[], float]) -> Iterator[grpc.Channel]:
    transport = make(_reversed, Health(), clock, TransportOptions())
    address = transport.listen(_TRIAL_ADDRESS)
    try:
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            yield channel
    finally:
        transport.drain(0, 0, lambda _seconds: None)


def _reversed(message: bytes, _metadata: Metadata) -> bytes:
    return message[::-1]
