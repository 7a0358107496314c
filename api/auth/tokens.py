"""Access tokens: RFC 9068 (`at+jwt`), issued by us or by an issuer that the settings trust."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from api.auth.claims import Claims, outside_principal, own_principal
from api.auth.external_issuer import OutsideIssuer
from api.auth.principal import Principal
from api.auth.revocation_list import Refused, Traits, issued_s
from api.auth.signing_keys import SigningKeys, VerifyingKey
from api.http.errors import UnauthenticatedError
from runtime.settings import Settings

TYPES = frozenset({"at+jwt", "application/at+jwt"})
LEEWAY_S = 10
MAX_TOKEN = 8192
MAX_CACHED = 4096
REQUIRED = ["sub", "role", "permissions", "exp", "iat", "iss", "aud", "jti"]
REQUIRED_OUTSIDE = ["exp", "iat", "iss", "aud"]
# Headers by which a token names its own key (RFC 8725, 3.10); refused.
KEY_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit"})


@dataclass(frozen=True)
class Checked:
    """A token that was valid when it was verified."""

    principal: Principal
    traits: Traits
    expires_s: float
    claims: Claims
    is_ours: bool


class TokenVerifier:
    """Verifies tokens. A cached one is only checked for expiry and revocation."""

    def __init__(
        self, settings: Settings, keyring: SigningKeys, refused: Refused, outside: Sequence[OutsideIssuer] = ()
    ) -> None:
        self._keyring = keyring
        self._refused = refused
        self._outside = {issuer.trusted.issuer: issuer for issuer in outside}
        self._issuers = settings.accepted_issuers
        self._audience = settings.jwt_audience
        self._good: OrderedDict[bytes, Checked] = OrderedDict()
        self._generation = -1

    def verify(self, token: str) -> Principal:
        """The principal of this token.

        Raises:
            UnauthenticatedError: not a token of ours, or no longer valid; the message says which.
            DependencyError: no verification keys are known yet.
        """
        return self.check(token).principal

    def check(self, token: str) -> Checked:
        """As `verify`, with all claims."""
        if len(token) > MAX_TOKEN:
            raise _refused("the access token is too long to be one of ours")
        self._forget_when_keys_changed()
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        checked = self._good.get(digest) or self._checked(token)
        if checked.expires_s + LEEWAY_S <= time.time():
            self._good.pop(digest, None)
            raise _refused("the access token has expired; get a new one")
        if self._refused.holds(checked.traits):
            raise _refused("the access token was revoked; log in again")
        self._good[digest] = checked
        self._good.move_to_end(digest)
        if len(self._good) > MAX_CACHED:
            self._good.popitem(last=False)
        return checked

    def _forget_when_keys_changed(self) -> None:
        generation = self._keyring.generation + sum(issuer.generation for issuer in self._outside.values())
        if generation != self._generation:
            self._generation = generation
            self._good.clear()

    def _checked(self, token: str) -> Checked:
        try:
            header = _header(token)
            issuer = self._outside.get(_claimed_issuer(token)) if self._outside else None
            return self._check_ours(token, header) if issuer is None else self._check_outside(token, header, issuer)
        except jwt.ExpiredSignatureError as error:
            raise _refused("the access token has expired; get a new one") from error
        except jwt.ImmatureSignatureError as error:
            raise _refused("the access token is not valid yet: the clocks differ") from error
        except (
            jwt.PyJWTError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise _refused("the access token is not valid here: wrong issuer, audience, type or signature") from error

    def _check_ours(self, token: str, header: Mapping[str, Any]) -> Checked:
        if str(header.get("typ", "")).lower() not in TYPES:
            raise ValueError("not an access token")
        key = self._keyring.find(header.get("kid"))
        claims = _decoded(token, key, issuer=sorted(self._issuers), audience=self._audience, require=REQUIRED)
        return _good(claims, own_principal(claims), is_ours=True)

    def _check_outside(self, token: str, header: Mapping[str, Any], issuer: OutsideIssuer) -> Checked:
        trusted = issuer.trusted
        if str(header.get("typ", "")).lower() not in {name.lower() for name in trusted.types}:
            raise ValueError("not a token of a kind that is accepted from there")
        key = issuer.find(header.get("kid"))
        claims = _decoded(token, key, issuer=trusted.issuer, audience=trusted.audience, require=REQUIRED_OUTSIDE)
        return _good(claims, outside_principal(claims, trusted), is_ours=False)


def _header(token: str) -> Mapping[str, Any]:
    header = jwt.get_unverified_header(token)
    if KEY_HEADERS.intersection(header):
        raise ValueError("a token does not bring its own key")
    return header


def _claimed_issuer(token: str) -> str:
    """The issuer whose keys verify a token. The claim is read unverified, and used for nothing else."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return str(claims.get("iss", ""))


def _decoded(
    token: str, key: VerifyingKey | None, *, issuer: str | list[str], audience: str, require: list[str]
) -> dict[str, Any]:
    """The verified claims: the key decides about the algorithm, never the token (RFC 8725, 3.1)."""
    if key is None:
        raise KeyError("no such key")
    claims: dict[str, Any] = jwt.decode(
        token,
        key.key,  # type: ignore[arg-type]  # a key of cryptography's that fits the algorithms
        algorithms=list(key.algorithms),
        issuer=issuer,
        audience=audience,
        leeway=LEEWAY_S,
        options={"require": require},
    )
    return claims


def _good(claims: Claims, principal: Principal, *, is_ours: bool) -> Checked:
    token_id = str(claims.get("jti", ""))
    traits = Traits(
        token=token_id,
        family=str(claims.get("family", "")) if is_ours else "",
        subject=principal.subject,
        organization_id=principal.organization_id,
        issued_s=issued_s(token_id, float(claims["iat"])),
        client=str(claims.get("client_id", "")) if is_ours else "",
    )
    return Checked(principal, traits, float(claims["exp"]), claims, is_ours)


def _refused(message: str) -> UnauthenticatedError:
    return UnauthenticatedError(message, token_was_given=True)
