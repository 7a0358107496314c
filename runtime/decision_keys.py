"""Keys that sign decisions and starts: Ed25519, made of the encryption keys, so that there is nothing more to keep.

The newest signs, all of them verify: rotating the encryption keys (docs/operating.md) rotates these.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from runtime.encryption import load_keys
from runtime.key_text import KEY_BYTES
from runtime.settings import Settings

_PURPOSE: Final = b"delivery-engine decisions: Ed25519 seed"


class SigningKey:
    """Signs; `id` names it in what it signed."""

    def __init__(self, secret: bytes) -> None:
        self._key = _private(secret)
        self.id = _id(self._key.public_key())

    def sign(self, text: bytes) -> str:
        """The signature in base64."""
        return base64.b64encode(self._key.sign(text)).decode()


class VerifyingKeys:
    """The public keys alone: who holds them can check everything and sign nothing."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        public = [_private(secret).public_key() for secret in secrets]
        self._keys = {_id(key): key for key in public}

    def knows(self, key_id: str) -> bool:
        """Whether the key is one of them."""
        return key_id in self._keys

    def verify(self, key_id: str, text: bytes, signature: str) -> bool:
        """Whether the named key signed the text."""
        key = self._keys.get(key_id)
        if key is None:
            return False
        try:
            key.verify(base64.b64decode(signature, validate=True), text)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def load_signing_key(settings: Settings) -> SigningKey:
    """Of the newest encryption key; raises `DependencyError` when there is none."""
    return SigningKey(load_keys(settings)[0])


def load_verifying_keys(settings: Settings) -> VerifyingKeys:
    """Of all encryption keys; raises `DependencyError` when there is none."""
    return VerifyingKeys(load_keys(settings))


def _private(secret: bytes) -> Ed25519PrivateKey:
    seed = HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=_PURPOSE).derive(secret)
    return Ed25519PrivateKey.from_private_bytes(seed)


def _id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]
