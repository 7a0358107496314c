"""The format of API keys, and their permissions.

sk-live_ | 32 random characters | 6 characters that check the rest (CRC-32)

All in base 62. The checksum detects mistyped or made-up keys without a lookup, and lets secret scanners recognise ours.
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
# A key belongs to one organization, whatever its creator's role.
_HIGHEST = Role.ADMIN
_ORDER = list(Role)


class KeyStatus(StrEnum):
    """The status of a key. A rotated key is active until its overlap ends, then `replaced`."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REVOKED = "revoked"


class CreatorKind(StrEnum):
    """The kind of creator; it decides what happens to a key when its creator leaves (`storage.models.api_keys`)."""

    MEMBER = "member"
    PLATFORM = "platform"
    SERVICE_ACCOUNT = "service_account"
    EXTERNAL = "external"
    EXTERNAL_MACHINE = "external_machine"


def build_key(secret: str) -> str:
    """The key for 32 random characters of the alphabet."""
    body = PREFIX + secret
    return body + _check(body)


def is_well_formed(key: str) -> bool:
    """Whether a text can be a key: its format and its checksum."""
    if not _SHAPE.fullmatch(key):
        return False
    return key[-CHECK_LENGTH:] == _check(key[:-CHECK_LENGTH])


def hash_key(key: str) -> str:
    """SHA-256 in hex, as stored. A key has 190 random bits, so no slower hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()


def shown_prefix(key: str) -> str:
    """The beginning of a key, by which people recognise it."""
    return key[: len(PREFIX) + SHOWN_LENGTH]


def lower(one: Role, other: Role) -> Role:
    """The role with fewer permissions."""
    return min(one, other, key=_ORDER.index)


def role_cap(role: Role) -> Role:
    """The highest role of a key created by a user with this role."""
    return lower(role, _HIGHEST)


def key_permissions(scopes: Iterable[str], role: Role) -> frozenset[Scope]:
    """A key's permissions: its scopes, limited by the role."""
    return granted(role, scopes)


def earliest(*moments: datetime | None) -> datetime | None:
    """The earliest of the moments that are not None."""
    return min((moment for moment in moments if moment is not None), default=None)


def _check(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
