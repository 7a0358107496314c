"""Symmetric keys as people write them into settings: 32 bytes each in base64, newest first."""

import base64
import binascii
from typing import Final

from domain.errors import DependencyError

KEY_BYTES: Final = 32


def parse_keys(text: str, setting: str) -> list[bytes]:
    """The keys in a setting, with commas or white space between them.

    Raises:
        DependencyError: one is not 32 bytes in base64; the message names the setting and never the key.
    """
    try:
        keys = [base64.b64decode(part, validate=True) for part in text.replace(",", " ").split()]
    except (binascii.Error, ValueError):
        keys = [b""]
    if any(len(key) != KEY_BYTES for key in keys):
        # without the cause: it quotes what it could not read
        raise DependencyError(f"{setting}: each key is {KEY_BYTES} bytes in base64 (`openssl rand -base64 32`)")
    return keys
