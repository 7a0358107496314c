"""What enters Temporal's histories, encrypted: AES-256-GCM, the newest key encrypts, all of them decrypt.

An encrypted payload holds a whole payload (its metadata too) as `nonce (12 bytes) || ciphertext and tag`; its own
metadata says `encoding: binary/encrypted` and which key. The layout is that of Temporal's samples.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    FailureConverter,
    PayloadCodec,
)

from domain.errors import DependencyError
from runtime.ids import now
from runtime.key_text import parse_keys
from runtime.refused_payloads import GuardedFailures, GuardedPayloads, refused
from runtime.settings import Settings

log = structlog.get_logger(__name__)

SETTING: Final = "DELIVERY_TEMPORAL_CODEC_KEYS"
ENCODING: Final = b"binary/encrypted"
_KEY_ID: Final = "encryption-key-id"
_NONCE: Final = 12


class EncryptionCodec(PayloadCodec):
    """Encrypts all payloads, and refuses those that are not encrypted: with keys, payloads of others are never read.

    Args:
        keys: of 32 bytes each; the first one encrypts.
        plain_until: payloads from before there were keys are read as they are, until this moment; None: they are not.
    """

    def __init__(self, keys: Sequence[bytes], plain_until: datetime | None = None) -> None:
        if not keys:
            raise ValueError("encryption needs a key")
        self._newest = _key_id(keys[0])
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._plain_until = plain_until

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload encrypted with the newest key."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads as they were before `encode`; of those that are not ours a mark (`runtime/refused_payloads.py`).

        Raises:
            DependencyError: a key is missing.
        """
        return [self._checked(payload) for payload in payloads]

    async def show(self, payloads: Sequence[Payload]) -> list[Payload]:
        """The payloads in the clear for a person who looks at a history; those that were never encrypted, as they are.

        Raises:
            DependencyError: a key is missing, or a payload was changed.
        """
        return [self._decrypt(payload) if _is_encrypted(payload) else payload for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self._newest].encrypt(nonce, payload.SerializeToString(), None)
        return Payload(metadata={"encoding": ENCODING, _KEY_ID: self._newest}, data=nonce + sealed)

    def _checked(self, payload: Payload) -> Payload:
        if not _is_encrypted(payload):
            if self._plain_until is not None and now() < self._plain_until:
                return payload
            log.error("payload.refused", why="it is not encrypted")
            return refused()
        try:
            return self._decrypt(payload)
        except _ChangedError:
            log.error("payload.refused", why="it was changed or cut off")  # noqa: TRY400 - the cause says no more
            return refused()

    def _decrypt(self, payload: Payload) -> Payload:
        key = payload.metadata.get(_KEY_ID, b"")
        cipher = self._ciphers.get(key)
        if cipher is None:
            name = key[:64].decode("ascii", "replace")
            raise DependencyError(f"a payload is encrypted with key {name!r}, which {SETTING} lacks; put that key back")
        try:
            return Payload.FromString(cipher.decrypt(payload.data[:_NONCE], payload.data[_NONCE:], None))
        except (InvalidTag, ValueError, DecodeError) as error:
            raise _ChangedError("an encrypted payload does not open: it was changed or cut off") from error


class _ChangedError(DependencyError):
    """It cannot be decrypted by anybody."""


def load_codec(settings: Settings) -> EncryptionCodec | None:
    """With the keys of the settings; None: histories are not encrypted.

    Raises:
        DependencyError: a key is not 32 bytes in base64.
    """
    keys = parse_keys(settings.temporal_codec_keys.get_secret_value(), SETTING)
    return EncryptionCodec(keys, settings.temporal_plain_payloads_until) if keys else None


def data_converter(settings: Settings) -> DataConverter:
    """Pydantic models, encrypted if there are keys; with them the messages and stacks of failures, too."""
    codec = load_codec(settings)
    if codec is None:
        return pydantic_data_converter
    until = settings.temporal_plain_payloads_until
    if until is not None and now() < until:
        log.warning("payloads.plain_accepted", until=until.isoformat())
        failures: type[FailureConverter] = DefaultFailureConverterWithEncodedAttributes
    else:
        failures = GuardedFailures
    return replace(
        pydantic_data_converter,
        payload_converter_class=GuardedPayloads,
        payload_codec=codec,
        failure_converter_class=failures,
    )


def _is_encrypted(payload: Payload) -> bool:
    return payload.metadata.get("encoding") == ENCODING


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"delivery-engine codec key id" + key).hexdigest()[:16].encode()
