"""Issuing access tokens: `typ: at+jwt` (RFC 9068), the contract's claims."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import jwt

from runtime.ids import new_id
from runtime.keys import Signer, load_signer
from runtime.settings import Settings

TYPE: Final = "at+jwt"
DEFAULT_TTL = timedelta(hours=1)
MAX_TTL = timedelta(days=30)
_TIMESTAMP_SHIFT: Final = 80  # RFC 9562, 5.7: the first 48 bits of a UUIDv7 are milliseconds since 1970


@dataclass(frozen=True)
class Subject:
    """Whom a token speaks for.

    Args:
        organization: id of the organization, empty for platform admins without one.
        family: id of the grant whose refresh tokens it goes with; empty: none.
        permissions: scopes, in the contract's spelling.
    """

    id: str
    role: str
    permissions: Iterable[str]
    organization: str = ""
    email: str = ""
    client_id: str = "delivery-cli"
    family: str = ""


def sign(subject: Subject, signer: Signer, *, issuer: str, audience: str, ttl: timedelta = DEFAULT_TTL) -> str:
    """A signed access token."""
    claims = _claims(subject, ttl) | {"iss": issuer, "aud": audience}
    return jwt.encode(claims, signer.key, algorithm=signer.algorithm, headers={"typ": TYPE, "kid": signer.kid})


def issue_token(settings: Settings, subject: Subject, ttl: timedelta = DEFAULT_TTL) -> str:
    """A development token, signed with the key of the settings.

    Raises:
        ValueError: the lifetime is not between a second and thirty days.
        DependencyError: there is no usable signing key.
    """
    if not timedelta(seconds=1) <= ttl <= MAX_TTL:
        raise ValueError(f"a token lives between 1 second and {MAX_TTL.days} days")
    signer = load_signer(settings)
    return sign(subject, signer, issuer=settings.jwt_issuer, audience=settings.jwt_audience, ttl=ttl)


def _claims(subject: Subject, ttl: timedelta) -> dict[str, object]:
    permissions = sorted(subject.permissions)
    token_id = new_id()
    issued = (token_id.int >> _TIMESTAMP_SHIFT) // 1000  # the same moment in both: revocations look at either
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
        "jti": str(token_id),
        **({"family": subject.family} if subject.family else {}),
    }
