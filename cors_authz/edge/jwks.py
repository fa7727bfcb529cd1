"""The keys that verify tokens: read from a file or an https URL in the background, never while a request waits."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final, NamedTuple
from urllib.parse import urljoin

import orjson
import urllib3
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from joserfc.util import base64_to_int

from cors_authz.edge.clock import now_seconds
from cors_authz.edge.metrics.catalogue import JWKS_FAILURES, JWKS_FETCHED
from cors_authz.edge.metrics.sample import Sample
from cors_authz.policy.compiled import Provider

MAX_SET_BYTES: Final = 1 << 20
"""A longer key set is refused: the largest issuers publish a few dozen KiB."""

MAX_CANDIDATES: Final = 4
"""So many keys are tried for one token at most, however many of a set carry its key id, or none."""

FETCH_SECONDS: Final = 10.0
"""A fetch that lasts longer is given up, however steadily its bytes drip."""

TIMEOUT_SECONDS: Final = 3.0
MAX_REDIRECTS: Final = 3
STOP_SECONDS: Final = 1.0

_logger: Final = logging.getLogger(__name__)


class KeysError(Exception):
    """A key set that cannot be had; the text says why, for the operator."""


class SigningKey(NamedTuple):
    """A public key of an issuer, and its key id (empty: none)."""

    kid: str
    key: Key


class KeyRing:
    """The keys of one key set, by the policy's name of the algorithm that they fit.

    Two rings are never equal, so that what one of them verified can be told from what the next one would.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, tuple[SigningKey, ...]]) -> None:
        self._keys = keys

    @property
    def size(self) -> int:
        """How many keys there are; not `__len__`, or an empty ring would pass for none."""
        return sum(map(len, self._keys.values()))

    def candidates(self, algorithm: str, kid: str) -> tuple[Key, ...]:
        """Say which keys may have signed a token; a key or a token without a key id is no obstacle.

        Returns: at most `MAX_CANDIDATES` keys in the order of the set; () if the set has none.
        """
        keys = self._keys.get(algorithm, ())
        return tuple(key for key_id, key in keys if not kid or not key_id or key_id == kid)[:MAX_CANDIDATES]


class _Shape(NamedTuple):
    """What a JWK must be to serve an algorithm: its type, curve, public members, and the algorithms it may name."""

    kty: str
    crv: str | None
    members: tuple[str, ...]
    names: tuple[str | None, ...]


_SHAPES: Final = {
    "RS256": _Shape("RSA", None, ("n", "e"), (None, "RS256")),
    "ES256": _Shape("EC", "P-256", ("crv", "x", "y"), (None, "ES256")),
    "EdDSA": _Shape("OKP", "Ed25519", ("crv", "x"), (None, "EdDSA", "Ed25519")),
}
# RFC 7518 section 3.3 demands 2048 bits; verification with more than 16384 would be an attack on our processor.
_RSA_BITS: Final = range(2048, 16384 + 1)


def parse_key_set(raw: bytes, algorithms: Iterable[str]) -> KeyRing:
    """Read a JWK Set and keep the keys that fit one of the algorithms (`RS256`, `ES256`, `EdDSA`).

    A key that is not understood is passed over, as the specification asks, so that it cannot take the others along.
    A set without a fitting key is an answer too: an issuer that withdraws all its keys means it.

    Raises: KeysError for what is no JWK Set, or is longer than `MAX_SET_BYTES`.
    Spec: https://www.rfc-editor.org/rfc/rfc7517#section-5.
    """
    if len(raw) > MAX_SET_BYTES:
        raise KeysError(f"the key set is longer than {MAX_SET_BYTES} bytes")
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise KeysError(f"the key set is not JSON ({error})") from error
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise KeysError("the key set has no list `keys`")
    return KeyRing(
        {name: tuple(_fitting(keys, _SHAPES[name])) for name in algorithms if name in _SHAPES},
    )


def _fitting(keys: Iterable[object], shape: _Shape) -> Iterable[SigningKey]:
    for jwk in keys:
        if isinstance(jwk, dict) and _fits(jwk, shape) and (key := _import(jwk, shape)) is not None:
            kid = jwk.get("kid")
            yield SigningKey(kid if isinstance(kid, str) else "", key)


def _fits(jwk: Mapping[str, object], shape: _Shape) -> bool:
    operations = jwk.get("key_ops")
    return (
        (jwk.get("kty"), jwk.get("crv")) == (shape.kty, shape.crv)
        and jwk.get("alg") in shape.names
        and jwk.get("use") in (None, "sig")
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _import(jwk: Mapping[str, object], shape: _Shape) -> Key | None:
    # The public members alone: a private key that was published by mistake does not enter the process, and
    # joserfc would hold a key with `alg: EdDSA` against a token that says `Ed25519`.
    public = {name: value for name in shape.members if isinstance(value := jwk.get(name), str)}
    try:
        if shape.kty == "RSA" and base64_to_int(public["n"]).bit_length() not in _RSA_BITS:
            return None
        return JWKRegistry.import_key({"kty": shape.kty, **public})
    except (JoseError, ValueError, KeyError):
        return None


def read_key_file(path: str) -> bytes:
    """Read a key set from a file, through symbolic links.

    Returns: the bytes, at most one more than `MAX_SET_BYTES`.
    Raises: KeysError if the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_SET_BYTES + 1)
    except OSError as error:
        raise KeysError(f"`{path}` cannot be read: {error.strerror}") from error


class HttpsFetch:
    """Gets a key set by https: bounded in bytes and time, redirected to https only, never decompressed.

    Args:
        pool: what opens connections and decides whom to trust.
        clock: seconds that never go back.
        timeout_seconds: for connecting, and for each wait on a byte.
    """

    def __init__(
        self, pool: urllib3.PoolManager, clock: Callable[[], float], timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._timeout = urllib3.Timeout(connect=timeout_seconds, read=timeout_seconds)

    def __call__(self, url: str) -> bytes:
        """Get the body at an URL.

        Returns: the bytes, at most `MAX_SET_BYTES`.
        Raises: KeysError for everything else than a whole 200 within `FETCH_SECONDS` and `MAX_REDIRECTS`.
        """
        deadline = self._clock() + FETCH_SECONDS
        try:
            for _ in range(1 + MAX_REDIRECTS):
                with self._open(url) as response:
                    location = response.get_redirect_location()
                    if not location:
                        return self._body(response, deadline)
                    url = urljoin(url, location)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise KeysError(f"`{url}` cannot be fetched: {error}") from error
        raise KeysError(f"`{url}`: more than {MAX_REDIRECTS} redirects")

    def _open(self, url: str) -> urllib3.BaseHTTPResponse:
        if not url.lower().startswith("https://"):
            raise KeysError(f"`{url}` is not https: whoever is on the way could exchange the keys")
        return self._pool.request(
            "GET",
            url,
            headers={"accept": "application/json, application/jwk-set+json", "accept-encoding": "identity"},
            timeout=self._timeout,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )

    def _body(self, response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
        if response.status != HTTPStatus.OK:
            raise KeysError(f"the answer has status {response.status}")
        body = bytearray()
        # read1: what has arrived, or a server that sends a byte every two seconds would keep us for days.
        while chunk := response.read1(1 << 16):
            body += chunk
            if len(body) > MAX_SET_BYTES:
                raise KeysError(f"the key set is longer than {MAX_SET_BYTES} bytes")
            if self._clock() > deadline:
                raise KeysError(f"the key set took longer than {FETCH_SECONDS:.0f} seconds")
        return bytes(body)


class Schedule(NamedTuple):
    """How often keys are read: as a rule, and at the soonest (after a failure, or when a token's key is unknown)."""

    period_seconds: float
    soonest_seconds: float


URI_SCHEDULE: Final = Schedule(period_seconds=300.0, soonest_seconds=10.0)
FILE_SCHEDULE: Final = Schedule(period_seconds=1.0, soonest_seconds=1.0)
"""A file is read, not asked for its time of change: it is small, and a swapped symbolic link goes unnoticed by none."""

KEEP_SECONDS: Final = 86400.0
"""The last good key set serves for so long while no newer one can be had."""


class _Held(NamedTuple):
    """The last good key set: its bytes, its keys, and when it was last confirmed."""

    raw: bytes
    ring: KeyRing
    at: float


class KeySource:
    """The keys of one issuer, kept fresh by a thread of its own, so that a slow issuer holds up no other.

    Args:
        about: the file or URL, handed to `load` and named in logs.
        algorithms: the pinned algorithms; keys for others are not kept.
        load: reads the key set; raises KeysError.
        schedule: how often.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        about: str,
        algorithms: tuple[str, ...],
        load: Callable[[str], bytes],
        schedule: Schedule,
        clock: Callable[[], float],
    ) -> None:
        self.about = about
        self.last_error = ""
        """Why the last attempt failed; empty if it did not."""
        self.failures = 0
        """How many attempts failed."""
        self._algorithms = algorithms
        self._load = load
        self._schedule = schedule
        self._clock = clock
        self._held: _Held | None = None
        self._tried_at = -math.inf
        self._asked = False
        self._stopped = False
        self._wake = Event()
        self._thread = Thread(target=self._run, name=f"keys {about}", daemon=True)

    def current(self) -> KeyRing | None:
        """Hand out the keys at once, without I/O.

        Returns: the same ring for as long as the key set stays the same; None if no set was ever loaded, or none
            could be confirmed for `KEEP_SECONDS`. Never raises.
        """
        held = self._held
        return held.ring if held is not None and self._clock() - held.at < KEEP_SECONDS else None

    def age_seconds(self) -> float | None:
        """Say how long ago the keys were last read; None if they never were."""
        held = self._held
        return None if held is None else self._clock() - held.at

    def ask(self) -> None:
        """Ask for a refresh because a token names an unknown key; at most one per `soonest_seconds` comes of it."""
        if not self._asked:
            self._asked = True
            self._wake.set()

    def tick(self) -> float:
        """Read the keys if it is time; the thread does nothing else. Never raises.

        Returns: the seconds until it is time again.
        """
        if self._clock() >= self._due_at():
            self._refresh()
        return max(0.0, self._due_at() - self._clock())

    def start(self) -> None:
        """Begin to keep the keys fresh; once only."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; one that is in the middle of a fetch is left to end by itself."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(self.tick())
            self._wake.clear()

    def _due_at(self) -> float:
        soon = self._asked or self.last_error
        return self._tried_at + (self._schedule.soonest_seconds if soon else self._schedule.period_seconds)

    def _refresh(self) -> None:
        self._tried_at = self._clock()
        # Before the load: who asks during it may have seen a key that is younger than what it reads.
        self._asked = False
        try:
            self._hold(self._load(self.about))
        except KeysError as error:
            self._fail(str(error))
        except Exception as error:
            _logger.exception("keys of `%s`: reading them failed in a way that was not foreseen", self.about)
            self._fail(f"internal error: {type(error).__name__}")

    def _hold(self, raw: bytes) -> None:
        held = self._held
        changed = held is None or held.raw != raw
        ring = parse_key_set(raw, self._algorithms) if held is None or changed else held.ring
        if changed:
            _logger.info(
                "keys of `%s`: a new key set is in use, with %d keys for %s",
                self.about,
                ring.size,
                "/".join(self._algorithms),
            )
        elif self.last_error:
            _logger.info("keys of `%s`: can be had again", self.about)
        self._held = _Held(raw, ring, self._tried_at)
        self.last_error = ""

    def _fail(self, error: str) -> None:
        # Once per kind of failure: an issuer that is down for an hour is one line, not hundreds.
        if error != self.last_error:
            left = "there are none to serve with" if self.current() is None else "the last good ones serve on"
            _logger.warning("keys of `%s`: %s; %s", self.about, error, left)
        self.last_error = error
        self.failures += 1


class KeySources:
    """The sources of all providers, shared by a policy and its successor, so that a reload does not lose the keys.

    Args:
        fetch: gets the body at a URL; raises KeysError.
        clock: seconds that never go back.
        now: gives the time in seconds since the epoch, to tell others when keys were read.
    """

    def __init__(
        self, fetch: Callable[[str], bytes], clock: Callable[[], float], now: Callable[[], float] = now_seconds
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._now = now
        self._in_force: dict[str, _Origin] = {}
        self._sources: dict[_Origin, KeySource] = {}
        self._lock = Lock()

    def of(self, providers: Iterable[Provider]) -> Mapping[str, KeySource]:
        """Say which source serves which provider, by its name, and start those that are new.

        A file has been read when this returns; a URL has not. Providers whose tokens Envoy verified have no source.
        """
        with self._lock:
            return {name: self._source(origin) for name, origin in _origins(providers).items()}

    def keep_only(self, providers: Iterable[Provider]) -> None:
        """Stop the sources that none of the providers uses; to be called once the older policy is out of use."""
        origins = _origins(providers)
        wanted = set(origins.values())
        with self._lock:
            self._in_force = origins
            for origin in [origin for origin in self._sources if origin not in wanted]:
                self._sources.pop(origin).stop()

    def stop(self) -> None:
        """Stop all sources."""
        self.keep_only(())

    def samples(self) -> Iterator[Sample]:
        """Read when the keys of each provider in force were read, and how often that failed; a `Source`."""
        with self._lock:
            sources = {name: self._sources[origin] for name, origin in self._in_force.items()}
        for name, source in sources.items():
            age_seconds = source.age_seconds()
            yield Sample(JWKS_FETCHED, (name,), 0.0 if age_seconds is None else self._now() - age_seconds)
            yield Sample(JWKS_FAILURES, (name,), source.failures)

    def _source(self, origin: _Origin) -> KeySource:
        if origin not in self._sources:
            self._sources[origin] = self._started(origin)
        return self._sources[origin]

    def _started(self, origin: _Origin) -> KeySource:
        if origin.file:
            source = KeySource(origin.file, origin.algorithms, read_key_file, FILE_SCHEDULE, self._clock)
            source.tick()
        else:
            source = KeySource(origin.uri, origin.algorithms, self._fetch, URI_SCHEDULE, self._clock)
        source.start()
        return source


class _Origin(NamedTuple):
    """What tells one source from another."""

    uri: str
    file: str
    algorithms: tuple[str, ...]


def _origins(providers: Iterable[Provider]) -> dict[str, _Origin]:
    return {
        provider.name: _Origin(provider.jwks_uri, provider.jwks_file, provider.algorithms)
        for provider in providers
        if provider.jwks_uri or provider.jwks_file
    }
