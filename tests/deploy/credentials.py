"""Tokens and a certificate, made for one verification."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey

_HOURS: Final = 6


class Tokens:
    """Who signs the tokens of the probes."""

    def __init__(self, now: int) -> None:
        self._key = ECKey.generate_key("P-256", {"kid": "verify", "alg": "ES256", "use": "sig"})
        self._now = now

    def key_set(self) -> str:
        """Give the public key as a JWK Set."""
        return json.dumps({"keys": [self._key.as_dict(private=False)]})

    def signed(self, role: str) -> str:
        """Sign a token of somebody with a role, good for six hours."""
        claims = {
            "iss": "https://id.shop.example",
            "aud": ["shop"],
            "sub": f"a {role}",
            "iat": self._now,
            "exp": self._now + _HOURS * 3600,
            "roles": [role],
        }
        return jwt.encode({"alg": "ES256", "kid": "verify"}, claims, self._key)


class Certificate(NamedTuple):
    """A certificate that is its own authority, and its key; both PEM."""

    certificate: str
    key: str


def certificate(host: str, now: int) -> Certificate:
    """Sign a certificate for a host, good for six hours."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "verify")])
    began = datetime.fromtimestamp(now, UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(began - timedelta(minutes=5))
        .not_valid_after(began + timedelta(hours=_HOURS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Certificate(signed.public_bytes(Encoding.PEM).decode(), private.decode())
