"""Tokens of the shop's users, signed by a key that lives as long as the run."""

from __future__ import annotations

from itertools import count

import orjson
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.bench.estate import AUDIENCE, ISSUER, ROLE

_HOURS = 6
_KEY_ID = "bench"


class Issuer:
    """Signs tokens, no two of them alike.

    Args:
        now_seconds: the time since the epoch; tokens are valid for six hours from then.
    """

    def __init__(self, now_seconds: int) -> None:
        self._now = now_seconds
        self._key = RSAKey.generate_key(2048, {"kid": _KEY_ID, "alg": "RS256", "use": "sig"})
        self._users = count()

    def key_set(self) -> bytes:
        """Give the public key as a JWK Set."""
        return orjson.dumps({"keys": [self._key.as_dict(private=False)]})

    def clerk(self) -> str:
        """Sign a token of a new user who has the role that desks ask for."""
        return self._sign([ROLE, "reader"], self._now + _HOURS * 3600)

    def visitor(self) -> str:
        """Sign a token of a new user who has not."""
        return self._sign(["reader"], self._now + _HOURS * 3600)

    def expired(self) -> str:
        """Sign a token whose time has passed."""
        return self._sign([ROLE], self._now - 600)

    def _sign(self, roles: list[str], expires: int) -> str:
        user = next(self._users)
        claims = {
            "iss": ISSUER,
            "aud": [AUDIENCE],
            "sub": f"user-{user:08d}",
            "azp": "shop-web",
            "scope": "openid profile orders:read orders:write",
            "sid": f"{user:032x}",
            "iat": expires - _HOURS * 3600,
            "exp": expires,
            "roles": roles,
            "name": f"User Number {user}",
            "email": f"user.number.{user}@customers.shop.example",
            "session_state": f"{user:08x}-5b0e-4a6f-9d3c-1f2e3d4c5b6a",
        }
        return jwt.encode({"alg": "RS256", "kid": _KEY_ID, "typ": "JWT"}, claims, self._key)
