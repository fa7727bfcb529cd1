"""Hosts that are near: this machine, or another one in every network."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address
from string import digits

from cors_authz.fetch.address_space import is_private, unmapped


def is_loopback(host: str) -> bool:
    """Tell whether a host, or all hosts of a pattern's `host`, are `localhost`, under it, 127.0.0.0/8 or `[::1]`."""
    name = host.removesuffix(".")
    if name in {"localhost", "[::1]"} or name.endswith(".localhost"):
        return True
    address = _address(name)
    return isinstance(address, IPv4Address) and address.is_loopback


def is_local(host: str) -> bool:
    """Tell whether a host, or all hosts of a pattern's `host`, are found by multicast DNS: `.local`."""
    return host.removesuffix(".").endswith(".local")


def is_private_address(host: str) -> bool:
    """Tell whether a host is an address, other than loopback, that means another machine in every network."""
    address = _address(host)
    if address is None:
        return False
    plain = unmapped(address)
    # A mapped loopback address is none that browsers call so, and it is as near.
    return is_private(plain) or (plain is not address and plain.is_loopback)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    if not host.endswith(("]", *digits)):
        # Spares 100,000 names an exception each.
        return None
    try:
        return IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except AddressValueError:
        return None
