"""Where the metrics are read, as the settings say it; without what serves them, so that every verb can afford it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cors_authz.edge.settings_error import SettingsError

SETTING: Final = "metrics-listen"

_LAST_PORT: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsOptions:
    """Where the metrics are read.

    Args:
        listen: `host:port`; of several workers, each takes a port from it on, and with port 0 the system chooses.
        workers: how many there are.

    Raises: SettingsError for an address that cannot be, or too few ports.
    """

    listen: str
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse what cannot be, before anything is started."""
        port = split_address(self.listen)[1]
        last = port + self.workers - 1
        if port and last > _LAST_PORT:
            raise SettingsError(
                f"{SETTING}: {self.workers} workers need the ports {port} to {last}, and the highest is {_LAST_PORT};"
                " choose a lower port"
            )

    def address(self, worker: int) -> str:
        """Give the address of a worker, which are numbered from 0 on."""
        host, _, port = self.listen.rpartition(":")
        return f"{host}:{int(port) and int(port) + worker}"


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`, with an IPv6 address in brackets.

    Raises: SettingsError for anything else.
    """
    host, colon, port = address.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and int(port) <= _LAST_PORT
    if not colon or not host or not is_port or (":" in host) != (host[0] + host[-1] == "[]"):
        raise SettingsError(f"{SETTING}: `{address}` is no address; write host:port, such as 127.0.0.1:8080")
    return host.strip("[]"), int(port)
