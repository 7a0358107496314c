"""Shared by the routes of applications and of service accounts: both are OAuth clients of an organization."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.dependencies import AppState
from api.http.envelope import Prepared, reply, reply_page
from api.http.idempotency import Command
from api.http.links import location
from api.http.preconditions import Precondition
from api.schemas.base import View
from api.services.clients import Clients
from domain.clients import ClientKind, ClientStatus
from runtime.ids import now
from storage.engine import transaction
from storage.models import Client
from storage.repositories.base import PageRequest
from storage.repositories.clients import ClientRepository
from storage.repositories.organizations import OrganizationRepository


@dataclass(frozen=True)
class RequestedClients:
    """The clients of one kind and one organization, for one request.

    Raises:
        ForbiddenError: the caller belongs to another organization.
    """

    request: Request
    parts: AppState
    principal: Principal
    organization_id: UUID
    kind: ClientKind
    view: Callable[[Client], View]

    def __post_init__(self) -> None:
        self.principal.require_organization(self.organization_id)

    async def page(self, *, status: ClientStatus, text: str | None, page: PageRequest) -> Response:
        """One page of clients."""
        async with transaction(self.parts.sessions) as session:
            await OrganizationRepository(session, self.principal.tenant).get(self.organization_id)
            found = await ClientRepository(session, self.principal.tenant).search(
                self.organization_id, self.kind, disabled=status is ClientStatus.DISABLED, text=text, request=page
            )
        return reply_page(self.request, found, [self.view(row) for row in found.rows])

    async def one(self, client_id: UUID) -> Response:
        """One client, without its secret."""
        async with transaction(self.parts.sessions) as session:
            row = await ClientRepository(session, self.principal.tenant).of(self.organization_id, self.kind, client_id)
        return reply(self.request, self.view(row))

    async def create(
        self,
        command: Command,
        row: Client,
        *,
        path: str,
        confidential: bool,
        with_secret: Callable[[Client, str | None], View],
    ) -> Response:
        """Create a client. This answer alone shows its secret, if it has one. `path`: of the collection."""

        async def carry_out(session: AsyncSession) -> Response:
            most = self.parts.settings.clients_per_organization
            secret = await self._within(session).add(row, confidential=confidential, most=most)
            shown = Prepared.shown_once(with_secret(row, secret), self.view(row))
            headers = location(self.request, f"{path}/{row.id}")
            return reply(self.request, shown, status=201, headers=headers)

        return await command.run(carry_out)

    async def change(
        self,
        command: Command,
        precondition: Precondition,
        client_id: UUID,
        changes: Callable[[Client], dict[str, Any]],
    ) -> Response:
        """Change a client; `changes` computes the new values from the current row."""

        async def carry_out(session: AsyncSession) -> Response:
            clients = self._within(session)
            row = await clients.held(client_id)
            precondition.check(self.view(row))
            await clients.change(row, changes(row))
            return reply(self.request, self.view(row))

        return await command.run(carry_out)

    async def rotate_secret(
        self, command: Command, client_id: UUID, with_secret: Callable[[Client, str | None], View]
    ) -> Response:
        """Issue a new secret, shown in this answer only."""

        async def carry_out(session: AsyncSession) -> Response:
            clients = self._within(session)
            row = await clients.held(client_id)
            return reply(self.request, with_secret(row, await clients.new_secret(row)))

        return await command.run(carry_out)

    async def delete(self, precondition: Precondition, client_id: UUID) -> Response:
        """Disable the client. Repeating it changes nothing."""
        async with transaction(self.parts.sessions) as session:
            clients = self._within(session)
            row = await clients.held(client_id)
            precondition.check(self.view(row))
            await clients.disable(row, now())
        return Response(status_code=204)

    def _within(self, session: AsyncSession) -> Clients:
        return Clients(session, self.principal, self.organization_id, self.kind)
