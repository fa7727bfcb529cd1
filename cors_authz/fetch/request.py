"""A request as the decision point reads it, and what kind of request a browser makes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum, unique
from typing import Final, NamedTuple

from cors_authz.fetch.fields import METHOD_OVERRIDES, SAFE_METHODS, is_forbidden_method, is_token
from cors_authz.fetch.origin import OPAQUE
from cors_authz.fetch.target import query_values


class Request(NamedTuple):
    """What Envoy says of one HTTP request.

    Header names are in lower case, repeated fields joined by a bare comma. `target` is the raw path with its query,
    `host` the raw authority. `source` is the client's address and `principal` the name in its certificate, each empty
    where Envoy knows none; `metadata` and `route_metadata` are Envoy's dynamic metadata and the route's, by filter
    name. `spoofed` names the headers that pretend to be this service's own words to the upstream.
    """

    method: str
    scheme: str
    host: str
    target: str
    headers: Mapping[str, str]
    source: str = ""
    principal: str = ""
    metadata: Mapping[str, Mapping[str, object]] = {}
    route_metadata: Mapping[str, Mapping[str, object]] = {}
    spoofed: tuple[str, ...] = ()


OWN_PREFIX: Final = "x-cors-authz-"
_FIRST, _SECOND, _THIRD = METHOD_OVERRIDES
_MARKS: Final = re.compile(r"[^a-z0-9]")


def spoofed_names(names: Iterable[str]) -> tuple[str, ...]:
    """Pick the header names that an upstream could take for ours; gateways fold `_`, or every mark, into one."""
    return tuple(name for name in names if _MARKS.sub("-", name.lower()).startswith(OWN_PREFIX))


@unique
class Kind(Enum):
    """What a request is, as the table of policy answers distinguishes it."""

    # Members are single, and the hash of an Enum is slow.
    __hash__ = object.__hash__

    PREFLIGHT = "preflight"
    SAME_ORIGIN = "same-origin"
    NOT_A_BROWSER = "not-a-browser"
    CROSS_ORIGIN = "cross-origin"
    """It has a foreign origin, or it is a cross-site write or WebSocket without one."""
    READ = "read"
    """A cross-site GET or HEAD of a script that carries no origin."""
    EMBED = "embed"
    NAVIGATION = "navigation"


@unique
class Site(Enum):
    """What `Sec-Fetch-Site` says; what it should not say counts as `CROSS_SITE`.

    Spec: https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-site-header.
    """

    ABSENT = ""
    SAME_ORIGIN = "same-origin"
    NONE = "none"
    SAME_SITE = "same-site"
    CROSS_SITE = "cross-site"


# Bound here since, on Python 3.11, a member costs more to look up than a header.
_ABSENT: Final = Site.ABSENT
_CROSS_SITE: Final = Site.CROSS_SITE
_SITES: Final = {site.value: site for site in Site}
_OWN_SITES: Final = frozenset({Site.SAME_ORIGIN, Site.NONE})


def site_of(request: Request) -> Site:
    """Read `Sec-Fetch-Site`: an empty value counts as absent, an unknown or repeated one as cross-site."""
    return _SITES.get(request.headers.get("sec-fetch-site", ""), _CROSS_SITE)


def is_preflight(request: Request) -> bool:
    """Tell whether the request is a CORS-preflight request.

    Spec: https://fetch.spec.whatwg.org/#cors-preflight-request.
    """
    headers = request.headers
    return (
        request.method == "OPTIONS" and "access-control-request-method" in headers and bool(headers.get("origin", ""))
    )


def is_websocket(request: Request) -> bool:
    """Tell whether the request is a WebSocket handshake, over HTTP/1.1 or, as Envoy shows it, over HTTP/2."""
    headers = request.headers
    return "upgrade" in headers and "websocket" in map(str.strip, headers["upgrade"].lower().split(","))


def is_write(method: str) -> bool:
    """Tell whether a method may change state: everything but GET, HEAD and OPTIONS."""
    return method not in SAFE_METHODS


def overriding_method(request: Request, query: str) -> str | None:
    """Find the method that an override names.

    Frameworks honour `X-HTTP-Method-Override` and its kin or `_method` in the query, so that is the method which runs.

    Returns: the method in upper case, "" where nothing overrides; None for an override that no one may ask for:
    CONNECT, TRACE, TRACK, no token, or two that differ.
    """
    headers = request.headers
    named = query_values(query, "_method") if query else ()
    if _FIRST in headers or _SECOND in headers or _THIRD in headers:
        named += tuple(headers[name] for name in METHOD_OVERRIDES if name in headers)
    if not named:
        return ""
    methods = set(map(str.upper, named))
    method = methods.pop()
    return method if not methods and is_token(method) and not is_forbidden_method(method) else None


def kind_of(request: Request, method: str, own_origin: str) -> Kind:
    """Classify a request by what its browser says of it.

    Args:
        request: the request.
        method: the method that will run, overrides applied.
        own_origin: the origin of the request's own URL; empty where the authority is no host.

    Spec: https://fetch.spec.whatwg.org/#http-origin, https://w3c.github.io/webappsec-fetch-metadata/.
    """
    if is_preflight(request):
        return Kind.PREFLIGHT
    headers = request.headers
    origin = headers.get("origin", "")
    site = _SITES.get(headers.get("sec-fetch-site", ""), _CROSS_SITE)
    if _is_own(origin, own_origin, site):
        return Kind.SAME_ORIGIN
    if origin:
        return Kind.CROSS_ORIGIN
    if site is _ABSENT:
        return Kind.NOT_A_BROWSER
    return Kind.CROSS_ORIGIN if is_write(method) or is_websocket(request) else _cross_site_load(request)


def _is_own(origin: str, own_origin: str, site: Site) -> bool:
    if not origin:
        return site in _OWN_SITES
    # Pages with `Referrer-Policy: no-referrer` send `null` to their own origin.
    return origin == own_origin or (origin == OPAQUE and site is Site.SAME_ORIGIN)


def _cross_site_load(request: Request) -> Kind:
    mode = request.headers.get("sec-fetch-mode", "")
    destination = request.headers.get("sec-fetch-dest", "")
    if mode == "navigate" and destination == "document":
        return Kind.NAVIGATION
    if mode in {"cors", "same-origin"} or (mode != "no-cors" and destination in {"", "empty"}):
        return Kind.READ
    # Everything that a page makes a browser load for it, and whatever calls itself by a name nobody knows.
    return Kind.EMBED
