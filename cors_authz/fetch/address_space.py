"""Addresses that are near: the networks whose hosts are others in every place where they are asked for."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

# The ranges that https://wicg.github.io/local-network-access/#ip-address-space-section calls local, and the network
# "this host", which some systems route to themselves.
_PRIVATE_IPV4: Final = tuple(
    map(IPv4Network, ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"))
)
_PRIVATE_IPV6: Final = tuple(map(IPv6Network, ("::/128", "fc00::/7", "fe80::/10")))


def unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Give the IPv4 address that an IPv6 address stands for; any other address as it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def is_private(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address, other than loopback, means another machine in every network. Mapped ones are none."""
    if isinstance(address, IPv6Address):
        return any(address in network for network in _PRIVATE_IPV6)
    return any(address in network for network in _PRIVATE_IPV4)
