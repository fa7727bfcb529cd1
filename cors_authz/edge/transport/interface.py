"""What every transport promises: a check is a function from bytes to bytes, and each bound is known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from cors_authz.edge.metrics.sample import Sample

CHECK_METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"
HEALTH_CHECK_METHOD: Final = "/grpc.health.v1.Health/Check"
HEALTH_WATCH_METHOD: Final = "/grpc.health.v1.Health/Watch"

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]
Check: TypeAlias = Callable[[bytes, Metadata], bytes]
"""Answers a serialized CheckRequest and the metadata of its call with a serialized CheckResponse."""

NO_MESSAGE: Final = "a message makes this call, and none came"
OVERLOADED: Final = "too many calls are under way; ask another instance"
TOO_LONG: Final = "the call was open for too long, and made room"
TOO_LATE: Final = "the deadline passed before the decision"
NOT_DECIDED: Final = "the check failed; nothing was decided"
NO_SUCH_METHOD: Final = "no such method"
NO_SUCH_SERVICE: Final = "no such service"
NO_HEALTH_REQUEST: Final = "not a HealthCheckRequest"
TOO_MANY_WATCHERS: Final = "too many watch our health; ask Check instead"
LEAVING: Final = "this instance is going away"


class TransportError(Exception):
    """The transport cannot listen; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of the service's certificate chain and key; with `client_ca`, callers must show a certificate of its.

    The files are read again when they change: a rotated certificate needs no restart.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


def tls_words(tls: Tls | None) -> str:
    """Say for the log whether TLS is served, and whether callers must show a certificate."""
    if tls is None:
        return "TLS off"
    return f"TLS on, callers need {'a' if tls.client_ca else 'no'} certificate"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a client can take.

    Args:
        message_bytes: the longest message; Envoy's headers are 60 KiB unless it is told otherwise, and 8 MiB at most.
        concurrent: what is asked beyond this is answered RESOURCE_EXHAUSTED at once, and Envoy retries elsewhere.
        call_seconds: the loop cancels a call this old, be its client silent or deaf; ext_authz waits a second at most.
        crowded_seconds: the same bound where calls that wait for their client keep others out.
        watchers: how many may watch our health at once.
    """

    message_bytes: int = 1024 * 1024
    concurrent: int = 512
    call_seconds: float = 30.0
    crowded_seconds: float = 0.1
    watchers: int = 16


@unique
class TransportChoice(StrEnum):
    """Which transport serves."""

    AUTO = "auto"
    """The completion-queue loop where it works, and else `grpc.server`."""
    COMPLETION_QUEUE = "completion-queue"
    GRPC_SERVER = "grpc-server"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportOptions:
    """How to serve.

    Args:
        choice: with which transport.
        tls: the service's certificate; None serves in the clear.
        bounds: how much a client can take.
    """

    choice: TransportChoice = TransportChoice.AUTO
    tls: Tls | None = None
    bounds: Bounds = Bounds()


class Transport(Protocol):
    """A gRPC server for Envoy's checks and for gRPC's health. It listens once and drains once."""

    def listen(self, address: str) -> str:
        """Bind to `host:port` or `unix:/path` and serve; port 0 picks a free one.

        Returns: the address that it listens on.
        Raises: TransportError.
        """

    def drain(self, notice_seconds: float, grace_seconds: float, wait: Callable[[float], object]) -> None:
        """Leave the mesh without a failed request: say so, let Envoy notice, then finish what is under way.

        Args:
            notice_seconds: how long to say NOT_SERVING while serving on.
            grace_seconds: how long calls under way may take then, before they are cancelled.
            wait: waits that many seconds.
        """

    def samples(self) -> Iterable[Sample]:
        """Read how many calls ended without a decision, as far as they reached us; a `Source`."""


def core_arguments(bounds: Bounds) -> list[tuple[str, int]]:
    """Give the channel arguments of gRPC's core that hold the bounds where Python never sees the call."""
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", bounds.message_bytes),
        # Only as it stands: a bound on messages bounds little where each may unfold to a thousand times its size.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        # What a client sends before it knows of a bound is reset beyond it, and looks like a server that is away.
        ("grpc.max_concurrent_streams", 2 * bounds.concurrent),
        # Calls that nobody has taken yet: the last resort, as core ends them with CANCELLED. grpcio 1.66 has no such
        # bound, and knows the names all the same.
        ("grpc.server.max_pending_requests", 8 * bounds.concurrent),
        ("grpc.server.max_pending_requests_hard_limit", 8 * bounds.concurrent),
        # A connection that never says hello, one whose peer is gone, and one that nobody uses.
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_connection_idle_ms", 600_000),
        # Envoy's `connection_keepalive` pings idle connections; two pings in five minutes would count as abuse.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]
