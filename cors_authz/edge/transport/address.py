"""Where a transport listens."""

from __future__ import annotations

import errno
import socket
from typing import Final

from cors_authz.edge.transport.interface import TransportError
from cors_authz.envoy.address import Address

_PROBE_SECONDS: Final = 1.0


def claim(address: str) -> None:
    """See that nobody has an address yet, before gRPC does.

    Of a port that is taken, gRPC writes a line of its own to the standard error. Binding a Unix socket takes the
    path from a live server without a word; a socket file that a killed process left behind is free to take.
    Raises: TransportError.
    """
    place = _read(address)
    if place.path:
        _claim_socket(place)
    else:
        _claim_port(place)


def _read(address: str) -> Address:
    try:
        return Address.parse(address)
    except ValueError as error:
        raise TransportError(f"cannot listen: {error}") from error


def _claim_socket(address: Address) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(address.path)
        except (FileNotFoundError, ConnectionRefusedError):
            return
        except OSError as error:
            raise in_use(str(address)) from error
    raise in_use(str(address))


def _claim_port(address: Address) -> None:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        # gRPC reads more than we do, and says what it cannot.
        return
    for family, kind, _, _, place in found:
        with socket.socket(family, kind) as probe:
            # As gRPC does: connections that linger are no reason to wait.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(place)
            except OSError as error:
                # Of several addresses one is enough, as on a machine without IPv6.
                if error.errno == errno.EADDRINUSE:
                    raise in_use(str(address)) from error


def in_use(address: str) -> TransportError:
    """Say that an address is not to be had."""
    other = "in a folder that is not there" if _read(address).path else "not an address of this machine"
    return TransportError(f"cannot listen on `{address}`: taken, {other}, or not allowed")


def bound(address: str, port: int) -> str:
    """Give the address that was bound, with the port that the system chose."""
    place = _read(address)
    return address if place.path else str(place._replace(port=port))
