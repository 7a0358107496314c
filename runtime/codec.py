"""What enters Temporal's histories, encrypted: AES-256-GCM, the newest key encrypts, all of them decrypt.

An encrypted payload holds a whole payload (its metadata too) as `nonce (12 bytes) || ciphertext and tag`; its own
metadata says `encoding: binary/encrypted` and which key. The layout is that of Temporal's samples.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from domain.errors import DependencyError
from runtime.key_text import parse_keys
from runtime.settings import Settings

SETTING: Final = "DELIVERY_TEMPORAL_CODEC_KEYS"
ENCODING: Final = b"binary/encrypted"
_KEY_ID: Final = "encryption-key-id"
_NONCE: Final = 12


class EncryptionCodec(PayloadCodec):
    """Encrypts all payloads, and decrypts those that are encrypted: histories from before it stay readable.

    Args:
        keys: of 32 bytes each; the first one encrypts.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("encryption needs a key")
        self._newest = _key_id(keys[0])
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload encrypted with the newest key."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads as they were before `encode`; those it never saw, as they are.

        Raises:
            DependencyError: a key is missing, or a payload was changed.
        """
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._newest].encrypt(nonce, payload.SerializeToString(), None)
        return Payload(metadata={"encoding": ENCODING, _KEY_ID: self._newest}, data=nonce + sealed)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key = payload.metadata.get(_KEY_ID, b"")
        cipher = self._ciphers.get(key)
        if cipher is None:
            name = key[:64].decode("ascii", "replace")
            raise DependencyError(f"a payload is encrypted with key {name!r}, which {SETTING} lacks; put that key back")
        try:
            return Payload.FromString(cipher.decrypt(payload.data[:_NONCE], payload.data[_NONCE:], None))
        except (InvalidTag, ValueError) as error:
            raise DependencyError("an encrypted payload does not open: it was changed or cut off") from error


def load_codec(settings: Settings) -> EncryptionCodec | None:
    """With the keys of the settings; None: histories are not encrypted.

    Raises:
        DependencyError: a key is not 32 bytes in base64.
    """
    keys = parse_keys(settings.temporal_codec_keys.get_secret_value(), SETTING)
    return EncryptionCodec(keys) if keys else None


def data_converter(settings: Settings) -> DataConverter:
    """Pydantic models, encrypted if there are keys; with them the messages and stacks of failures, too."""
    codec = load_codec(settings)
    if codec is None:
        return pydantic_data_converter
    return replace(
        pydantic_data_converter,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"delivery-engine codec key id" + key).hexdigest()[:16].encode()
