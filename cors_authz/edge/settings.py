"""The settings of the service, validated once at start."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Final

from cors_authz.edge.audit.options import AuditOptions
from cors_authz.edge.metrics.options import MetricsOptions, refuse_ports
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.interface import Tls, TransportOptions
from cors_authz.envoy.address import MAX_SOCKET_PATH_BYTES, Address

MAX_WORKERS: Final = 128
"""More than any machine has use for; each takes tens of megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the service runs.

    Args:
        policy: the policy's file or directory.
        environment: where the service runs.
        listen: `host:port` or `unix:/path`, of the first worker where there are several.
        workers: how many processes serve, each with an endpoint of its own.
        transport: how each of them serves.
        grpc_experiments: the value of GRPC_EXPERIMENTS; None lets the service choose.
        audit: how each decision is recorded; None records none.
        metrics: where metrics are read; None shows them to nobody.
        drain_seconds: for Envoy to notice that we leave.
        grace_seconds: for checks that are under way then.
        log_level: `debug`, `info`, `warning` or `error`.
        log_format: `text` or `json`.
    """

    policy: Path
    environment: str
    listen: str
    workers: int = 1
    transport: TransportOptions = field(default_factory=TransportOptions)
    grpc_experiments: str | None = None
    audit: AuditOptions | None = None
    metrics: MetricsOptions | None = None
    drain_seconds: float = 2.5
    grace_seconds: float = 5.0
    log_level: str = "info"
    log_format: str = "text"

    def __post_init__(self) -> None:
        """Refuse what cannot be, before anything is started.

        Raises: SettingsError.
        """
        for name, seconds in (("drain-seconds", self.drain_seconds), ("grace-seconds", self.grace_seconds)):
            # Not-a-number is within no range, and passes every test that asks for what is outside of one.
            if not 0 <= seconds < inf:
                raise SettingsError(f"{name}: `{seconds}` is no time; write a number of seconds, 0 or more")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise SettingsError(f"workers: `{self.workers}` cannot be; write 1 to {MAX_WORKERS}, or auto")
        if self.transport.tls is not None:
            _refuse_unreadable(self.transport.tls)
        try:
            address = Address.parse(self.listen)
        except ValueError as error:
            raise SettingsError(f"listen: {error}") from error
        if address.path:
            self._refuse_socket(address)
        else:
            refuse_ports("listen", address.port, self.workers)

    def endpoints(self) -> tuple[str, ...]:
        """Give the address of each worker: as it is given for one; else the ports from it on, or `/path-0`, `/path-1`.

        With port 0, each worker lets the system choose.
        """
        if self.workers == 1:
            return (self.listen,)
        first = Address.parse(self.listen)
        return tuple(str(first.of_worker(number)) for number in range(self.workers))

    def _refuse_socket(self, address: Address) -> None:
        if not address.path.startswith("/"):
            raise SettingsError(f"listen: `{self.listen}` has no absolute path; write unix:/run/cors-authz.sock")
        path = Address.parse(self.endpoints()[-1]).path
        if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise SettingsError(f"listen: `{path}` is longer than the {MAX_SOCKET_PATH_BYTES} bytes of a socket's path")


def tls_of(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """Take the three paths of TLS together; None of all is none.

    Raises: SettingsError where one is missing that another needs.
    """
    if certificate is None and key is None:
        if client_ca is not None:
            raise SettingsError("tls-client-ca: nothing is served by TLS; name tls-cert and tls-key too")
        return None
    if certificate is None or key is None:
        absent = "tls-cert" if certificate is None else "tls-key"
        raise SettingsError(f"{absent}: a certificate and its key go together; name both")
    return Tls(certificate, key, client_ca)


def _refuse_unreadable(tls: Tls) -> None:
    for name, path in (("tls-cert", tls.certificate), ("tls-key", tls.key), ("tls-client-ca", tls.client_ca)):
        if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
            raise SettingsError(f"{name}: `{path}` is no file that we may read; name a PEM file")
