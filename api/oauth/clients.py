"""A registered client with the interface that Authlib expects."""

from collections.abc import Iterable
from uuid import UUID

from authlib.oauth2.rfc6749 import ClientMixin

from domain.clients import ClientKind
from domain.permissions import Scope
from domain.redirect_uris import is_same_but_for_the_port
from runtime.credentials import matches
from storage.models import Client

_GRANTS = {
    ClientKind.SERVICE_ACCOUNT: frozenset({"client_credentials"}),
    ClientKind.APPLICATION: frozenset({"authorization_code", "refresh_token"}),
}
# Public clients use PKCE. They may not introspect tokens.
_PUBLIC_ENDPOINTS = frozenset({"token", "revocation"})


class RegisteredClient(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """One row of `clients`."""

    def __init__(self, row: Client) -> None:
        self.row = row

    @property
    def id(self) -> UUID:
        return self.row.id

    @property
    def is_application(self) -> bool:
        """Whether it acts for the user who logs in."""
        return self.row.kind == ClientKind.APPLICATION

    def get_client_id(self) -> str:
        return str(self.row.id)

    def get_default_redirect_uri(self) -> None:
        """None: every request names its own redirect URI."""

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """The requested scopes that it may have; all of its scopes if none are requested. None: nothing."""
        return " ".join(self.allowed((scope or "").split())) or None

    def allowed(self, asked: Iterable[str]) -> list[Scope]:
        """As `get_allowed_scope`. The platform's applications have no scopes of their own: only the role limits them.

        A service account without scopes may do nothing: an empty list must not grant more than a short one.
        """
        own = [Scope(name) for name in self.row.scopes]
        if self.is_application and not own:
            own = list(Scope)
        wanted = set(asked)
        return [scope for scope in own if not wanted or scope in wanted]

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """An exact match (RFC 9700, 2.1); a public client on the loopback address has any port (RFC 8252, 7.3)."""
        if redirect_uri in self.row.redirect_uris:
            return True
        is_public = self.row.secret_hash is None
        return is_public and any(is_same_but_for_the_port(known, redirect_uri) for known in self.row.redirect_uris)

    def check_client_secret(self, client_secret: str) -> bool:
        return matches(client_secret, self.row.secret_hash)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        if self.row.secret_hash is None:
            return method == "none" and endpoint in _PUBLIC_ENDPOINTS
        return method in {"client_secret_basic", "client_secret_post"}

    def check_response_type(self, response_type: str) -> bool:
        return self.is_application and response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in _GRANTS.get(ClientKind(self.row.kind), ())
