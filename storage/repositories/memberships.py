"""Memberships: who belongs to which organization, with which role."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select

from domain.errors import NotFoundError
from domain.permissions import Role
from storage.models import Membership, User
from storage.repositories.base import Page, PageRequest, Repository

MAX_MEMBERSHIPS = 1000


class MembershipRepository(Repository[Membership]):
    """Memberships by organization and by user. Before adding or removing one, lock the organization."""

    model = Membership
    noun = "membership"

    async def of(self, user_id: UUID, organization_id: UUID, *, lock: bool = False) -> Membership | None:
        """A user's membership in an organization; None: not a member."""
        statement = self.base().where(Membership.user_id == user_id, Membership.organization_id == organization_id)
        if lock:
            statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        return await self.session.scalar(statement)

    async def member(self, user_id: UUID, organization_id: UUID, *, lock: bool = False) -> Membership:
        """As `of`.

        Raises:
            NotFoundError: the user is not a member.
        """
        found = await self.of(user_id, organization_id, lock=lock)
        if found is None:
            raise NotFoundError(f"user {user_id} is not a member of this organization")
        return found

    async def of_user(self, user_id: UUID) -> Sequence[Membership]:
        """All memberships of a user, oldest first, at most `MAX_MEMBERSHIPS`."""
        statement = self.base().where(Membership.user_id == user_id)
        ordered = statement.order_by(Membership.created_at, Membership.id).limit(MAX_MEMBERSHIPS)
        return list(await self.session.scalars(ordered))

    async def search(self, organization_id: UUID, *, role: str | None, request: PageRequest) -> Page[Membership]:
        """Members of an organization, by role."""
        statement = self.base().where(Membership.organization_id == organization_id)
        if role is not None:
            statement = statement.where(Membership.role == role)
        return await self.page(statement, request)

    async def users(self, organization_id: UUID, roles: Sequence[str], *, limit: int) -> Sequence[User]:
        """Users with one of the roles who can log in, newest accounts first."""
        members = self.base().where(Membership.organization_id == organization_id, Membership.role.in_(roles))
        seats = members.with_only_columns(Membership.user_id)
        found = select(User).where(User.id.in_(seats), User.disabled_at.is_(None))
        return (await self.session.scalars(found.order_by(User.created_at.desc(), User.id).limit(limit))).all()

    async def count(self, organization_id: UUID) -> int:
        """Number of members."""
        members = self.base().where(Membership.organization_id == organization_id)
        return await self.session.scalar(select(func.count()).select_from(members.subquery())) or 0

    async def other_admins(self, membership: Membership) -> int:
        """Number of other admins of the organization who can log in."""
        others = (
            self.base()
            .join(User, User.id == Membership.user_id)
            .where(
                Membership.organization_id == membership.organization_id,
                Membership.id != membership.id,
                Membership.role == Role.ADMIN,
                User.disabled_at.is_(None),
            )
        )
        return await self.session.scalar(select(func.count()).select_from(others.subquery())) or 0
