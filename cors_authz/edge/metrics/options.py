"""Where the metrics are read, as the settings say it; without what serves them, so that every verb can afford it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cors_authz.edge.settings_error import SettingsError
from cors_authz.envoy.address import LAST_PORT, Address
from cors_authz.policy.finding import shown

SETTING: Final = "metrics-listen"


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
        refuse_ports(SETTING, read_address(self.listen).port, self.workers)

    def address(self, worker: int) -> str:
        """Give the address of a worker, which are numbered from 0 on."""
        return str(read_address(self.listen).of_worker(worker))


def read_address(text: str) -> Address:
    """Read `host:port`, with an IPv6 address in brackets.

    Raises: SettingsError for anything else.
    """
    try:
        address = Address.parse(text)
    except ValueError:
        address = None
    # What reads metrics asks by HTTP, which knows no Unix sockets.
    if address is None or address.path:
        raise SettingsError(f"{SETTING}: `{shown(text)}` is no address; write host:port, such as 127.0.0.1:8080")
    return address


def refuse_ports(setting: str, port: int, workers: int) -> None:
    """Refuse a port from which on there are too few for all workers; with port 0 the system chooses them.

    Raises: SettingsError.
    """
    last = port + workers - 1
    if port and last > LAST_PORT:
        raise SettingsError(
            f"{setting}: {workers} workers need the ports {port} to {last}, and the highest is {LAST_PORT}; "
            "choose a lower port"
        )
