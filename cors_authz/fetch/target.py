"""Host and path of a request in the one form in which policies compare them, or nothing where it is ambiguous."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_plus

from cors_authz.fetch.origin import DEFAULT_PORTS, is_host, split_port

MAX_TARGET_CHARACTERS: Final = 65_536
MAX_AUTHORITY_CHARACTERS: Final = 512
"""A name has at most 253."""

# Linear: one class, one quantifier per segment. It spares ordinary paths the work of the rest of this module.
_PLAIN: Final = re.compile(
    r"/(?:[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*/)*"
    r"[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*"
)
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_ENCODED_SLASH: Final = "%2F"
_REFUSED_CODES: Final = frozenset({"%5C", "%00"})


class Target(NamedTuple):
    """A path in normal form as its segments (`/` has none), and the raw query.

    `encoded_slash` says that a segment holds `%2F`: data to one upstream, a separator to another.
    """

    segments: tuple[str, ...]
    query: str
    encoded_slash: bool = False

    @property
    def path(self) -> str:
        """The path in normal form."""
        return "/" + "/".join(self.segments)


class Authority(NamedTuple):
    """A host in lower case and its port, empty where it is left out or the default of the scheme."""

    host: str
    port: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the host from left to right; an IPv6 address in brackets is one."""
        return (self.host,) if self.host.startswith("[") else tuple(self.host.split("."))

    @property
    def text(self) -> str:
        """The authority as an origin writes it."""
        return f"{self.host}:{self.port}" if self.port else self.host


def read_target(raw: str) -> Target | None:
    r"""Bring a request target to normal form; it is never repaired.

    Before `?`; unreserved characters decoded, hexadecimal digits in upper case; `;parameters` of a segment and one
    final `/` set aside.

    Returns: the target; None where an upstream might read the path in another way: no leading `/`, `.` or `..`
    segments, `//`, `\`, an encoded `\` or NUL, a broken `%`, a control or non-ASCII character, or over 65,536
    characters. Hostile input is data: never raises.
    Spec: https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.
    """
    if len(raw) > MAX_TARGET_CHARACTERS:
        return None
    path, _, query = raw.partition("?")
    if _PLAIN.fullmatch(path):
        return Target(tuple(path[1:].split("/")), query)
    decoded = _decode_unreserved(path)
    if decoded is None or not decoded.startswith("/"):
        return None
    body = decoded[1:].removesuffix("/")
    segments = tuple(segment.partition(";")[0] for segment in body.split("/")) if decoded != "/" else ()
    if any(segment in {"", ".", ".."} for segment in segments):
        return None
    return Target(segments, query, any(_ENCODED_SLASH in segment for segment in segments))


def _decode_unreserved(path: str) -> str | None:
    if not path.isascii() or not path.isprintable() or any(c in path for c in "\\# "):
        return None
    head, *encoded = path.split("%")
    parts = [head]
    for part in encoded:
        code = part[:2]
        if len(code) != 2 or not _HEX.issuperset(code):  # noqa: PLR2004 - a code is two hexadecimal digits
            return None
        character = chr(int(code, 16))
        kept = character if character in _UNRESERVED else "%" + code.upper()
        if kept in _REFUSED_CODES:
            return None
        parts.append(kept + part[2:])
    return "".join(parts)


def read_authority(raw: str, scheme: str) -> Authority | None:
    """Read `Host` (or `:authority`) as the scheme sees it.

    Returns: the host in lower case and the port unless it is the scheme's default; None for anything that is no host,
    a trailing dot among it, since `example.com.` is another origin to a browser, and more than 512 characters.
    Never raises.
    Spec: https://www.rfc-editor.org/rfc/rfc9110#section-7.2.
    """
    if len(raw) > MAX_AUTHORITY_CHARACTERS:
        return None
    host, port = split_port(raw.lower())
    number = port.removeprefix(":")
    if not raw.isascii() or host.endswith(".") or not is_host(host):
        return None
    if port and not (number.isdecimal() and len(number) <= 5):  # noqa: PLR2004 - 65535
        return None
    return Authority(host, "" if DEFAULT_PORTS.get(scheme) == number else number)


def query_values(query: str, name: str) -> tuple[str, ...]:
    """Give the values of a query parameter, in order and decoded. Never raises.

    `;` separates as `&` does: some upstreams still read it so, and a parameter that hides behind it must not be missed.
    """
    if name not in query and "%" not in query:
        return ()
    return tuple(unquote_plus(match.group(1) or "") for match in _parameter(name).finditer(query))


@lru_cache(maxsize=64)
def _parameter(name: str) -> re.Pattern[str]:
    """Find a parameter by its name, each letter of it plain or encoded; to decode every key would cost milliseconds."""
    letters = (f"(?:{re.escape(letter)}|%(?i:{ord(letter):02x}))" for letter in name)
    return re.compile(rf"(?<![^&;]){''.join(letters)}(?:=([^&;]*))?(?![^&;])")
