"""The `Origin` header: a serialized tuple origin, or the opaque `null`."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from string import ascii_lowercase, digits
from typing import Final, NamedTuple

OPAQUE: Final = "null"
MAX_ORIGIN_CHARACTERS: Final = 512
"""A scheme of 64, a host of 253 and a port fit with room to spare; what is longer is no origin of a browser."""

DEFAULT_PORTS: Final = {"http": "80", "https": "443"}

_SCHEME: Final = ascii_lowercase + digits + "+-."
_MAX_PORT: Final = 65535
# Linear: no label can be read in two ways, and no read one is read again.
_NAME: Final = re.compile(r"{label}(?:\.{label})*+\.?".replace("{label}", "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"))


class Origin(NamedTuple):
    """A tuple origin as a browser serializes it; `port` is the text of the port, empty where it is left out."""

    scheme: str
    host: str
    port: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the host from left to right; an IPv6 address in brackets is one."""
        return (self.host,) if self.host.startswith("[") else tuple(self.host.split("."))


def parse_origin(raw: str) -> Origin | None:
    """Split an `Origin` value into its tuple.

    Returns: the tuple; None for `null`, for a value over 512 characters and for anything that is not character for
    character a serialized origin, two of them among it. `_` is accepted in hosts, as it occurs; a label that begins
    or ends with `-` is no label. Hostile input is
    data: never raises.
    Spec: https://fetch.spec.whatwg.org/#origin-header, https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin.
    """
    if len(raw) > MAX_ORIGIN_CHARACTERS:
        return None
    scheme, separator, authority = raw.partition("://")
    if not separator or not _is_scheme(scheme):
        return None
    host, port = split_port(authority)
    if not is_host(host) or not _is_port(port, scheme):
        return None
    return Origin(scheme, host, port.removeprefix(":"))


def split_port(authority: str) -> tuple[str, str]:
    """Split `host:port` into the host and `:port`; the second is empty where there is none. Never raises."""
    if authority.endswith("]"):
        return authority, ""
    host, colon, port = authority.rpartition(":")
    return (host, colon + port) if colon else (authority, "")


def is_host(host: str) -> bool:
    """Tell whether the text is a host as browsers serialize it: labels, an IPv4 or a bracketed IPv6 address.

    One final dot is part of the name: `example.com.` is another host than `example.com`.
    Spec: https://url.spec.whatwg.org/#concept-host-serializer.
    """
    if host.startswith("["):
        return host.endswith("]") and _is_ipv6(host[1:-1])
    if not _NAME.fullmatch(host):
        return False
    # The URL parser reads any name whose last label is a number as an IPv4 address, and serializes it as such.
    return not _is_number(host.removesuffix(".").rpartition(".")[2]) or _is_ipv4(host)


def _is_scheme(scheme: str) -> bool:
    return bool(scheme) and scheme[0] in ascii_lowercase and not scheme.strip(_SCHEME)


def _is_number(label: str) -> bool:
    return label.isdigit() or (label.startswith("0x") and not label[2:].strip("0123456789abcdef"))


def _is_ipv4(host: str) -> bool:
    try:
        return str(IPv4Address(host)) == host
    except AddressValueError:
        return False


def _is_ipv6(address: str) -> bool:
    if "%" in address:
        return False
    try:
        return serialize_ipv6(IPv6Address(address)) == address
    except AddressValueError:
        return False


def serialize_ipv6(address: IPv6Address) -> str:
    """Write an IPv6 address as browsers do, without brackets.

    Spec: https://url.spec.whatwg.org/#concept-ipv6-serializer.
    """
    mapped = address.ipv4_mapped
    if mapped is None:
        return str(address)
    # Python may write the embedded IPv4 address in dots; browsers write hexadecimal.
    high, low = int(mapped) >> 16, int(mapped) & 0xFFFF
    return f"::ffff:{high:x}:{low:x}"


def _is_port(port: str, scheme: str) -> bool:
    if not port:
        return True
    number = port[1:]
    if not number.isdecimal() or not number.isascii() or number.startswith("0") or len(number) > len(str(_MAX_PORT)):
        return False
    return int(number) <= _MAX_PORT and DEFAULT_PORTS.get(scheme) != number
