"""Inviting somebody."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api import changes
from api.auth.principal import Principal
from api.granting import require_holds, require_may_give
from api.members import check_seat
from api.schemas.invitations import InvitationCreate
from domain.access import Role, permissions_of
from domain.errors import ConflictError, ErrorCode
from runtime.credentials import digest
from runtime.ids import new_id
from storage.models import Invitation
from storage.repositories.invitations import InvitationRepository
from storage.repositories.memberships import MembershipRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.users import UserRepository

GOOD_FOR: Final = timedelta(days=7)


async def invite(
    session: AsyncSession,
    principal: Principal,
    organization_id: UUID,
    body: InvitationCreate,
    *,
    token: str,
    at: datetime,
) -> Invitation:
    """Offer a seat; open invitations count against the organization's seats, so that whoever comes finds one.

    Raises:
        ForbiddenError: the role grants more than the caller's, or QUOTA_EXCEEDED.
        ConflictError: DUPLICATE_RESOURCE, a member already, or invited already.
    """
    organization = await OrganizationRepository(session, principal.tenant).get(organization_id, lock=True)
    require_may_give(principal, body.role)
    require_holds(principal, permissions_of(Role(body.role)))
    members = MembershipRepository(session, principal.tenant)
    invitations = InvitationRepository(session, principal.tenant)
    user = await UserRepository(session, principal.tenant).by_email(body.email)
    if user is not None and await members.of(user.id, organization_id):
        raise _twice(f"{body.email} is a member already")
    if await invitations.open_for(organization_id, body.email, at):
        raise _twice(f"{body.email} is invited already; revoke that invitation to make another one")
    await check_seat(members, organization, await invitations.count_open(organization_id, at))
    row = Invitation(
        id=new_id(),
        organization_id=organization_id,
        email=body.email,
        role=body.role,
        token_hash=digest(token),
        invited_by=principal.subject,
        expires_at=at + GOOD_FOR,
    )
    await changes.add(session, row)
    return row


def _twice(message: str) -> ConflictError:
    return ConflictError(message, code=ErrorCode.DUPLICATE_RESOURCE)
