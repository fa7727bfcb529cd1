"""The issuer of the demo's tokens: a key that lives as long as the demo does, and whose public half is a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from joserfc import jwt
from joserfc.jwk import ECKey

ISSUER: Final = "https://login.shop.example"
AUDIENCE: Final = "shop-api"
"""Both as the demo's policy names them."""

TOKEN_SECONDS: Final = 3600


class Issuer:
    """Signs tokens by ES256 with a key that it makes when it is made.

    Args:
        clock: gives the time in seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key = ECKey.generate_key("P-256", {"kid": "demo", "alg": "ES256", "use": "sig"})

    def key_set(self) -> bytes:
        """Give the public key as a JWK Set. Spec: https://www.rfc-editor.org/rfc/rfc7517#section-5."""
        return json.dumps({"keys": [self._key.as_dict(private=False)]}).encode()

    def token(self, role: str) -> str:
        """Sign a token, valid for `TOKEN_SECONDS` from now, for a user who has one role, or none if it is empty."""
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": f"demo-{role or 'visitor'}",
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "roles": [role] if role else [],
        }
        return jwt.encode({"alg": "ES256", "kid": "demo"}, claims, self._key)
