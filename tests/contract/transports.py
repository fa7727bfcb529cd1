"""Transports over real connections, for the contract that all of them keep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import grpc

from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse
from cors_authz.edge.clock import now_seconds
from cors_authz.edge.transport.choose import Maker
from cors_authz.edge.transport.completion_queue import CompletionQueueTransport
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import (
    CHECK_METHOD,
    HEALTH_CHECK_METHOD,
    Check,
    Metadata,
    Transport,
    TransportOptions,
)
from cors_authz.edge.transport.sync import GrpcServerTransport

TIMEOUT: Final = 10
MAKERS: Final[dict[str, Maker]] = {"completion queue": CompletionQueueTransport, "grpc.server": GrpcServerTransport}
NOT_SERVING: Final = HealthCheckResponse.NOT_SERVING
SERVING: Final = HealthCheckResponse.SERVING


def backwards(raw: bytes, _metadata: Metadata) -> bytes:
    """Answer a check with its own bytes, reversed."""
    return raw[::-1]


class Ended(NamedTuple):
    """How a call ended that was not answered."""

    code: grpc.StatusCode
    details: str


@dataclass(frozen=True, slots=True)
class Running:
    """A transport that listens, and a channel to it."""

    transport: Transport
    health: Health
    channel: grpc.Channel
    address: str

    def call(self, method: str, *messages: bytes, timeout: float = TIMEOUT) -> bytes | Ended:
        """Call a method with any number of messages."""
        call: grpc.StreamUnaryMultiCallable[bytes, bytes] = self.channel.stream_unary(method)
        try:
            return call(iter(messages), timeout=timeout)
        except grpc.RpcError as error:
            return Ended(error.code(), error.details() or "")

    def check(self, message: bytes, timeout: float = TIMEOUT) -> bytes | Ended:
        """Ask for a check."""
        return self.call(CHECK_METHOD, message, timeout=timeout)

    def status_of(self, name: str) -> HealthCheckResponse.ServingStatus | Ended:
        """Ask for the health of something by its name."""
        answer = self.call(HEALTH_CHECK_METHOD, HealthCheckRequest(service=name).SerializeToString())
        return answer if isinstance(answer, Ended) else HealthCheckResponse.FromString(answer).status


@contextmanager
def serve(
    make: Maker, address: str, check: Check = backwards, options: TransportOptions | None = None
) -> Iterator[Running]:
    """Serve for a while, on loopback or a Unix socket, in the clear."""
    health = Health()
    transport = make(check, health, now_seconds, options or TransportOptions())
    listening = transport.listen(address)
    try:
        # A pool of its own: channels with the same target share a connection.
        with grpc.insecure_channel(listening, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            yield Running(transport, health, channel, listening)
    finally:
        transport.drain(0, 0, lambda _seconds: None)


def until(is_so: Callable[[], bool], seconds: float = TIMEOUT) -> bool:
    """Wait for something to become so; tell whether it did."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
