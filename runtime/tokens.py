"""Issuing access tokens: RS256, `typ: at+jwt` (RFC 9068), the contract's claims."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import jwt

from runtime.ids import new_id, now
from runtime.keys import key_id, load_private_key
from runtime.settings import Settings

ALGORITHM: Final = "RS256"
TYPE: Final = "at+jwt"
DEFAULT_TTL = timedelta(hours=1)
MAX_TTL = timedelta(days=30)


@dataclass(frozen=True)
class Subject:
    """Whom a token speaks for.

    Args:
        organization: id of the organization, empty for platform admins without one.
        permissions: scopes, in the contract's spelling.
    """

    id: str
    role: str
    permissions: Iterable[str]
    organization: str = ""
    email: str = ""
    client_id: str = "delivery-cli"


def issue_token(settings: Settings, subject: Subject, ttl: timedelta = DEFAULT_TTL) -> str:
    """A signed access token.

    Raises:
        ValueError: the lifetime is not between a second and thirty days.
        DependencyError: there is no usable signing key.
    """
    if not timedelta(seconds=1) <= ttl <= MAX_TTL:
        raise ValueError(f"a token lives between 1 second and {MAX_TTL.days} days")
    key = load_private_key(settings)
    headers = {"typ": TYPE, "kid": key_id(key.public_key())}
    return jwt.encode(_claims(settings, subject, ttl), key, algorithm=ALGORITHM, headers=headers)


def _claims(settings: Settings, subject: Subject, ttl: timedelta) -> dict[str, object]:
    permissions = sorted(subject.permissions)
    issued = int(now().timestamp())
    return {
        "sub": subject.id,
        "org": subject.organization or None,
        "email": subject.email,
        "role": subject.role,
        "permissions": permissions,
        "scope": " ".join(permissions),
        "client_id": subject.client_id,
        "iat": issued,
        "exp": issued + int(ttl.total_seconds()),
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "jti": str(new_id()),
    }
