"""The developer of a feature: a member or a service account of its organization."""

from contextlib import suppress
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.http.errors import InvalidRequestError
from domain.clients import ClientKind
from domain.errors import NotFoundError
from storage.repositories.clients import ClientRepository
from storage.repositories.memberships import MembershipRepository
from storage.tenancy import Tenant


async def check_developer(session: AsyncSession, organization_id: UUID, developer_id: UUID | None) -> None:
    """Raise `InvalidRequestError` for whoever is not of the organization; of another one is as good as unknown."""
    if developer_id is None:
        return
    tenant = Tenant(organization_id)
    if await MembershipRepository(session, tenant).of(developer_id, organization_id):
        return
    with suppress(NotFoundError):
        await ClientRepository(session, tenant).of(organization_id, ClientKind.SERVICE_ACCOUNT, developer_id)
        return
    raise InvalidRequestError(
        "developer_id", "is neither a member nor a service account of this organization", code="unknown_developer"
    )
