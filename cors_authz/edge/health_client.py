"""The health of a running service, asked from outside by gRPC's health protocol."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.health import POLICY, SERVICE
from cors_authz.edge.transport.interface import HEALTH_CHECK_METHOD
from cors_authz.envoy.address import Address
from cors_authz.policy.finding import MAX_SHOWN_CHARACTERS, shown, ticked

_MAX_ANSWER_BYTES: Final = 1024
_CAUSE: Final = "last error: "
_MISFIT: Final = "not an authority's certificate, or not a certificate chain and the key that belongs to it"
_WHY: Final = ": the newest policy is not in force; the service's log says why"
_STATUS: Final = {number: name for name, number in HealthCheckResponse.ServingStatus.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerTls:
    """How a service that serves by TLS is spoken to: PEM files.

    Args:
        ca: who signed the service's certificate.
        name: what that certificate names; None is the host that is asked.
        certificate: the chain that we show; None shows none.
        key: its private key.
    """

    ca: Path
    name: str | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One question after a service's health.

    Args:
        address: where it listens.
        service: what is asked about; the empty name is the service as a whole.
        timeout_seconds: for the connection and the answer together.
        tls: None speaks in the clear.
    """

    address: Address
    service: str = SERVICE
    timeout_seconds: float = 1.0
    tls: CallerTls | None = None

    @property
    def subject(self) -> str:
        """Name what is asked about, and where."""
        return f"`{shown(self.service)}` at `{self.address}`" if self.service else f"`{self.address}`"


def health_objection(probe: Probe) -> str | None:
    """Ask a service whether it is serving.

    Returns: None where it says so; else a line that says what it does instead.
    Raises: SettingsError for PEM files that cannot be read, are no regular files, or are none.
    Spec: https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
    """
    with _channel(probe) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK_METHOD)
        message = HealthCheckRequest(service=probe.service).SerializeToString()
        try:
            answer = call(message, timeout=probe.timeout_seconds)
        except grpc.RpcError as error:
            return _told(probe, error.code(), error.details() or "")
    return _objection(probe, answer)


def _channel(probe: Probe) -> grpc.Channel:
    options: list[tuple[str, str | int]] = [
        # A proxy for what is outside has no way to our own loopback.
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_receive_message_length", _MAX_ANSWER_BYTES),
    ]
    if probe.tls is None:
        return grpc.insecure_channel(str(probe.address), options)
    if probe.tls.name is not None:
        options.append(("grpc.ssl_target_name_override", probe.tls.name))
    return grpc.secure_channel(str(probe.address), _credentials(probe.tls), options)


def _credentials(tls: CallerTls) -> grpc.ChannelCredentials:
    files = [path for path in (tls.ca, tls.certificate, tls.key) if path]
    try:
        _refuse_odd(files)
        ca, chain, key = (path.read_bytes() if path else None for path in (tls.ca, tls.certificate, tls.key))
        _refuse_misfits(tls)
    except ssl.SSLError as error:
        raise SettingsError(f"{ticked(map(str, files))}: {_MISFIT} ({error.reason or 'no PEM'})") from error
    except OSError as error:
        raise SettingsError(f"cannot read `{error.filename}`: {error.strerror}; name a PEM file") from error
    return grpc.ssl_channel_credentials(ca, key, chain)


def _refuse_odd(files: Iterable[Path]) -> None:
    # To open a pipe would wait for whoever writes to it, however long that takes.
    if odd := [str(path) for path in files if not S_ISREG(path.stat().st_mode)]:
        raise SettingsError(f"{ticked(odd)}: no regular file; name a PEM file")


def _refuse_misfits(tls: CallerTls) -> None:
    # Core would refuse the files too, without a word of which.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tls.ca)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key, password="")  # an encrypted key would ask at the terminal


def _told(probe: Probe, code: grpc.StatusCode, details: str) -> str:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{probe.subject} gave no answer within {probe.timeout_seconds:g} s"
    if code is grpc.StatusCode.NOT_FOUND and probe.service:
        return f"`{probe.address}` knows no service `{shown(probe.service)}`"
    if code is grpc.StatusCode.UNAVAILABLE:
        # The cause stands at the end, and the address, however long, before it.
        return f"{probe.subject} cannot be asked: {shown(details.rpartition(_CAUSE)[2][-MAX_SHOWN_CHARACTERS:])}"
    return f"{probe.subject} answers {code.name}: {shown(details)}"


def _objection(probe: Probe, answer: bytes) -> str | None:
    try:
        status = HealthCheckResponse.FromString(answer).status
    except DecodeError:
        return f"{probe.subject} answers what is no HealthCheckResponse"
    if status == HealthCheckResponse.SERVING:
        return None
    why = _WHY if probe.service == POLICY and status == HealthCheckResponse.NOT_SERVING else ""
    # Of an open enum: another server may know more of them.
    return f"{probe.subject} says {_STATUS.get(status, status)}{why}"
