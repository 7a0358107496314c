"""Secrets at rest: AES-256-GCM under keys of the settings, the newest seals, all of them open.

A sealed value is `version (1 byte) || key id (8 bytes) || nonce (12 bytes) || ciphertext and tag`. The context (what
the secret is and whose: `"webhook:<id>"`) is authenticated with it, so that a value moved elsewhere does not open.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import DependencyError
from runtime.files import PRIVATE, write_whole
from runtime.key_text import KEY_BYTES, parse_keys
from runtime.settings import Settings

_VERSION: Final = b"\x01"
_ID: Final = 8
_NONCE: Final = 12


class Sealer:
    """Seals and opens.

    Args:
        keys: of 32 bytes each; the first one seals.

    Attributes:
        key_ids: what names the keys in sealed values, in hexadecimal digits and the order of the keys.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"sealing needs keys of {KEY_BYTES} bytes")
        self._newest = _key_id(keys[0])
        self.key_ids = tuple(dict.fromkeys(_key_id(key).hex() for key in keys))
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._marks = [hashlib.sha256(b"delivery-engine fingerprint key" + key).digest() for key in keys]

    def seal(self, plain: bytes, context: str) -> bytes:
        """The secret, unreadable without a key."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._newest].encrypt(nonce, plain, context.encode())
        return _VERSION + self._newest + nonce + sealed

    def open(self, sealed: bytes, context: str) -> bytes:
        """The secret again.

        Raises:
            DependencyError: it was sealed with a key that the settings do not have (any more), for another context, or
                was changed.
        """
        key = sealed[1 : 1 + _ID]
        if not self.knows(sealed):
            raise DependencyError(
                "a stored secret is sealed with a key that is not among DELIVERY_ENCRYPTION_KEYS; put that key back"
            )
        nonce, body = sealed[1 + _ID : 1 + _ID + _NONCE], sealed[1 + _ID + _NONCE :]
        try:
            return self._ciphers[key].decrypt(nonce, body, context.encode())
        except InvalidTag as error:
            raise DependencyError("a stored secret does not open: it was changed, or moved from another row") from error

    def fingerprints(self, plain: bytes, context: str) -> list[str]:
        """What tells a text again without keeping it: HMAC-SHA256 in hex under every key, the newest first.

        Without a key it cannot be used to try texts or passwords, as a plain hash can.
        """
        text = context.encode() + b"\0" + plain
        return [hmac.new(mark, text, hashlib.sha256).hexdigest() for mark in self._marks]

    def knows(self, sealed: bytes) -> bool:
        """Whether one of the keys sealed it."""
        return sealed[:1] == _VERSION and sealed[1 : 1 + _ID] in self._ciphers

    def is_current(self, sealed: bytes) -> bool:
        """Whether the newest key sealed it; if not, rotation seals it anew."""
        return sealed[: 1 + _ID] == _VERSION + self._newest


def load_sealer(settings: Settings) -> Sealer:
    """With the keys of `DELIVERY_ENCRYPTION_KEYS` (base64, newest first), else of the data folder's secrets.

    Raises:
        DependencyError: there are none, or one is not 32 bytes in base64.
    """
    return Sealer(load_keys(settings))


def load_keys(settings: Settings) -> list[bytes]:
    """The keys that `load_sealer` seals with, newest first; raises the same."""
    given = settings.encryption_keys.get_secret_value()
    path = encryption_key_file(settings)
    if not given:
        try:
            given = path.read_text()
        except OSError as error:
            raise DependencyError(
                f"no encryption keys: set DELIVERY_ENCRYPTION_KEYS, or let `make up` make {path}"
            ) from error
    keys = parse_keys(given, "DELIVERY_ENCRYPTION_KEYS")
    if not keys:
        raise DependencyError(f"no encryption keys: DELIVERY_ENCRYPTION_KEYS and {path} hold none")
    return keys


def encryption_key_file(settings: Settings) -> Path:
    """Where the embedded stack keeps its keys, newest first, one a line."""
    return settings.data_dir / "secrets" / "encryption.keys"


def ensure_encryption_key(path: Path) -> None:
    """Make one at first start, readable by its owner alone."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n", sync=True, mode=PRIVATE)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"delivery-engine key id" + key).digest()[:_ID]
