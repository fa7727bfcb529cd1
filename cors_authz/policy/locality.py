"""Hosts that are near: this machine, or another one in every network."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from string import digits
from typing import Final

# The ranges that https://wicg.github.io/local-network-access/#ip-address-space-section calls local, and the network
# "this host", which some systems route to themselves.
_PRIVATE_IPV4: Final = tuple(
    map(IPv4Network, ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"))
)
_PRIVATE_IPV6: Final = tuple(map(IPv6Network, ("::/128", "fc00::/7", "fe80::/10")))
_LOOPBACK_IPV4: Final = IPv4Network("127.0.0.0/8")


def is_loopback(host: str) -> bool:
    """Tell whether a host, or all hosts of a pattern's `host`, are `localhost`, under it, 127.0.0.0/8 or `[::1]`."""
    name = host.removesuffix(".")
    if name in {"localhost", "[::1]"} or name.endswith(".localhost"):
        return True
    address = _address(name)
    return isinstance(address, IPv4Address) and address in _LOOPBACK_IPV4


def is_local(host: str) -> bool:
    """Tell whether a host, or all hosts of a pattern's `host`, are found by multicast DNS: `.local`."""
    return host.removesuffix(".").endswith(".local")


def is_private_address(host: str) -> bool:
    """Tell whether a host is an address, other than loopback, that means another machine in every network."""
    address = _address(host)
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            return any(address in network for network in _PRIVATE_IPV6)
        return mapped in _LOOPBACK_IPV4 or any(mapped in network for network in _PRIVATE_IPV4)
    return address is not None and any(address in network for network in _PRIVATE_IPV4)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    if not host.endswith(("]", *digits)):
        # Spares 100,000 names an exception each.
        return None
    try:
        return IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except AddressValueError:
        return None
