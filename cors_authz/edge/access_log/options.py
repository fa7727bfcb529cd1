"""How the listener of Envoy's access log runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from cors_authz.edge.audit.options import WriterOptions
from cors_authz.edge.metrics.options import MetricsOptions
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.interface import Tls
from cors_authz.envoy.address import Address

MAX_STREAMS: Final = 4096
"""Each holds a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBounds:
    """How much senders can take.

    Args:
        streams: how many there may be at once; each worker of an Envoy opens one.
        message_bytes: the longest message; an Envoy sends 16 KiB and what its last entry holds.
        entries: in one message; each of Envoy's own has over 100 bytes, so that none of its messages holds as many.
        waiting_bytes: of messages that wait to be compared.
        room_seconds: for which a message beyond that waits for room; then it is dropped, and counted.
        identify_seconds: within which a stream must say whose it is.
        idle_seconds: after which one that says nothing ends; its Envoy opens another with its next entry.
        crowded_seconds: the same bound where streams keep others out; an Envoy with requests sends each second.
    """

    streams: int = 256
    message_bytes: int = 1 << 20
    entries: int = 10_000
    waiting_bytes: int = 16 << 20
    room_seconds: float = 0.1
    identify_seconds: float = 10.0
    idle_seconds: float = 300.0
    crowded_seconds: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLogOptions:
    """How the listener runs.

    Args:
        listen: `host:port` or `unix:/path`.
        lines: where each delivery is written as a line of JSON, and how; None is nowhere.
        policy: the policy whose routes must be checked; None is every route.
        environment: where the service runs.
        sample_agreeing: the share of allowed requests that got what was decided of which lines are written, 0 to 1.
        metrics: where the metrics are read; None is nowhere.
        tls: the listener's certificate; None listens in the clear.
        bounds: how much senders can take.
        grace_seconds: at the end, for what Envoys still hold back: they send once a second.
    """

    listen: str
    lines: WriterOptions | None = None
    policy: Path | None = None
    environment: str = "prod"
    sample_agreeing: float = 1.0
    metrics: MetricsOptions | None = None
    tls: Tls | None = None
    bounds: StreamBounds = field(default_factory=StreamBounds)
    grace_seconds: float = 2.0

    def __post_init__(self) -> None:
        """Refuse what cannot be, before anything is started.

        Raises: SettingsError.
        """
        try:
            Address.parse(self.listen)
        except ValueError as error:
            raise SettingsError(f"listen: {error}") from error
        if not 0 <= self.sample_agreeing <= 1:
            raise SettingsError(f"sample-agreeing: `{self.sample_agreeing}` is no share; write a number from 0 to 1")
        if not 1 <= self.bounds.streams <= MAX_STREAMS:
            raise SettingsError(f"max-streams: `{self.bounds.streams}` cannot be; write 1 to {MAX_STREAMS}")
        if not 0 <= self.grace_seconds < inf:
            raise SettingsError(
                f"grace-seconds: `{self.grace_seconds}` is no time; write a number of seconds, 0 or more"
            )
        for path in (self.tls.certificate, self.tls.key, self.tls.client_ca) if self.tls else ():
            if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
                raise SettingsError(f"tls: `{path}` is no file that we may read; name a PEM file")
