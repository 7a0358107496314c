"""Change a member's role or remove the member. Tokens with more permissions than the new role are revoked."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.http.preconditions import Condition
from api.schemas.members import MemberView
from api.services import audited_writes
from api.services.delegation import require_holds, require_may_give
from api.services.revoke_access import end_grants, end_membership, end_tokens
from domain.errors import ConflictError, ErrorCode, ForbiddenError
from domain.permissions import MemberRole, Role, is_less, may_give, permissions_of
from storage.models import Membership, Organization, User
from storage.repositories.memberships import MembershipRepository
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.users import UserRepository


class Members:
    """The members of one organization, in one transaction, for one caller."""

    def __init__(self, session: AsyncSession, principal: Principal, organization_id: UUID) -> None:
        self._session = session
        self._principal = principal
        self._organization_id = organization_id
        self._members = MembershipRepository(session, principal.tenant)

    async def give_role(self, user_id: UUID, role: MemberRole, precondition: Condition) -> MemberView:
        """Another role; with a lesser one all tokens of the member are refused from the commit on.

        Raises:
            NotFoundError: not a member.
            ForbiddenError: the role grants more than the caller's.
            ConflictError: it is the last admin.
        """
        membership, user = await self._held(user_id, precondition)
        require_may_give(self._principal, role)
        if not may_give(Role(membership.role), role):  # more than before: the token must have them
            require_holds(self._principal, permissions_of(Role(role)))
        if is_less(role, Role(membership.role)):
            await self._check_not_last(membership)
            await end_tokens(self._session, str(user_id), self._organization_id)
        await audited_writes.change(self._session, membership, {"role": role})
        return MemberView.of(membership, user)

    async def remove(self, user_id: UUID, precondition: Condition) -> None:
        """Out, and their tokens, grants and keys refused from the commit on. The user and other memberships stay.

        Raises:
            NotFoundError: not a member.
            ConflictError: it is the last admin.
        """
        await end_grants(self._session, user_id, self._organization_id)
        membership, _ = await self._held(user_id, precondition)
        await self._check_not_last(membership)
        await audited_writes.remove(self._session, membership)
        await end_membership(self._session, user_id, self._organization_id)

    async def _held(self, user_id: UUID, precondition: Condition) -> tuple[Membership, User]:
        """Lock the organization before its members, so that two requests cannot remove the last two admins at once."""
        await OrganizationRepository(self._session, self._principal.tenant).get(self._organization_id, lock=True)
        membership = await self._members.member(user_id, self._organization_id, lock=True)
        user = await UserRepository(self._session, self._principal.tenant).get(user_id)
        precondition.check(MemberView.of(membership, user))
        return membership, user

    async def _check_not_last(self, membership: Membership) -> None:
        if Role(membership.role) is Role.ADMIN and not await self._members.other_admins(membership):
            raise ConflictError("this is the organization's last admin; make somebody else an admin first")


async def check_seat(members: MembershipRepository, organization: Organization, offered: int) -> None:
    """Whether there is a place for one more; the organization is locked.

    Args:
        members: of the organization.
        organization: with its quota.
        offered: seats that are promised to others.

    Raises:
        ForbiddenError: QUOTA_EXCEEDED.
    """
    taken = await members.count(organization.id)
    if taken + offered >= organization.max_users:
        open_ones = f" and {offered} open invitations" if offered else ""
        raise ForbiddenError(
            f"the organization has {taken} members{open_ones} on {organization.max_users} seats; remove a member, "
            "revoke an invitation or ask for a larger plan",
            code=ErrorCode.QUOTA_EXCEEDED,
            details={"quota": "max_users", "limit": organization.max_users},
        )
