"""The keys of audit chains: a private one signs the heads, public ones verify them. Imported where a key is given."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from cors_authz.edge.settings_error import SettingsError

_KEY_ID_DIGITS: Final = 16
_MAKE_ONE: Final = "make one by `openssl genpkey -algorithm ed25519 -out audit.key`"
_MAKE_PUBLIC: Final = "make one by `openssl pkey -in audit.key -pubout -out audit.pub`"


class HeadSigner:
    """Signs heads with an Ed25519 key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._key_id = _key_id_of(key.public_key())

    @property
    def key_id(self) -> str:
        """The first 16 hexadecimal characters of SHA-256 over the public key's 32 bytes."""
        return self._key_id

    def sign(self, message: bytes) -> bytes:
        """Give the signature of a message, 64 bytes."""
        return self._key.sign(message)


class HeadKeys:
    """Verifies heads by the public key that each names.

    Args:
        keys: the public keys, by their id.
    """

    def __init__(self, keys: dict[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    def verifies(self, key_id: str, signature: bytes, message: bytes) -> bool | None:
        """Tell whether a signature is the key's; None for a key that is not among these."""
        key = self._keys.get(key_id)
        if key is None:
            return None
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def signer_of(file: Path, setting: str) -> HeadSigner:
    """Read a private key.

    Args:
        file: holds it.
        setting: what names the file to people.

    Raises: SettingsError if the file holds no Ed25519 key that can be read without a password.
    """
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise SettingsError(f"{setting}: `{file}` cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"{setting}: `{file}` is no private key in PEM without a password; {_MAKE_ONE}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError(f"{setting}: `{file}` is no Ed25519 key; {_MAKE_ONE}")
    return HeadSigner(key)


def keys_of(files: tuple[Path, ...]) -> HeadKeys:
    """Read public keys.

    Raises: SettingsError if a file holds no Ed25519 key.
    """
    keys = [_public_key_of(file) for file in files]
    return HeadKeys({_key_id_of(key): key for key in keys})


def _public_key_of(file: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"public-key: `{file}` cannot be read: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError(f"public-key: `{file}` is no public key in PEM; {_MAKE_PUBLIC}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(f"public-key: `{file}` is no Ed25519 key; {_MAKE_PUBLIC}")
    return key


def _key_id_of(key: Ed25519PublicKey) -> str:
    return sha256(key.public_bytes_raw()).hexdigest()[:_KEY_ID_DIGITS]
