"""The health of a running service, asked from outside by gRPC's health protocol."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.health import SERVICE
from cors_authz.edge.transport.interface import HEALTH_CHECK_METHOD
from cors_authz.envoy.bootstrap import Address
from cors_authz.policy.finding import MAX_SHOWN_CHARACTERS, shown, ticked

_MAX_ANSWER_BYTES: Final = 1024
_CAUSE: Final = "last error: "
_MISFIT: Final = "not an authority's certificate, or not a certificate chain and the key that belongs to it"
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


def health_objection(probe: Probe) -> str | None:
    """Ask a service whether it is serving.

    Returns: None where it says so; else what it does instead, to be read after its address.
    Raises: SettingsError for PEM files that cannot be read or are none.
    Spec: https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
    """
    with _channel(probe) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK_METHOD)
        message = HealthCheckRequest(service=probe.service).SerializeToString()
        try:
            answer = call(message, timeout=probe.timeout_seconds)
        except grpc.RpcError as error:
            return _told(probe, error.code(), error.details() or "")
    return _objection(answer)


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
    try:
        ca, chain, key = (path.read_bytes() if path else None for path in (tls.ca, tls.certificate, tls.key))
        _refuse_misfits(tls)
    except ssl.SSLError as error:
        paths = ticked(str(path) for path in (tls.ca, tls.certificate, tls.key) if path)
        raise SettingsError(f"{paths}: {_MISFIT} ({error.reason or 'no PEM'})") from error
    except OSError as error:
        raise SettingsError(f"cannot read `{error.filename}`: {error.strerror}; name a PEM file") from error
    return grpc.ssl_channel_credentials(ca, key, chain)


def _refuse_misfits(tls: CallerTls) -> None:
    # Core would refuse the files too, without a word of which.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(tls.ca)
    if tls.certificate:
        context.load_cert_chain(tls.certificate, tls.key, password="")  # an encrypted key would ask at the terminal


def _told(probe: Probe, code: grpc.StatusCode, details: str) -> str:
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"gave no answer within {probe.timeout_seconds:g} s"
    if code is grpc.StatusCode.NOT_FOUND:
        return f"knows no service `{shown(probe.service)}`"
    if code is grpc.StatusCode.UNAVAILABLE:
        # The cause stands at the end, and the address, however long, before it.
        return f"cannot be asked: {shown(details.rpartition(_CAUSE)[2][-MAX_SHOWN_CHARACTERS:])}"
    return f"answers {code.name}: {shown(details)}"


def _objection(answer: bytes) -> str | None:
    try:
        status = HealthCheckResponse.FromString(answer).status
    except DecodeError:
        return "answers what is no HealthCheckResponse"
    # Of an open enum: another server may know more of them.
    return None if status == HealthCheckResponse.SERVING else f"says {_STATUS.get(status, status)}"
