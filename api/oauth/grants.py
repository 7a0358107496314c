"""The three grants: the parts that are ours to decide and store. Authlib does the rest (`api/oauth/server.py`).

They run inside `greenlet_spawn`, where `await_only` waits for the asynchronous repositories.
"""

import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from authlib.oauth2.rfc6749 import (
    AuthorizationCodeGrant,
    AuthorizationCodeMixin,
    ClientCredentialsGrant,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    RefreshTokenGrant,
    TokenMixin,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from sqlalchemy.util import await_only

from api.oauth.clients import RegisteredClient
from api.oauth.token_subject import Holder, machine
from runtime.credentials import digest
from runtime.ids import new_id, now
from runtime.logging import get_logger
from storage.models import Grant, RefreshToken

log = get_logger(__name__)

CODE_FOR: Final = timedelta(seconds=60)
FAMILY_FOR: Final = timedelta(days=30)
REFRESH: Final = "rt-"
_BYTES: Final = 32


class Pkce(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    """S256 for all clients: a stolen code is useless without the verifier (RFC 7636, RFC 9700, 2.1.1)."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if "code_challenge" not in data or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE is required: send code_challenge and code_challenge_method=S256")
        super().validate_code_challenge(grant, redirect_uri)


class HeldGrant(AuthorizationCodeMixin, TokenMixin):  # type: ignore[misc]  # Authlib has no types
    """A row of `oauth_grants`, as a code and as a refresh token's family."""

    code_challenge_method = "S256"

    def __init__(self, row: Grant) -> None:
        self.row = row
        self.code_challenge = row.code_challenge

    def get_redirect_uri(self) -> str:
        return self.row.redirect_uri

    def get_scope(self) -> str:
        return " ".join(self.row.scopes)

    def check_client(self, client: RegisteredClient) -> bool:
        return self.row.client_id == client.id

    def is_expired(self) -> bool:
        return self.row.expires_at <= now()

    def is_revoked(self) -> bool:
        return self.row.revoked_at is not None


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """A code can be used once, for a minute, with the client, redirect URI and verifier that requested it."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

    def generate_authorization_code(self) -> str:
        return secrets.token_urlsafe(_BYTES)

    def save_authorization_code(self, code: str, request: Any) -> None:
        chosen: Holder = request.user
        row = Grant(
            id=new_id(),
            client_id=request.client.id,
            user_id=UUID(chosen.subject),
            organization_id=chosen.organization_id,
            scopes=request.scope.split(),
            redirect_uri=request.payload.redirect_uri,
            code_hash=digest(code),
            code_challenge=request.payload.data["code_challenge"],
            expires_at=now() + CODE_FOR,
        )
        await_only(self.server.grants.add(row))
        self.server.note("grant.created", row, chosen.subject, scopes=row.scopes)

    def query_authorization_code(self, code: str, client: RegisteredClient) -> HeldGrant | None:
        """A code used twice may be stolen: all tokens issued for it are revoked (RFC 6749, 4.1.2)."""
        row = await_only(self.server.grants.by_code(digest(code)))
        if row is None or row.client_id != client.id:
            return None
        if row.code_used_at is not None:
            log.warning("oauth.code.used_twice", grant_id=str(row.id), client_id=str(client.id))
            self.server.revoke_family(row, client, reason="its code was used twice")
            return None
        return None if row.expires_at <= now() or row.revoked_at else HeldGrant(row)

    def authenticate_user(self, authorization_code: HeldGrant) -> Holder | None:
        return self.server.holder(authorization_code.row)  # type: ignore[no-any-return]  # Authlib has no types

    def generate_token(self, *, user: Holder, **_: object) -> dict[str, object]:
        row = self.request.authorization_code.row
        access = self.server.access(user, self.request.client, row.scopes, row)
        row.code_used_at, row.expires_at = now(), now() + FAMILY_FOR
        return {**access, **_refresh_token(self.server, row)}

    def delete_authorization_code(self, authorization_code: HeldGrant) -> None:
        """The row stays, so that a second use is noticed."""


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
    """Refresh tokens rotate at every use. A second use of one revokes its family (RFC 9700, 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

    def authenticate_refresh_token(self, refresh_token: str) -> HeldGrant | None:
        found = await_only(self.server.grants.by_token(digest(refresh_token)))
        if found is None:
            return None
        row, token = found
        if row.client_id != self.request.client.id or row.revoked_at is not None or row.expires_at <= now():
            return None
        if token.used_at is not None:
            log.warning("oauth.refresh.used_twice", grant_id=str(row.id), client_id=str(row.client_id))
            self.server.revoke_family(row, self.request.client, reason="a refresh token of it was used twice")
            return None
        self._shown = token
        return HeldGrant(row)

    def authenticate_user(self, refresh_token: HeldGrant) -> Holder:
        found: Holder | None = self.server.holder(refresh_token.row)
        if found is None:
            raise InvalidGrantError("the user is not there any more")
        return found

    def issue_token(self, user: Holder, refresh_token: HeldGrant) -> dict[str, object]:
        """The access token may have fewer scopes; the refresh token keeps all (RFC 6749, 6)."""
        row = refresh_token.row
        asked = (self.request.payload.scope or "").split() or row.scopes
        return {**self.server.access(user, self.request.client, asked, row), **_refresh_token(self.server, row)}

    def revoke_old_credential(self, refresh_token: HeldGrant) -> None:  # noqa: ARG002 - its family; we mark the token
        """Runs last, so that a faulty request can be repeated. The family has been locked since it was found."""
        self._shown.used_at = now()


class MachineGrant(ClientCredentialsGrant):  # type: ignore[misc]  # Authlib has no types
    """A service account for itself, without a refresh token (RFC 6749, 4.4.3)."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

    def generate_token(self, *, scope: str | None = None, **_: object) -> dict[str, object]:
        client: RegisteredClient = self.request.client
        asked = client.allowed((scope or "").split())
        return self.server.access(machine(client.row), client, asked, None)  # type: ignore[no-any-return]  # Authlib has no types


def require_scopes(names: Iterable[str]) -> str:
    """Scopes in the protocol's format.

    Raises:
        InvalidScopeError: empty: the role grants none of the requested scopes.
    """
    text = " ".join(sorted(names))
    if not text:
        raise InvalidScopeError("nothing of the asked scopes is granted by the role and allowed to the client")
    return text


def _refresh_token(server: Any, row: Grant) -> dict[str, object]:
    """A new refresh token of the family, valid as long as the family."""
    secret = REFRESH + secrets.token_urlsafe(_BYTES)
    await_only(server.grants.add_token(RefreshToken(id=new_id(), grant_id=row.id, token_hash=digest(secret))))
    return {"refresh_token": secret}
