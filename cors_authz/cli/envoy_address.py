"""Addresses on the command line, as Envoy takes them: what it would refuse is refused with a reason."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any, Final

import click

from cors_authz.envoy.address import MAX_SOCKET_PATH_BYTES, Address, is_ip

_MAX_NAME: Final = 253
_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE | re.ASCII)
_NO_HOST: Final = "names no host: no IP address, and no name of letters, digits, `-` and `_`, at most 63 between dots"


class ReachedAddress(click.ParamType[Address]):
    """Where Envoy connects to."""

    name = "host:port|unix:path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:  # noqa: ANN401 - click's signature
        """Read it."""
        try:
            address = Address.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        objection = _socket_objection(address) if address.path else self._host_objection(address)
        return self.fail(f"`{value}` {objection}", param, ctx) if objection else address

    def _host_objection(self, address: Address) -> str:
        if not is_ip(address.host) and not is_name(address.host):
            return _NO_HOST
        return "" if address.port else "has port 0, at which nobody is reached"


class BoundAddress(ReachedAddress):
    """Where Envoy listens."""

    name = "ip:port|unix:path"

    def _host_objection(self, address: Address) -> str:
        return "" if is_ip(address.host) else "is a name; Envoy listens at an IP address or a Unix socket"


def is_name(host: str) -> bool:
    """Whether a host can be a name in the DNS.

    Spec: https://datatracker.ietf.org/doc/html/rfc1035#section-2.3.4.
    """
    return len(host) <= _MAX_NAME and _NAME.fullmatch(host) is not None


def clash(one: Address, other: Address) -> bool:
    """Whether Envoy, which listens at a Unix socket or an IP address, could have only one of two addresses."""
    if one.path or other.path:
        return one.path == other.path
    first, second = ip_address(one.host), ip_address(other.host)
    meet = first == second or first.is_unspecified or second.is_unspecified
    # An IPv6 socket of Envoy's takes no IPv4 connections, and port 0 is another each time.
    return meet and first.version == second.version and one.port == other.port != 0


def leads_to(reached: Address, bound: Address) -> bool:
    """Whether what is sent to an address comes to where Envoy listens itself; of a name that is not known here.

    An Envoy that listens at all addresses of its machine has those of loopback, and of the others only it knows which.
    """
    if reached.path or bound.path:
        return reached.path == bound.path
    if not is_ip(reached.host):
        return False
    there, here = ip_address(reached.host), ip_address(bound.host)
    is_own = there.is_loopback or there.is_unspecified
    meet = there == here or (is_own and here.is_unspecified) or (there.is_unspecified and here.is_loopback)
    return meet and there.version == here.version and reached.port == bound.port


def _socket_objection(address: Address) -> str:
    too_long = len(address.path.encode()) > MAX_SOCKET_PATH_BYTES
    return f"is longer than the {MAX_SOCKET_PATH_BYTES} bytes that a socket's path may have" if too_long else ""
