"""What a browser concludes from an answer: whether the request is sent, whether the page reads it, and what of it.

Everything is judged as the Fetch standard says it; where the engines differ, each is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, unique
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple, TypeAlias

from cors_authz.fetch.address_space import is_private, unmapped
from cors_authz.fetch.fields import FORBIDDEN_RESPONSE_HEADERS, SAFELISTED_RESPONSE_HEADERS, is_token
from cors_authz.fetch.origin import parse_origin, split_port
from cors_authz.fetch.request import Site

Headers: TypeAlias = Sequence[tuple[str, str]]
"""The headers of a response in their order, names in lower case."""


@unique
class Credentials(Enum):
    """The credentials mode of a request from another origin: whether the browser attaches cookies and certificates.

    Spec: https://fetch.spec.whatwg.org/#concept-request-credentials-mode.
    """

    INCLUDE = "include"
    OMIT = "omit"


@unique
class Engine(Enum):
    """A browser engine, by the name that its makers use."""

    CHROMIUM = "Chromium"
    FIREFOX = "Firefox"
    WEBKIT = "WebKit"


@unique
class Verdict(Enum):
    """Whether the browser goes on, stops, or only does something that is good to know."""

    GOES_ON = "goes on"
    STOPS = "stops"
    NOTE = "note"


class Conclusion(NamedTuple):
    """What a browser concludes, in one sentence; `engine` is set where the engines differ."""

    verdict: Verdict
    sentence: str
    engine: Engine | None = None


class Asked(NamedTuple):
    """What a page asks of its browser: origin, credentials mode, method, and the header names that need permission.

    `origin` is as the browser serializes it, `null` for an opaque one; `headers` are in lower case.
    """

    origin: str
    credentials: Credentials
    method: str = "GET"
    headers: tuple[str, ...] = ()


MAX_AGE_CAPS: Final = {Engine.CHROMIUM: 7200, Engine.FIREFOX: 86400, Engine.WEBKIT: 600}
"""The seconds for which each engine keeps a preflight's answer at most."""

DEFAULT_MAX_AGE_SECONDS: Final = 5
"""Without a readable Access-Control-Max-Age. Spec: https://fetch.spec.whatwg.org/#cors-preflight-fetch."""

_SAFELISTED_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_OK_STATUS: Final = range(200, 300)
_NON_WILDCARD: Final = "authorization"
_NETWORK_ERROR: Final = "the page sees a network error: "


def check_cors(asked: Asked, response: Headers) -> Conclusion:
    """Do the CORS check.

    Returns: that the page may read the answer, or that it sees a network error and why. Never raises.
    Spec: https://fetch.spec.whatwg.org/#cors-check.
    """
    objection = _object_to_reading(asked, response)
    if objection:
        return Conclusion(Verdict.STOPS, _NETWORK_ERROR + objection)
    return Conclusion(Verdict.GOES_ON, "the page may read the answer")


def check_preflight(asked: Asked, status: int, response: Headers) -> tuple[Conclusion, ...]:
    """Check the answer to a preflight.

    Args:
        asked: what the preflight asks for.
        status: the HTTP status of the answer.
        response: its headers.

    Returns: that the request is not sent and why; else that it is sent, and for how long each engine keeps the
        permission. Never raises.
    Spec: https://fetch.spec.whatwg.org/#cors-preflight-fetch.
    """
    objection = _object_to_preflight(asked, status, response)
    if objection:
        return (Conclusion(Verdict.STOPS, f"the browser does not send the request, and {_NETWORK_ERROR}{objection}"),)
    return (Conclusion(Verdict.GOES_ON, f"the browser sends the {asked.method}"), *_kept(response))


def exposed_names(credentials: Credentials, response: Headers) -> frozenset[str] | None:
    """Say which response headers scripts may read beyond the safelist, in lower case.

    Returns: the names; None for all, which is what `*` means unless credentials travel. Never raises.
    Spec: https://fetch.spec.whatwg.org/#ref-for-concept-response-cors-exposed-header-name-list.
    """
    names = _listed(response, "access-control-expose-headers")
    if "*" in (names or ()) and credentials is Credentials.OMIT:
        return None
    return frozenset(name.lower() for name in names or ()) - FORBIDDEN_RESPONSE_HEADERS


def conclude_reading(asked: Asked, response: Headers) -> tuple[Conclusion, ...]:
    """Conclude what the page learns of an answer to its script: nothing, or its body and some of its headers."""
    checked = check_cors(asked, response)
    return (checked,) if checked.verdict is Verdict.STOPS else (checked, _visible(asked.credentials, response))


def conclude_embed(site: Site, response: Headers) -> Conclusion:
    """Conclude what becomes of an image, script, frame and the like that another site embeds.

    Spec: https://fetch.spec.whatwg.org/#cross-origin-resource-policy-check.
    """
    policy = _value(response, "cross-origin-resource-policy") or ""
    if policy == "same-origin" or (policy == "same-site" and site is not Site.SAME_SITE):
        return Conclusion(Verdict.STOPS, f"the browser blocks the resource: Cross-Origin-Resource-Policy is `{policy}`")
    return Conclusion(Verdict.GOES_ON, "the browser shows or runs the resource; scripts of the page read nothing of it")


def conclude_navigation() -> Conclusion:
    """Conclude what becomes of a link: the answer is the next page, and the page before it reads nothing."""
    return Conclusion(Verdict.GOES_ON, "the browser shows the answer as a page; the page that led here reads nothing")


def conclude_websocket(status: int) -> Conclusion:
    """Conclude what becomes of a WebSocket handshake; 0 is the status of one that goes on to the server.

    Spec: https://websockets.spec.whatwg.org/#establish-a-websocket-connection.
    """
    if status:
        return Conclusion(Verdict.STOPS, f"the socket fails to open: status {status} is not 101")
    return Conclusion(
        Verdict.GOES_ON, "the socket opens if the server agrees: browsers do no CORS check here, so the server must"
    )


class _Space(NamedTuple):
    rank: int
    words: str


_PUBLIC: Final = _Space(0, "the public network")
_LOCAL: Final = _Space(1, "the local network")
_LOOPBACK: Final = _Space(2, "the user's own device")


def note_on_local_network(origin: str, host: str) -> Conclusion | None:
    """Say what stands between a page and a target nearer to the user than itself.

    Args:
        origin: the page's.
        host: the target's, with or without a port. Only names and addresses that are local by themselves are known
            as such; what a public name resolves to is the browser's to find out.

    Returns: the note; None for a target that is no nearer. Never raises.
    Spec: https://wicg.github.io/local-network-access/#integration-with-permissions.
    """
    page, target = _space_of_origin(origin), _space_of(split_port(host.lower())[0])
    if target.rank <= page.rank:
        return None
    return Conclusion(
        Verdict.NOTE,
        f"the target is on {target.words}: the user must permit `{origin}` to reach it; no header can",
        Engine.CHROMIUM,
    )


def _object_to_reading(asked: Asked, response: Headers) -> str:
    named = _value(response, "access-control-allow-origin")
    if not named:
        return "the answer names no origin"
    include = asked.credentials is Credentials.INCLUDE
    if named == "*":
        return "`*` does not count where credentials travel" if include else ""
    if named != asked.origin:
        return f"the answer names `{named}`, not `{asked.origin}`"
    if include and _value(response, "access-control-allow-credentials") != "true":
        return "credentials travel, and the answer does not say Access-Control-Allow-Credentials: true"
    return ""


def _object_to_preflight(asked: Asked, status: int, response: Headers) -> str:
    objection = _object_to_reading(asked, response)
    if objection:
        return objection
    if status not in _OK_STATUS:
        return f"the preflight was answered {status}, and only 200 to 299 count"
    methods = _listed(response, "access-control-allow-methods")
    names = _listed(response, "access-control-allow-headers")
    if methods is None or names is None:
        return "Access-Control-Allow-Methods or -Headers is not a list of names"
    return _object_to_method(asked, methods) or _object_to_headers(asked, frozenset(name.lower() for name in names))


def _object_to_method(asked: Asked, methods: tuple[str, ...]) -> str:
    wildcard = "*" in methods and asked.credentials is Credentials.OMIT
    if asked.method in methods or asked.method in _SAFELISTED_METHODS or wildcard:
        return ""
    return f"the answer does not allow method `{asked.method}`"


def _object_to_headers(asked: Asked, names: frozenset[str]) -> str:
    wildcard = "*" in names and asked.credentials is Credentials.OMIT
    missing = [name for name in asked.headers if name not in names and not (wildcard and name != _NON_WILDCARD)]
    if not missing:
        return ""
    if missing == [_NON_WILDCARD] and "*" in names:
        return "the answer does not allow header `authorization` by name, and `*` does not cover it"
    return f"the answer does not allow header {', '.join(f'`{name}`' for name in missing)}"


def _kept(response: Headers) -> Iterator[Conclusion]:
    seconds = _max_age(response)
    lasting = {engine: min(seconds, cap) for engine, cap in MAX_AGE_CAPS.items()}
    if len(set(lasting.values())) == 1:
        yield Conclusion(Verdict.NOTE, _kept_for(seconds))
        return
    for engine, kept in lasting.items():
        yield Conclusion(Verdict.NOTE, _kept_for(kept), engine)


def _kept_for(seconds: int) -> str:
    return f"the permission is kept for {seconds} s" if seconds else "the permission is not kept"


def _max_age(response: Headers) -> int:
    text = _value(response, "access-control-max-age") or ""
    if not text.isascii() or not text.isdecimal():
        return DEFAULT_MAX_AGE_SECONDS
    # Python refuses to read integers of thousands of digits; every engine's cap has far fewer.
    digits = text.lstrip("0")
    return int(digits[:10] or "0")


def _visible(credentials: Credentials, response: Headers) -> Conclusion:
    exposed = exposed_names(credentials, response)
    if exposed is None:
        return Conclusion(Verdict.NOTE, "scripts may read every response header but Set-Cookie")
    further = sorted(exposed - SAFELISTED_RESPONSE_HEADERS)
    literal = " (`*` is taken literally where credentials travel)" if "*" in exposed else ""
    listed = f"scripts may read the safelisted response headers and {_and(further)}{literal}"
    return Conclusion(Verdict.NOTE, listed if further else "scripts may read the safelisted response headers only")


def _and(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _value(response: Headers, name: str) -> str | None:
    """Join the values of a header as Fetch does; see https://fetch.spec.whatwg.org/#concept-header-list-get."""
    values = [value.strip(" \t") for each, value in response if each == name]
    return ", ".join(values) if values else None


def _listed(response: Headers, name: str) -> tuple[str, ...] | None:
    """Read a list of tokens: () where the header is absent, None where it is no such list.

    Spec: https://fetch.spec.whatwg.org/#extract-header-list-values.
    """
    parts = [part.strip(" \t") for part in (_value(response, name) or "").split(",")]
    tokens = tuple(part for part in parts if part)
    return tokens if all(map(is_token, tokens)) else None


def _space_of_origin(origin: str) -> _Space:
    parsed = parse_origin(origin)
    return _space_of(parsed.host) if parsed else _PUBLIC


def _space_of(host: str) -> _Space:
    if host == "localhost" or host.endswith(".localhost"):
        return _LOOPBACK
    if host.endswith(".local"):
        return _LOCAL
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return _PUBLIC
    return _space_of_address(unmapped(address))


def _space_of_address(address: IPv4Address | IPv6Address) -> _Space:
    if address.is_loopback:
        return _LOOPBACK
    return _LOCAL if is_private(address) else _PUBLIC
