"""Where a transport listens."""

from __future__ import annotations

import socket
from typing import Final

from cors_authz.edge.transport.interface import TransportError

_UNIX: Final = "unix:"
_PROBE_SECONDS: Final = 1.0


def claim(address: str) -> None:
    """See that nobody listens on a Unix socket yet: binding it takes the path from a live server without a word.

    A socket file that a killed process left behind is free to take. A TCP address is refused by the system itself.
    Raises: TransportError.
    """
    if not address.startswith(_UNIX):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(address.removeprefix(_UNIX))
        except (FileNotFoundError, ConnectionRefusedError):
            return
        except OSError as error:
            raise in_use(address) from error
    raise in_use(address)


def in_use(address: str) -> TransportError:
    """Say that an address is not to be had."""
    other = "in a folder that is not there" if address.startswith(_UNIX) else "not an address of this machine"
    return TransportError(f"cannot listen on `{address}`: taken, {other}, or not allowed")


def bound(address: str, port: int) -> str:
    """Give the address that was bound, with the port that the system chose."""
    return address if address.startswith(_UNIX) else f"{address.rpartition(':')[0]}:{port}"
