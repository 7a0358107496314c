"""What API keys look like, and what they may do.

    sk-live_ | 32 random characters | 6 characters that check the rest (CRC-32)

All of base 62. The check tells a mistyped or made-up key from a real one without asking anybody, and lets scanners of
published code recognise ours.
"""

import hashlib
import re
import string
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from domain.permissions import Role, Scope, granted

PREFIX = "sk-live_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
SECRET_LENGTH = 32
CHECK_LENGTH = 6  # 62 ** 6 > 2 ** 32
SHOWN_LENGTH = 4

MAX_OVERLAP = timedelta(days=7)
DEFAULT_OVERLAP = timedelta(hours=24)

_SHAPE = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{SECRET_LENGTH + CHECK_LENGTH}}}")
# A key belongs to one organization, whatever the one who made it is.
_HIGHEST = Role.ADMIN
_ORDER = list(Role)


class KeyStatus(StrEnum):
    """Whether a key works, and why not. A rotated key is active until its overlap ends, then `replaced`."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REVOKED = "revoked"


class CreatorKind(StrEnum):
    """What becomes of a key when its creator goes; see `storage.models.api_keys`."""

    MEMBER = "member"
    PLATFORM = "platform"
    SERVICE_ACCOUNT = "service_account"
    EXTERNAL = "external"
    EXTERNAL_MACHINE = "external_machine"


def build_key(secret: str) -> str:
    """The key around 32 random characters of the alphabet."""
    body = PREFIX + secret
    return body + _check(body)


def is_well_formed(key: str) -> bool:
    """Whether a text can be a key at all: its shape, and its check."""
    if not _SHAPE.fullmatch(key):
        return False
    return key[-CHECK_LENGTH:] == _check(key[:-CHECK_LENGTH])


def hash_key(key: str) -> str:
    """SHA-256 in hex: what is stored. A key has 190 random bits, so nothing slower is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def shown_prefix(key: str) -> str:
    """The beginning of a key, by which people tell theirs apart."""
    return key[: len(PREFIX) + SHOWN_LENGTH]


def lower(one: Role, other: Role) -> Role:
    """The role of the two that grants less."""
    return min(one, other, key=_ORDER.index)


def role_cap(role: Role) -> Role:
    """The highest role a key made by somebody of this role can have."""
    return lower(role, _HIGHEST)


def key_permissions(scopes: Iterable[str], role: Role) -> frozenset[Scope]:
    """What a key may do: its scopes, as far as the role grants them."""
    return granted(role, scopes)


def earliest(*moments: datetime | None) -> datetime | None:
    """The first of the moments that are set."""
    return min((moment for moment in moments if moment is not None), default=None)


def _check(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
