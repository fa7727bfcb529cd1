"""Server certificates that are read again when their files change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Final, TypeAlias

import grpc

from cors_authz.edge.transport.interface import Tls, TransportError

_log = logging.getLogger(__name__)

_MISFIT: Final = "not a certificate chain, the key that belongs to it, and the authority of the clients if one is named"

_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Give credentials that follow their files.

    gRPC asks at each handshake. Where new files cannot be read, or do not fit each other, the last good ones stay.
    Raises: TransportError where the first ones cannot be read or are no certificate and key.
    """
    files = _Files(tls)
    return grpc.dynamic_ssl_server_credentials(
        files.first(),
        files.changed,  # type: ignore[arg-type] # the stubs forget None, which says that nothing changed
        require_client_authentication=tls.client_ca is not None,
    )


class _Files:
    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._paths = [tls.certificate, tls.key, *([tls.client_ca] if tls.client_ca else [])]
        self._stamp: _Stamp = ()

    def first(self) -> grpc.ServerCertificateConfiguration:
        self._stamp = self._stamps()
        return _read(self._tls)

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        stamp = self._stamps()
        if stamp == self._stamp:
            return None
        # Kept for bad files too: the log says it once, not at each handshake.
        self._stamp = stamp
        try:
            configuration = _read(self._tls)
        except TransportError as error:
            _log.warning("%s; serving on with the last certificate", error)
            return None
        _log.info("certificate `%s` was read again", self._tls.certificate)
        return configuration

    def _stamps(self) -> _Stamp:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    # The inode too: Kubernetes and certbot rotate by renaming, within the same second if need be.
    return status.st_mtime_ns, status.st_ino, status.st_size


def _read(tls: Tls) -> grpc.ServerCertificateConfiguration:
    try:
        pair = tls.key.read_bytes(), tls.certificate.read_bytes()
        roots = tls.client_ca.read_bytes() if tls.client_ca else None
        _refuse_misfits(tls)
    except ssl.SSLError as error:
        raise TransportError(f"{_named(tls)}: {_MISFIT} ({error.reason or 'no PEM'})") from error
    except OSError as error:
        raise TransportError(f"cannot read `{error.filename}`: {error.strerror}; name a PEM file") from error
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)


def _refuse_misfits(tls: Tls) -> None:
    # Core would refuse the files too, without a word of which.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key, password="")  # an encrypted key would ask at the terminal
    if tls.client_ca:
        context.load_verify_locations(tls.client_ca)


def _named(tls: Tls) -> str:
    return ", ".join(f"`{path}`" for path in (tls.certificate, tls.key, tls.client_ca) if path)
