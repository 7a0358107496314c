"""Secrets that machines keep: client secrets, invitation tokens. 256 bits each, so a plain hash is enough to store."""

import hashlib
import hmac
import secrets
from typing import Final

CLIENT_SECRET: Final = "cs-"  # noqa: S105 - the prefix that secret scanners look for, not a secret
INVITATION: Final = "inv-"
_BYTES: Final = 32
# Compared with when there is nothing to compare with: no secret has this hash but by a collision.
_NOTHING: Final = "0" * 64


def new_secret(prefix: str) -> str:
    """A random secret, to be shown once."""
    return prefix + secrets.token_urlsafe(_BYTES)


def digest(secret: str) -> str:
    """What is stored of a secret: its SHA-256, in hex."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def matches(secret: str, stored: str | None) -> bool:
    """Whether a secret is the stored one, in a time that tells nothing of it; None (nothing stored) never matches."""
    equal = hmac.compare_digest(digest(secret), stored or _NOTHING)
    return equal and stored is not None
