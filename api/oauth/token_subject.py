"""The subject of a token, as it is in the database now."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import NotFoundError
from domain.permissions import Role
from domain.texts import shown
from storage.models import Client, User
from storage.repositories.memberships import MembershipRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.users import UserRepository
from storage.tenancy import PLATFORM


@dataclass(frozen=True)
class Holder:
    """A user in one organization, or a service account.

    Attributes:
        organization_id: None: the platform itself.
        place: its name, for people.
    """

    subject: str
    role: Role
    organization_id: UUID | None
    email: str = ""
    place: str = ""


async def places_of(session: AsyncSession, user: User, client: Client) -> Sequence[Holder]:
    """A user's possible subjects for a client: its organization's member, or all memberships for a platform client."""
    found: list[Holder] = []
    if user.is_platform_admin and client.organization_id is None:
        found.append(Holder(str(user.id), Role.PLATFORM_ADMIN, None, user.email, "The whole platform"))
    memberships = await MembershipRepository(session, PLATFORM).of_user(user.id)
    wanted = [row for row in memberships if client.organization_id in (None, row.organization_id)]
    rows = await OrganizationRepository(session, PLATFORM).several([row.organization_id for row in wanted])
    names = {row.id: shown(row.name) for row in rows}
    found += [
        Holder(str(user.id), Role(row.role), row.organization_id, user.email, names[row.organization_id])
        for row in wanted
        if row.organization_id in names
    ]
    return found


async def holder_of(session: AsyncSession, user_id: UUID, organization_id: UUID | None) -> Holder | None:
    """A user in one place, locked until the transaction ends; None: no longer a member."""
    try:
        user = await UserRepository(session, PLATFORM).get(user_id)
    except NotFoundError:
        return None
    if user.disabled_at is not None:
        return None
    if organization_id is None:
        return Holder(str(user.id), Role.PLATFORM_ADMIN, None, user.email) if user.is_platform_admin else None
    membership = await MembershipRepository(session, PLATFORM).of(user_id, organization_id, lock=True)
    if membership is None:
        return None
    return Holder(str(user.id), Role(membership.role), organization_id, user.email)


def machine(client: Client) -> Holder:
    """A service account as itself."""
    return Holder(str(client.id), Role(client.role or Role.VIEWER), client.organization_id)
