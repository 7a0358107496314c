"""OAuth clients: service accounts and registered applications."""

from uuid import UUID

from sqlalchemy import func, select

from domain.clients import ClientKind
from domain.errors import NotFoundError
from storage.models import Client
from storage.repositories.base import Page, PageRequest, Repository
from storage.tenancy import PLATFORM


class ClientRepository(Repository[Client]):
    """Clients of one tenant. A deleted one is disabled and stays, for readers of old records."""

    model = Client
    noun = "client"

    async def by_id(self, client_id: UUID, *, hold: bool = False) -> Client | None:
        """A client of any tenant, even a disabled one, for authentication before the tenant is known.

        Args:
            client_id: its id.
            hold: a shared lock: it cannot be changed until the transaction ends.
        """
        statement = PLATFORM.filter(select(Client), Client.organization_id).where(Client.id == client_id)
        if hold:
            statement = statement.with_for_update(read=True).execution_options(populate_existing=True)
        return await self.session.scalar(statement)

    async def of(self, organization_id: UUID, kind: ClientKind, client_id: UUID, *, lock: bool = False) -> Client:
        """A client of an organization.

        Raises:
            NotFoundError: the organization has no client of that kind with this id.
        """
        statement = self.base().where(
            Client.id == client_id, Client.organization_id == organization_id, Client.kind == kind
        )
        if lock:
            statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        row = await self.session.scalar(statement)
        if row is None:
            raise NotFoundError(f"{kind.replace('_', ' ')} {client_id} does not exist")
        return row

    async def count(self, organization_id: UUID, kind: ClientKind) -> int:
        """Number of active clients of a kind in an organization."""
        mine = self.base().where(
            Client.organization_id == organization_id, Client.kind == kind, Client.disabled_at.is_(None)
        )
        return await self.session.scalar(select(func.count()).select_from(mine.subquery())) or 0

    async def search(
        self, organization_id: UUID, kind: ClientKind, *, disabled: bool, text: str | None, request: PageRequest
    ) -> Page[Client]:
        """Clients of an organization by status (active or disabled), and by a part of their name."""
        statement = self.base().where(Client.organization_id == organization_id, Client.kind == kind)
        statement = statement.where(Client.disabled_at.is_not(None) if disabled else Client.disabled_at.is_(None))
        if text:
            statement = statement.where(Client.name.icontains(text, autoescape=True))
        return await self.page(statement, request)
