"""Field names and methods: tokens, what Fetch safelists and forbids, a bounded read of what a preflight asks for."""

from __future__ import annotations

from string import ascii_letters, digits
from typing import Final

TOKEN_CHARACTERS: Final = "!#$%&'*+-.^_`|~" + digits + ascii_letters

MAX_ASKED_BYTES: Final = 8192
MAX_ASKED_NAMES: Final = 128

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""QUERY is safe by its definition, yet it carries a body that triggers work; here it counts as a write."""

STANDARD_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
"""Those of https://www.rfc-editor.org/rfc/rfc9110#section-9, PATCH and QUERY."""

FORBIDDEN_METHODS: Final = frozenset({"CONNECT", "TRACE", "TRACK"})
"""Spec: https://fetch.spec.whatwg.org/#forbidden-method."""

FORBIDDEN_REQUEST_HEADERS: Final = frozenset(
    {
        "accept-charset",
        "accept-encoding",
        "access-control-request-headers",
        "access-control-request-method",
        "access-control-request-private-network",
        "connection",
        "content-length",
        "cookie",
        "cookie2",
        "date",
        "dnt",
        "expect",
        "host",
        "keep-alive",
        "origin",
        "referer",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    }
)
"""Spec: https://fetch.spec.whatwg.org/#forbidden-request-header."""

FORBIDDEN_RESPONSE_HEADERS: Final = frozenset({"set-cookie", "set-cookie2"})
"""Spec: https://fetch.spec.whatwg.org/#forbidden-response-header-name."""

SAFELISTED_RESPONSE_HEADERS: Final = frozenset(
    {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"}
)
"""Spec: https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name."""

RESPONSE_ONLY_HEADERS: Final = frozenset(
    {
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "access-control-allow-private-network",
        "access-control-expose-headers",
        "access-control-max-age",
        "age",
        "etag",
        "location",
        "retry-after",
        "server",
        "vary",
        "www-authenticate",
    }
)
"""Names that no request carries: listing one among request headers mistakes one list for the other."""

REQUEST_ONLY_HEADERS: Final = frozenset(
    {
        "access-control-request-headers",
        "access-control-request-method",
        "authorization",
        "cookie",
        "host",
        "if-match",
        "if-none-match",
        "origin",
        "referer",
        "user-agent",
    }
)
"""Names that no response carries."""

METHOD_OVERRIDES: Final = ("x-http-method-override", "x-http-method", "x-method-override")
"""Headers by which frameworks let a request name another method than its own."""


def is_token(text: str) -> bool:
    """Tell whether the text is an RFC 9110 token: one or more of its characters and nothing else.

    Spec: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2.
    """
    return bool(text) and not text.strip(TOKEN_CHARACTERS)


def is_forbidden_method(method: str) -> bool:
    """Tell whether Fetch forbids the method, whatever its case.

    Spec: https://fetch.spec.whatwg.org/#forbidden-method.
    """
    return method.upper() in FORBIDDEN_METHODS


def is_forbidden_request_header(name: str) -> bool:
    """Tell whether scripts may never set the header of this lower-case name.

    Spec: https://fetch.spec.whatwg.org/#forbidden-request-header.
    """
    return name in FORBIDDEN_REQUEST_HEADERS or name.startswith(("proxy-", "sec-"))


def asked_headers(value: str) -> tuple[str, ...] | None:
    """Read the names of an `Access-Control-Request-Headers` value.

    Browsers send them in lower case, sorted and joined by a bare comma; optional blanks, empty elements and any case
    are tolerated, as intermediaries may join lines.

    Returns: the names in lower case and in the order sent, () for an empty value; None if a name is no token, or past
    the bounds of 8,192 bytes and 128 names. Never raises.
    Spec: https://fetch.spec.whatwg.org/#http-access-control-request-headers.
    """
    if not value:
        return ()
    if len(value) > MAX_ASKED_BYTES:
        return None
    names = tuple(name for part in value.split(",") if (name := part.strip(" \t")))
    if len(names) > MAX_ASKED_NAMES or not all(map(is_token, names)):
        return None
    # Only now: the lower case of a Kelvin sign is a `k`, which would make a token of what is none.
    return tuple(map(str.lower, names))
