"""The caller's tokens: found in the request, verified with the issuer's keys, and remembered until they expire."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import Key
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact

from cors_authz.edge.jwks import KeyRing, KeySource
from cors_authz.edge.metrics.catalogue import TOKENS
from cors_authz.edge.metrics.sample import Sample
from cors_authz.pdp.claims import verified
from cors_authz.pdp.readings import TokenReading, TokenState
from cors_authz.policy.compiled import Provider, TokenPlace

MAX_TOKEN_CHARS: Final = 16 * 1024
"""A longer token is refused unread."""

CACHE_ENTRIES: Final = 10_000
JWT_AUTHN: Final = "envoy.filters.http.jwt_authn"
"""The namespace in which Envoy's own JWT filter leaves the payloads that it verified."""

# Year 30 million: beyond it, arithmetic on times stops being exact.
_FAR_SECONDS: Final = 1e15
_NO_CLAIMS: Final[Mapping[str, object]] = MappingProxyType({})
_COMPACT_JWS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# By the token's `alg`: the policy's name. RFC 9864 renamed EdDSA, and issuers say either.
_POLICY_NAMES: Final = {"RS256": "RS256", "ES256": "ES256", "EdDSA": "EdDSA", "Ed25519": "EdDSA"}


class _Registry(JWSRegistry):
    """joserfc's limits raised to ours: its 512 bytes of header are too few for a certificate's thumbprints."""

    max_header_length = MAX_TOKEN_CHARS
    max_signature_length = MAX_TOKEN_CHARS

    def get_alg(self, name: str) -> JWSAlgModel:
        """Hand out the algorithm without joserfc's warning about the name EdDSA; the pin was checked before."""
        return self.algorithms[name]


# Unknown header parameters must be ignored: https://www.rfc-editor.org/rfc/rfc7515#section-4.
_REGISTRY: Final = _Registry(strict_check_header=False)


class _Verified(NamedTuple):
    """A token that passed: what was read, the keys that verified it, and the epoch second from which it is expired."""

    reading: TokenReading
    ring: KeyRing
    until: float


class _Cache:
    """Verified tokens by provider and token; the oldest makes room. Safe to use from many threads.

    Only what an issuer signed gets in, so a stranger can neither fill it nor push others out.
    """

    def __init__(self, entries: int) -> None:
        self._entries = entries
        # Not a dict: taking the first of many out of one costs more each time.
        self._verified: OrderedDict[tuple[str, str], _Verified] = OrderedDict()
        self._lock = Lock()

    def get(self, provider: str, token: str) -> _Verified | None:
        """Find a token that was verified before; whether it still holds is for the caller to judge."""
        return self._verified.get((provider, token))

    def put(self, provider: str, token: str, verified: _Verified) -> None:
        """Remember a token that was verified."""
        with self._lock:
            self._verified[provider, token] = verified
            if len(self._verified) > self._entries:
                self._verified.popitem(last=False)


class TokenReader:
    """Reads the tokens of requests, each by the rules of its provider.

    Args:
        providers: by name, as in `CompiledPolicy.providers`.
        sources: the keys, by the name of each provider that has some.
        cache_entries: how many verified tokens are remembered. A new policy is a new reader with an empty memory,
            since the rules of the providers are part of the verdict.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        sources: Mapping[str, KeySource],
        cache_entries: int = CACHE_ENTRIES,
    ) -> None:
        self._providers = providers
        self._sources = sources
        self._places = {name: (provider.header, _FINDERS[provider.token_place]) for name, provider in providers.items()}
        self._cache = _Cache(cache_entries)
        # On CPython no thread comes between the halves of `+=`, and a lock would cost ten times as much.
        self._remembered = 0
        self._verified = 0

    def read(
        self,
        provider_name: str,
        headers: Mapping[str, str],
        metadata: Mapping[str, Mapping[str, object]],
        now: float,
    ) -> TokenReading:
        """Read one provider's token of a request, without I/O.

        Args:
            provider_name: a key of `providers`.
            headers: the request's, by names in lower case, those of one name joined by commas.
            metadata: the dynamic metadata that Envoy's filters left, by their namespace.
            now: seconds since the epoch.

        Returns: `VALID` with the claims; else why not. `UNAVAILABLE` only if there are no keys at all: with keys that
            do not fit the token, it is `INVALID` and newer ones are asked for. Whatever a client sends, never raises.
        Spec: https://www.rfc-editor.org/rfc/rfc8725#section-3.
        """
        provider = self._providers[provider_name]
        if provider.envoy_metadata:
            return _read_metadata(provider, metadata, now)
        header, find = self._places[provider_name]
        token = find(headers.get(header, ""), provider.token_name)
        return token if isinstance(token, TokenReading) else self._read_token(provider, token, now)

    def samples(self) -> Iterator[Sample]:
        """Read how many tokens were known, and of how many the signature was checked; a `Source`."""
        yield Sample(TOKENS, ("remembered",), self._remembered)
        yield Sample(TOKENS, ("verified",), self._verified)

    def _read_token(self, provider: Provider, token: str, now: float) -> TokenReading:
        source = self._sources[provider.name]
        ring = source.current()
        known = self._cache.get(provider.name, token)
        if known is not None and known.ring is ring and now < known.until:
            self._remembered += 1
            return known.reading
        signature = _parse(provider, token)
        if isinstance(signature, str):
            return _invalid(signature)
        if ring is None:
            return TokenReading(TokenState.UNAVAILABLE, _NO_CLAIMS, "there are no keys of the issuer to check it with")
        self._verified += 1
        if not _is_signed(signature, ring):
            source.ask()
            return _invalid("no key of the issuer fits key id and signature")
        reading = _read_payload(provider, signature.payload, now)
        if reading.state is TokenState.VALID:
            self._cache.put(provider.name, token, _Verified(reading, ring, _expiry(provider, reading.claims)))
        return reading


def _invalid(why: str) -> TokenReading:
    return TokenReading(TokenState.INVALID, _NO_CLAIMS, why)


def _missing(why: str) -> TokenReading:
    return TokenReading(TokenState.MISSING, _NO_CLAIMS, why)


def _bearer(value: str, _name: str) -> str | TokenReading:
    """Take the token out of Authorization.

    Spec: https://www.rfc-editor.org/rfc/rfc6750#section-2.1, https://www.rfc-editor.org/rfc/rfc9110#section-11.4.
    """
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer":
        return _missing("authorization holds no bearer token")
    return token.strip(" ")


def _whole(value: str, name: str) -> str | TokenReading:
    return value or _missing(f"header {name} is absent")


def _cookie(value: str, name: str) -> str | TokenReading:
    """Take the token out of the one cookie of that name.

    Two Cookie lines of HTTP/1 arrive joined by a comma. What stands behind one may be a cookie to the service that
    gets the request, so a second one of the name is looked for there as well, and refused rather than chosen from.
    """
    found = _cookies(value.split(";"), name)
    if len(_cookies(re.split("[;,]", value), name)) != len(found) or len(found) > 1:
        return _invalid(f"cookie {name} stands in more than one place")
    return found[0] if found else _missing(f"cookie {name} is absent")


def _cookies(pairs: Iterable[str], name: str) -> list[str]:
    split = (pair.partition("=") for pair in pairs)
    return [value.strip(" \t") for key, _, value in split if key.strip(" \t") == name]


_FINDERS: Final[Mapping[TokenPlace, Callable[[str, str], str | TokenReading]]] = {
    TokenPlace.AUTHORIZATION: _bearer,
    TokenPlace.HEADER: _whole,
    TokenPlace.COOKIE: _cookie,
}


def _parse(provider: Provider, token: str) -> CompactSignature | str:
    """Take a token apart and hold its header against the pins; a string says why it is refused unverified.

    `jku`, `jwk`, `x5u` and `x5c` are not looked at: a key comes from the provider's key set or not at all.
    """
    if len(token) > MAX_TOKEN_CHARS:
        return f"the token is longer than {MAX_TOKEN_CHARS} characters"
    if not _COMPACT_JWS.fullmatch(token):
        return "the token is not three base64url parts with dots between them"
    try:
        signature = extract_compact(token.encode("ascii"), registry=_REGISTRY)
    except (JoseError, ValueError, TypeError, RecursionError):
        # TypeError and RecursionError: joserfc reads a header that is no object, or nested too deep, unprotected.
        return "the token cannot be decoded"
    return _object_to_header(provider, signature.headers()) or signature


def _object_to_header(provider: Provider, header: object) -> str | None:
    if not isinstance(header, dict):
        return "the token's header is not an object"
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or _POLICY_NAMES.get(algorithm) not in provider.algorithms:
        return f"the token's algorithm is not {' or '.join(provider.algorithms)}"
    if "crit" in header:
        return "the token demands extensions (crit), and none is supported"
    if not isinstance(header.get("kid", ""), str):
        return "the token's key id is not a string"
    return None


def _is_signed(signature: CompactSignature, ring: KeyRing) -> bool:
    header = signature.headers()
    candidates = ring.candidates(_POLICY_NAMES[header["alg"]], header.get("kid", ""))
    return any(_verifies(signature, key) for key in candidates)


def _verifies(signature: CompactSignature, key: Key) -> bool:
    try:
        return validate_compact(signature, key, registry=_REGISTRY)
    except (JoseError, ValueError):
        return False


def _read_payload(provider: Provider, payload: bytes, now: float) -> TokenReading:
    try:
        # orjson refuses what json lets in: NaN, lone surrogates that no header could carry on, nesting without end.
        claims = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return _invalid("the token's payload is not JSON")
    return _judge(provider, claims, now) if isinstance(claims, dict) else _invalid("the payload is not an object")


def _read_metadata(provider: Provider, metadata: Mapping[str, Mapping[str, object]], now: float) -> TokenReading:
    key = provider.envoy_metadata
    claims = metadata.get(JWT_AUTHN, _NO_CLAIMS).get(key)
    if claims is None:
        return _missing(f"jwt_authn left no payload under {key}")
    if not isinstance(claims, Mapping):
        return _invalid(f"what jwt_authn left under {key} is not an object")
    return _judge(provider, claims, now)


def _judge(provider: Provider, claims: Mapping[str, object], now: float) -> TokenReading:
    """Hold the claims of a verified token against what the provider demands.

    Spec: https://www.rfc-editor.org/rfc/rfc7519#section-4.1.
    """
    why = (
        _object_to_issuer(provider, claims)
        or _object_to_audience(provider, claims)
        or _object_to_times(claims, now + provider.leeway_seconds)
    )
    if why is not None:
        return _invalid(why)
    if now >= _expiry(provider, claims):
        return TokenReading(TokenState.EXPIRED, _NO_CLAIMS, "the token's time (exp) has passed")
    return verified(claims, provider.roles)


def _object_to_issuer(provider: Provider, claims: Mapping[str, object]) -> str | None:
    return None if claims.get("iss") == provider.issuer else f"issuer is not {provider.issuer}"


def _object_to_audience(provider: Provider, claims: Mapping[str, object]) -> str | None:
    said = claims.get("aud")
    audiences = said if isinstance(said, list | tuple) else (said,)
    if not provider.audiences or any(audience in provider.audiences for audience in audiences):
        return None
    return f"audience is not {' or '.join(provider.audiences)}"


def _object_to_times(claims: Mapping[str, object], latest: float) -> str | None:
    for name in ("exp", "nbf", "iat"):
        if name in claims and _instant(claims, name) is None:
            return f"{name} is not a time"
    if "exp" not in claims:
        return "exp is absent, and a token must end"
    if (_instant(claims, "nbf") or -math.inf) > latest:
        return "the token is not valid yet (nbf)"
    if (_instant(claims, "iat") or -math.inf) > latest:
        return "the token was issued in the future (iat)"
    return None


def _instant(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    # Both ends, so that NaN, which is neither above nor below, does not pass.
    return float(value) if -_FAR_SECONDS < value < _FAR_SECONDS else None


def _expiry(provider: Provider, claims: Mapping[str, object]) -> float:
    """Say from which second on a token is expired, the leeway included; at once if it says no time."""
    return (_instant(claims, "exp") or -math.inf) + provider.leeway_seconds
