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
    r"/(?:[A-Za-z0-9_~!$&'()+,=:@-][A-Za-z0-9._~!$&'()+,=:@-]*/)*"
    r"[A-Za-z0-9_~!$&'()+,=:@-][A-Za-z0-9._~!$&'()+,=:@-]*"
)
_LITERAL: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()+,=:@")
"""What a path template holds as it is: RFC 3986's pchar, but for `;`, which begins parameters, and the wildcard `*`."""


def _normal_form_of(code: str) -> str:
    letter = chr(int(code[1:], 16))
    return letter if letter in _LITERAL else code.upper()


_HEX: Final = "0123456789abcdefABCDEF"
_NORMAL: Final = {
    **{odd: f"%{ord(odd):02X}" for odd in map(chr, range(0x21, 0x7F)) if odd not in _LITERAL | {"/", ";", "%"}},
    **{code: _normal_form_of(code) for code in (f"%{high}{low}" for high in _HEX for low in _HEX)},
}
"""A character that is not literal, or an encoded one, to the one form in which it is compared."""

_NOT_NORMAL: Final = re.compile(r"%..|[^A-Za-z0-9._~!$&'()+,=:@/;-]")
_REFUSED: Final = re.compile(r"[^!-~]|[\\#]|%(?![0-9A-Fa-f]{2})|%00|%5[Cc]")
_DELIMITER: Final = re.compile("[/;]|%2F|%3B")
_DOTS: Final = frozenset({".", ".."})


class Target(NamedTuple):
    """A path in normal form as its segments (`/` has none), and the raw query.

    `encoded_delimiter` says that the path holds `%2F` or `%3B`, be it within `;parameters`: data to one upstream; to
    another, which decodes first, a `/` or a `;`. `kept` are the segments with their `;parameters`, where there are any.
    """

    segments: tuple[str, ...]
    query: str
    encoded_delimiter: bool = False
    kept: tuple[str, ...] = ()

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

    Before `?`; `;parameters` of a segment and one final `/` set aside; letters, digits and `-._~!$&'()+,=:@` decoded,
    since upstreams route on the decoded path; all else encoded, with hexadecimal digits in upper case.

    Returns: the target; None where an upstream might read the path in another way: no leading `/`, `.` or `..`
    segments, between encoded delimiters too, `//`, `\`, an encoded `\` or NUL, a broken `%`, a control or non-ASCII
    character, or over 65,536 characters. Hostile input is data: never raises.
    Spec: https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2.
    """
    if len(raw) > MAX_TARGET_CHARACTERS:
        return None
    path, _, query = raw.partition("?")
    if _PLAIN.fullmatch(path):
        return Target(tuple(path[1:].split("/")), query)
    if not path.startswith("/") or _REFUSED.search(path):
        return None
    normal = path_in_normal_form(path)
    body = normal[1:].removesuffix("/")
    kept = tuple(body.split("/")) if normal != "/" else ()
    segments = tuple(segment.partition(";")[0] for segment in kept)
    if any(segment in {"", ".", ".."} for segment in segments):
        return None
    encoded_delimiter = "%2F" in body or "%3B" in body
    if encoded_delimiter and not _DOTS.isdisjoint(_DELIMITER.split(body)):
        return None
    return Target(segments, query, encoded_delimiter, kept if ";" in body else ())


def path_in_normal_form(path: str) -> str:
    """Write each character of a path, which must have no broken `%`, in the one form in which it is compared."""
    return _NOT_NORMAL.sub(lambda found: _NORMAL.get(found[0], found[0]), path)


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
