"""Authlib's authorization server, for one request in one transaction.

Authlib's core is synchronous. It runs in a greenlet of SQLAlchemy's (`answer`), so that its callbacks can wait for our
asynchronous repositories without a thread and without a second, synchronous set (docs/adr/0012-oauth-server.md).
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from authlib.common.urls import add_params_to_uri
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidClientError
from fastapi import Response
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.util import await_only, greenlet_spawn

from api.http.envelope import JSON
from api.oauth.clients import RegisteredClient
from api.oauth.grants import CodeGrant, MachineGrant, Pkce, RefreshGrant, require_scopes
from api.oauth.parts import OAuthParts
from api.oauth.requests import ProtocolRequest
from api.oauth.responses import NO_STORE, json_answer
from api.oauth.token_subject import Holder, holder_of
from api.services.audit import record
from domain.permissions import Scope, granted
from runtime.ids import new_id, now
from runtime.tokens import DEFAULT_TTL, Subject, sign
from storage.models import Grant, Revocation
from storage.repositories.clients import ClientRepository
from storage.repositories.grants import GrantRepository
from storage.repositories.revocations import RevocationRepository
from storage.tenancy import PLATFORM

T = TypeVar("T")
# Tolerance for other processes' clocks and for verifiers' leeway.
MARGIN: Final = timedelta(minutes=5)
SEE_OTHER: Final = 303
FOUND: Final = 302


async def in_greenlet(work: Callable[[], T]) -> T:
    """Run synchronous code that may wait for asynchronous code with `await_only`."""
    result: T = await greenlet_spawn(work)
    return result


class Server(AuthorizationServer):  # type: ignore[misc]  # Authlib has no types
    """Authlib's callbacks, implemented on our tables.

    Args:
        parts: of the OAuth server.
        session: the request's transaction.
        holding: whether to lock clients until the transaction ends, so that none is disabled while it gets a token.
    """

    def __init__(self, parts: OAuthParts, session: AsyncSession, *, holding: bool = False) -> None:
        super().__init__(scopes_supported=[str(scope) for scope in Scope])
        self.holding = holding
        self.parts = parts
        self.session = session
        self.grants = GrantRepository(session)
        self.register_grant(CodeGrant, [Pkce(required=True)])
        self.register_grant(RefreshGrant)
        self.register_grant(MachineGrant)

    def query_client(self, client_id: str) -> RegisteredClient | None:
        try:
            parsed = UUID(client_id)
        except ValueError:
            return None
        row = await_only(ClientRepository(self.session, PLATFORM).by_id(parsed, hold=self.holding))
        return None if row is None or row.disabled_at is not None else RegisteredClient(row)

    def authenticate_client(self, request: ProtocolRequest, methods: Any, endpoint: str = "token") -> RegisteredClient:
        """As Authlib does, but with one message for all refusals."""
        try:
            client: RegisteredClient = super().authenticate_client(request, methods, endpoint)
        except (InvalidClientError, ValueError) as error:
            raise InvalidClientError("the client is unknown, or its secret is wrong", status_code=401) from error
        named = request.payload.client_id
        if named and named != client.get_client_id():
            raise InvalidClientError("client_id is not that of the authenticated client", status_code=401)
        return client

    def save_token(self, token: object, request: object) -> None:
        """Nothing to do: tokens are stored where they are created."""

    def send_signal(self, name: str, *_: object, **__: object) -> None:
        """Nothing to do: Authlib's signals have no receivers here."""

    def create_oauth2_request(self, request: ProtocolRequest) -> ProtocolRequest:
        return request

    def handle_response(self, status: int, body: Mapping[str, object], headers: Iterable[tuple[str, str]]) -> Response:
        given = dict(headers)
        if "Location" in given:
            # RFC 9207: a client of several servers can tell whose response it is.
            issuer = {"iss": self.parts.settings.issuer}
            return Response(
                status_code=SEE_OTHER if status == FOUND else status,
                headers={**NO_STORE, "Location": add_params_to_uri(given["Location"], issuer)},
            )
        return json_answer(body, status, {name: value for name, value in given.items() if value != JSON})

    def refuse(self, request: ProtocolRequest, error: OAuth2Error) -> Response:
        """The error response to an authorization request, if it may be sent to the client."""
        answer: Response = self.handle_error_response(request, error)
        return answer

    def holder(self, row: Grant) -> Holder | None:
        """The subject of a grant with its current role, locked until the token is written."""
        return await_only(holder_of(self.session, row.user_id, row.organization_id))

    def access(
        self, holder: Holder, client: RegisteredClient, asked: Iterable[str], row: Grant | None
    ) -> dict[str, object]:
        """A new access token: the role's permissions, limited to the requested scopes and the client's."""
        permissions = granted(holder.role, asked) & set(client.allowed(()))
        scope = require_scopes(permissions)
        subject = Subject(
            id=holder.subject,
            role=holder.role,
            permissions=permissions,
            organization=str(holder.organization_id or ""),
            email=holder.email,
            client_id=client.get_client_id(),
            family=str(row.id) if row else "",
        )
        settings = self.parts.settings
        token = sign(subject, self.parts.keyring.signer(), issuer=settings.issuer, audience=settings.jwt_audience)
        lifetime = int(DEFAULT_TTL.total_seconds())
        return {"token_type": "Bearer", "access_token": token, "expires_in": lifetime, "scope": scope}

    def note(self, action: str, row: Grant, actor: str, *, reason: str | None = None, **details: object) -> None:
        """Write what happened to a grant into its organization's audit log."""
        entry = record(
            self.session,
            action,
            resource_type="grant",
            resource_id=row.id,
            organization_id=row.organization_id,
            actor=actor,
            reason=reason,
            client_id=str(row.client_id),
            user_id=str(row.user_id),
            **details,
        )
        await_only(entry)

    def revoke_family(self, row: Grant, client: RegisteredClient, *, reason: str) -> None:
        """Revoke all refresh tokens of the family, and all access tokens issued with them."""
        if row.revoked_at is None:
            self.note("grant.revoked", row, client.get_client_id(), reason=reason)
        await_only(self.grants.revoke(row.id, now()))
        self._revoke("family", str(row.id), now() + DEFAULT_TTL + MARGIN)

    def revoke_access(self, token_id: str, expires_s: float) -> None:
        """Revoke one access token."""
        left = timedelta(seconds=max(0.0, expires_s - now().timestamp()))
        self._revoke("token", token_id, now() + left + MARGIN)

    def _revoke(self, kind: str, value: str, until: Any) -> None:
        row = Revocation(id=new_id(), kind=kind, value=value, expires_at=until)
        await_only(RevocationRepository(self.session).add(row))
