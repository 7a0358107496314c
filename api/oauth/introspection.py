"""Token revocation (RFC 7009) and introspection (RFC 7662)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from sqlalchemy.util import await_only

from api.auth.tokens import Checked
from api.http.errors import UnauthenticatedError
from api.oauth.clients import RegisteredClient
from api.oauth.grants import HeldGrant
from runtime.credentials import digest
from storage.models import Grant, RefreshToken

CONFIDENTIAL = ("client_secret_basic", "client_secret_post")
_SHOWN = ("scope", "client_id", "exp", "iat", "sub", "aud", "iss", "jti", "org", "role", "permissions")


@dataclass(frozen=True)
class AccessToken:
    """A valid access token issued by us."""

    checked: Checked

    @property
    def claims(self) -> Mapping[str, Any]:
        return self.checked.claims

    def check_client(self, client: RegisteredClient) -> bool:
        return bool(self.claims.get("client_id") == client.get_client_id())

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False


class HeldRefreshToken(HeldGrant):
    """A refresh token with its family; a used one counts as revoked."""

    def __init__(self, row: Grant, token: RefreshToken) -> None:
        super().__init__(row)
        self.token = token

    def is_revoked(self) -> bool:
        return self.token.used_at is not None or super().is_revoked()


Shown = AccessToken | HeldRefreshToken


def find(server: Any, text: str) -> Shown | None:
    """The token of either kind: a wrong hint must not hide it (RFC 7009, 2.1)."""
    found = await_only(server.grants.by_token(digest(text)))
    if found is not None:
        return HeldRefreshToken(*found)
    try:
        checked = server.parts.verifier.check(text)
    except UnauthenticatedError:
        return None
    return AccessToken(checked) if checked.is_ours else None


class Revoking(RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
    """Revoking a refresh token revokes its family; an access token is revoked alone."""

    CLIENT_AUTH_METHODS = (*CONFIDENTIAL, "none")

    def query_token(self, token_string: str, token_type_hint: str | None) -> Shown | None:
        del token_type_hint
        return find(self.server, token_string)

    def revoke_token(self, token: Shown, request: Any) -> None:
        if isinstance(token, AccessToken):
            self.server.revoke_access(str(token.claims["jti"]), token.checked.expires_s)
        else:
            self.server.revoke_family(token.row, request.client, reason="asked for by its client")


class Introspecting(IntrospectionEndpoint):  # type: ignore[misc]  # Authlib has no types
    """For confidential clients: their own tokens, and those of their organization."""

    CLIENT_AUTH_METHODS = CONFIDENTIAL

    def query_token(self, token_string: str, token_type_hint: str | None) -> Shown | None:
        """A refresh token is only active if its user and its application are."""
        del token_type_hint
        found = find(self.server, token_string)
        return None if isinstance(found, HeldRefreshToken) and not self._is_of_use(found.row) else found

    def _is_of_use(self, row: Grant) -> bool:
        return self.server.query_client(str(row.client_id)) is not None and self.server.holder(row) is not None

    def check_permission(self, token: Shown, client: RegisteredClient, request: object) -> bool:
        del request
        mine = client.row.organization_id
        if isinstance(token, AccessToken):
            same = mine is not None and token.checked.principal.organization_id == mine
        else:
            same = mine is not None and token.row.organization_id == mine
        return same or token.check_client(client)

    def introspect_token(self, token: Shown) -> dict[str, object]:
        if isinstance(token, AccessToken):
            shown = {name: token.claims[name] for name in _SHOWN if name in token.claims}
            return {**shown, "username": token.claims.get("email", ""), "token_type": "Bearer"}
        row = token.row
        return {
            "scope": token.get_scope(),
            "client_id": str(row.client_id),
            "sub": str(row.user_id),
            "exp": int(row.expires_at.timestamp()),
            "iat": int(token.token.created_at.timestamp()),
            "iss": self.server.parts.settings.issuer,
            "token_type": "refresh_token",
        }
