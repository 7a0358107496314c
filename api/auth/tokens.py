"""Access tokens: RFC 9068 (`at+jwt`), RS256 only, the key named by `kid`."""

from collections.abc import Mapping
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from api.auth.principal import Principal
from api.errors import UnauthenticatedError
from domain.access import Role, granted

# Pinned here and never read from the token: a token cannot choose how it is checked (RFC 8725, 3.1).
ALGORITHM = "RS256"
TYPES = frozenset({"at+jwt", "application/at+jwt"})
LEEWAY_S = 10
MAX_TOKEN = 8192
MAX_SUBJECT = 200
REQUIRED = ["sub", "role", "permissions", "exp", "iss", "aud"]


class TokenVerifier:
    """Checks tokens of one issuer for one audience."""

    def __init__(self, keys: Mapping[str, RSAPublicKey], *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    def verify(self, token: str) -> Principal:
        """Whose token this is.

        Raises:
            UnauthenticatedError: it is not one of ours, or no longer good; the message says which.
        """
        try:
            claims = self._claims(token)
            return _principal(claims)
        except jwt.ExpiredSignatureError as error:
            raise _refused("the access token has expired; get a new one") from error
        except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
            raise _refused("the access token is not valid here: wrong issuer, audience, type or signature") from error

    def _claims(self, token: str) -> dict[str, object]:
        if len(token) > MAX_TOKEN:
            raise ValueError("too long")
        header = jwt.get_unverified_header(token)
        if str(header.get("typ", "")).lower() not in TYPES:
            raise ValueError("not an access token")
        return jwt.decode(
            token,
            self._keys[header["kid"]],
            algorithms=[ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            leeway=LEEWAY_S,
            options={"require": REQUIRED},
        )


def _principal(claims: Mapping[str, object]) -> Principal:
    role = Role(str(claims["role"]))
    asked = claims["permissions"]
    if not isinstance(asked, list):
        raise TypeError("permissions is a list")
    subject = str(claims["sub"])
    if not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise ValueError("subject too long, or with characters nobody can read")
    organization = claims.get("org")
    if organization is None and role is not Role.PLATFORM_ADMIN:
        raise ValueError("no organization")
    return Principal(
        subject=subject,
        organization_id=None if organization is None else UUID(str(organization)),
        role=role,
        permissions=granted(role, (str(name) for name in asked)),
        credential=f"user:{subject}",
        email=str(claims.get("email") or ""),
    )


def _refused(message: str) -> UnauthenticatedError:
    return UnauthenticatedError(message, token_was_given=True)
