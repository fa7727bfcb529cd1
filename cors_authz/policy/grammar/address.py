"""Addresses in the form that browsers write: the only one that an `Origin` header can have."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from cors_authz.fetch.origin import serialize_ipv6

_LONGEST_NUMBER: Final = 20
_IPV4_BYTES: Final = 4
_BYTE: Final = 256


def ipv4_form(host: str) -> str | None:
    """Write an IPv4 address as browsers do (https://url.spec.whatwg.org/#concept-ipv4-parser); None for no address."""
    parts = host.removesuffix(".").split(".")
    if len(parts) > _IPV4_BYTES:
        return None
    numbers = [number for number in map(_ipv4_number, parts) if number is not None]
    *front, last = numbers or [0]
    places = _IPV4_BYTES - len(front)
    if len(numbers) < len(parts) or last >= _BYTE**places or max(front, default=0) >= _BYTE:
        return None
    return str(IPv4Address((int.from_bytes(bytes(front)) << 8 * places) + last))


def _ipv4_number(part: str) -> int | None:
    if len(part) > _LONGEST_NUMBER:
        return None
    if re.fullmatch("0x[0-9a-f]*", part):
        return int(part[2:] or "0", 16)
    if re.fullmatch("0[0-7]*", part):
        return int(part, 8)
    return int(part) if re.fullmatch("[1-9][0-9]*", part) else None


def ipv6_form(host: str) -> str | None:
    """Write an IPv6 address as browsers do (https://url.spec.whatwg.org/#concept-ipv6-serializer), with brackets."""
    try:
        address = IPv6Address(host.removeprefix("[").removesuffix("]").partition("%")[0])
    except AddressValueError:
        return None
    return f"[{serialize_ipv6(address)}]"
