"""What browsers, servers and strangers ask a shop, as Envoy passes it on: seeded, distinct, each with its answer."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum, unique
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from cors_authz._gen.wire.external_auth_pb2 import CheckRequest
from tests.bench.estate import Estate, Group, Service
from tests.bench.tokens import Issuer

PASS: Final = 2000
"""How many requests make the mix whole."""

TOKENS: Final = 500
NEW_TOKENS: Final = TOKENS * 5 // 100
_VISITORS: Final = 25
_EXPIRED: Final = 10

_STRANGER: Final = "https://evil.example"
_HEAD: Final = struct.Struct("<BI")


@unique
class Expect(IntEnum):
    """What the loader holds an answer against."""

    ANYTHING = 0
    ALLOW = 1
    REFUSE = 2


class Kind(NamedTuple):
    """A kind of request: how many of a thousand there are, the outcome that is right, and how one is drawn."""

    of_thousand: int
    outcome: str
    ask: Callable[[_Draw], _Ask]


class Check(NamedTuple):
    """A serialized CheckRequest and the outcome that it must have."""

    message: bytes
    outcome: str

    @property
    def expect(self) -> Expect:
        """What the loader is to hold the answer against: Envoy knows only whether it may forward."""
        return Expect.ALLOW if self.outcome == "allow" else Expect.REFUSE


class Tokens(NamedTuple):
    """The tokens of one pass; visitors and the expired come round and round."""

    clerks: Sequence[str]
    visitors: Iterator[str]
    expired: Iterator[str]


class _Ask(NamedTuple):
    """The part of a request that the decision depends on."""

    method: str
    group: Group
    headers: Mapping[str, str]


class Traffic:
    """Requests to an estate: the same seed asks the same, but for the tokens' signatures.

    Args:
        estate: the shop.
        issuer: signs the tokens.
        seed: of everything that is drawn.
    """

    def __init__(self, estate: Estate, issuer: Issuer, seed: int) -> None:
        self._estate = estate
        self._random = Random(seed)  # noqa: S311 - repeatable, not secret
        self._issuer = issuer
        self._known = [issuer.clerk() for _ in range(TOKENS - NEW_TOKENS - _VISITORS)]
        self._visitors = cycle([issuer.visitor() for _ in range(_VISITORS)])
        self._expired = cycle([issuer.expired() for _ in range(_EXPIRED)])
        self._shared = self._issuer.clerk()
        self._count = 0

    def mixed(self, passes: int) -> Iterator[Check]:
        """Draw the mix; each pass brings tokens that nobody has seen, and no two requests are alike."""
        for _ in range(passes):
            tokens = Tokens([*self._known, *self._new()], self._visitors, self._expired)
            kinds = [kind for kind in _MIX for _ in range(kind.of_thousand * PASS // 1000)]
            self._random.shuffle(kinds)
            # Each token at least once: a draw alone would leave out a third of them.
            deck = self._random.sample(tokens.clerks, len(tokens.clerks))
            for kind in kinds:
                yield self._check(kind, tokens, deck)

    def hot(self, count: int) -> Iterator[Check]:
        """Ask one thing over and over, as a polling page does: only id, the path's tail and x-request-id differ."""
        group = self._estate.group(0)
        origin = self._estate.origin(group.writers[0], 0)
        headers = {**_SCRIPT, "origin": origin, **_bearer(self._shared)}
        for _ in range(count):
            yield Check(self._serialize(_Ask("GET", group, headers)), "allow")

    def _new(self) -> list[str]:
        return [self._issuer.clerk() for _ in range(NEW_TOKENS)]

    def _check(self, kind: Kind, tokens: Tokens, deck: list[str]) -> Check:
        return Check(self._serialize(kind.ask(_Draw(self._estate, self._random, tokens, deck))), kind.outcome)

    def _serialize(self, ask: _Ask) -> bytes:
        self._count += 1
        number = self._random.getrandbits(64)
        request_id = f"{number >> 32:08x}-{number & 0xFFFF:04x}-4000-8000-{self._count:012x}"
        path = f"/{ask.group.segment}/items/{self._count:x}?page={number & 15}"
        request = CheckRequest()
        request.MergeFromString(_CONNECTION)
        http = request.attributes.request.http
        http.id, http.method, http.host, http.path = str(number), ask.method, ask.group.host, path
        http.scheme, http.protocol = "https", "HTTP/2"
        pseudo = {":authority": ask.group.host, ":method": ask.method, ":path": path, ":scheme": "https"}
        http.headers.update({**pseudo, **_BROWSER, **ask.headers, "x-request-id": request_id})
        return request.SerializeToString()


class _Draw(NamedTuple):
    """Where the parts of a request are drawn from."""

    estate: Estate
    random: Random
    tokens: Tokens
    deck: list[str]

    def group(self, *services: Service) -> Group:
        """Draw among the resource groups that serve one of these."""
        while True:
            group = self.estate.group(self.random.randrange(self.estate.groups))
            if group.service in services:
                return group

    def writer(self, group: Group) -> dict[str, str]:
        """Draw an origin that may do everything."""
        return {"origin": self.estate.origin(self.random.choice(group.writers), self.random.randrange(10))}

    def reader(self, group: Group) -> dict[str, str]:
        """Draw an origin that may read."""
        named = self.random.choice((*group.writers, group.readers))
        return {"origin": self.estate.origin(named, self.random.randrange(10))}

    def clerk(self) -> dict[str, str]:
        """Deal a token of someone who may do everything."""
        return _bearer(self.deck.pop() if self.deck else self.random.choice(self.tokens.clerks))


_API: Final = (Service.API, Service.DESK)
_STRANGER_HEADERS: Final = {"origin": _STRANGER, "referer": f"{_STRANGER}/"}


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def _read(draw: _Draw) -> _Ask:
    group = draw.group(*_API)
    return _Ask("GET", group, {**_SCRIPT, **draw.reader(group), **draw.clerk()})


def _write(draw: _Draw) -> _Ask:
    group = draw.group(*_API)
    method = draw.random.choice(("POST", "PUT", "DELETE"))
    return _Ask(method, group, {**_SCRIPT, **_JSON, **draw.writer(group), **draw.clerk()})


def _own_page(draw: _Draw) -> _Ask:
    own = {"sec-fetch-site": "same-origin"}
    return _Ask("GET", draw.group(*_API), {**_SCRIPT, **own, **draw.clerk()})


def _server(draw: _Draw) -> _Ask:
    return _Ask("GET", draw.group(*_API), {**draw.clerk(), "user-agent": "billing/2.1"})


def _form_own(draw: _Draw) -> _Ask:
    group = draw.group(Service.FORM)
    own = {"origin": f"https://{group.host}", "sec-fetch-site": "same-origin"}
    return _Ask("POST", group, {**_NAVIGATION, **_FORM, **own})


def _form_listed(draw: _Draw) -> _Ask:
    group = draw.group(Service.FORM)
    return _Ask("POST", group, {**_NAVIGATION, **_FORM, **draw.writer(group)})


def _form_stranger(draw: _Draw) -> _Ask:
    return _Ask("POST", draw.group(Service.FORM), {**_NAVIGATION, **_FORM, **_STRANGER_HEADERS})


def _websocket(draw: _Draw) -> _Ask:
    group = draw.group(Service.LIVE)
    return _Ask("GET", group, {**_HANDSHAKE, **draw.writer(group)})


def _websocket_stranger(draw: _Draw) -> _Ask:
    return _Ask("GET", draw.group(Service.LIVE), {**_HANDSHAKE, **_STRANGER_HEADERS})


def _preflight(draw: _Draw) -> _Ask:
    group = draw.group(*_API)
    method = draw.random.choice(("GET", "POST", "PUT", "DELETE"))
    return _Ask("OPTIONS", group, {**_PREFLIGHT, **draw.writer(group), "access-control-request-method": method})


def _preflight_stranger(draw: _Draw) -> _Ask:
    asked = {"access-control-request-method": "POST"}
    return _Ask("OPTIONS", draw.group(*_API), {**_PREFLIGHT, **_STRANGER_HEADERS, **asked})


def _preflight_header(draw: _Draw) -> _Ask:
    group = draw.group(*_API)
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-debug"}
    return _Ask("OPTIONS", group, {**_PREFLIGHT, **draw.writer(group), **asked})


def _write_stranger(draw: _Draw) -> _Ask:
    return _Ask("POST", draw.group(*_API), {**_SCRIPT, **_JSON, **_STRANGER_HEADERS, **draw.clerk()})


def _role_missing(draw: _Draw) -> _Ask:
    group = draw.group(Service.DESK)
    visitor = _bearer(next(draw.tokens.visitors))
    return _Ask("GET", group, {**_SCRIPT, **draw.reader(group), **visitor})


def _token_expired(draw: _Draw) -> _Ask:
    group = draw.group(*_API)
    expired = _bearer(next(draw.tokens.expired))
    return _Ask("GET", group, {**_SCRIPT, **draw.reader(group), **expired})


_MIX: Final = (
    Kind(250, "allow", _read),
    Kind(170, "allow", _write),
    Kind(80, "allow", _own_page),
    Kind(50, "allow", _server),
    Kind(20, "allow", _form_own),
    Kind(20, "allow", _form_listed),
    Kind(40, "allow", _websocket),
    Kind(270, "preflight_allow", _preflight),
    Kind(15, "preflight_deny", _preflight_stranger),
    Kind(15, "preflight_deny", _preflight_header),
    Kind(15, "deny", _write_stranger),
    Kind(10, "deny", _form_stranger),
    Kind(10, "deny", _websocket_stranger),
    Kind(25, "deny", _role_missing),
    Kind(10, "deny", _token_expired),
)
"""30 % preflights, 10 % refused, 5 % form posts, 5 % WebSocket handshakes."""

_FETCH_METADATA: Final = ("sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")
_BROWSER: Final = {
    "accept": "application/json, text/plain, */*",
    "accept-encoding": "gzip, deflate, br, zstd",
    "accept-language": "en-GB,en;q=0.9,de-CH;q=0.8,de;q=0.7",
    "cache-control": "no-cache",
    "pragma": "no-cache",
    "priority": "u=1, i",
    "sec-gpc": "1",
    "user-agent": (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/149.0.0.0 Safari/537.36"
    ),
    "x-envoy-external-address": "198.51.100.23",
    "x-forwarded-for": "198.51.100.23",
    "x-forwarded-proto": "https",
}
_HINTS: Final = {
    "sec-ch-ua": '"Chromium";v="149", "Google Chrome";v="149", "Not.A/Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "referer": "https://www0.app0.example/",
}
_SCRIPT: Final = {**_HINTS, "sec-fetch-dest": "empty", "sec-fetch-mode": "cors", "sec-fetch-site": "cross-site"}
_PREFLIGHT: Final = {
    "access-control-request-headers": "authorization,content-type",
    **{name: _SCRIPT[name] for name in _FETCH_METADATA},
}
_COOKIE: Final = {"cookie": "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=all.2026-11-01"}
_NAVIGATION: Final = {
    **_HINTS,
    **_COOKIE,
    "sec-fetch-dest": "document",
    "sec-fetch-mode": "navigate",
    "sec-fetch-site": "cross-site",
    "sec-fetch-user": "?1",
    "upgrade-insecure-requests": "1",
}
_FORM: Final = {"content-type": "application/x-www-form-urlencoded", "content-length": "64"}
_JSON: Final = {"content-type": "application/json", "content-length": "512"}
_HANDSHAKE: Final = {
    **_COOKIE,
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
    "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
    "sec-fetch-dest": "websocket",
    "sec-fetch-mode": "websocket",
    "sec-fetch-site": "cross-site",
}


def _length_delimited(field: int, payload: bytes) -> bytes:
    return bytes([field << 3 | 2, len(payload)]) + payload


def _peer(address: bytes, port: int) -> bytes:
    socket_address = _length_delimited(2, address) + bytes([3 << 3, port & 0x7F | 0x80, port >> 7])
    return _length_delimited(1, _length_delimited(1, socket_address))


# What Envoy says of the connection and the service does not read: destination, the time of the request.
_CONNECTION: Final = _length_delimited(
    1,
    _length_delimited(1, _peer(b"198.51.100.23", 9443))
    + _length_delimited(2, _peer(b"10.4.11.207", 8443))
    + _length_delimited(
        4, _length_delimited(1, bytes([1 << 3, 0xC0, 0xA1, 0xE4, 0xD0, 0x06, 2 << 3, 0x95, 0x9A, 0x3B]))
    ),
)


def write_trace(checks: Iterable[Check], file: Path) -> Path:
    """Write a trace in the loader's form: expectation, length, message."""
    with file.open("wb") as out:
        for check in checks:
            out.write(_HEAD.pack(check.expect, len(check.message)) + check.message)
    return file
