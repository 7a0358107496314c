"""Invitations. One is open until it is accepted, revoked or expired."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select, update

from domain.invitations import InvitationStatus
from storage.models import Invitation
from storage.repositories.base import Page, PageRequest, Repository


class InvitationRepository(Repository[Invitation]):
    """Invitations by organization, and by the hash of their token."""

    model = Invitation
    noun = "invitation"

    async def by_token(self, token_hash: str, *, lock: bool = False) -> Invitation | None:
        """The invitation whose token has this hash, in any status."""
        statement = self.base().where(Invitation.token_hash == token_hash)
        if lock:
            statement = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        return await self.session.scalar(statement)

    async def open_for(self, organization_id: UUID, email: str, at: datetime) -> Invitation | None:
        """An open invitation for an email."""
        mine = self.base().where(Invitation.organization_id == organization_id, Invitation.email == email)
        return await self.session.scalar(mine.where(_is(InvitationStatus.OPEN, at)).limit(1))

    async def count_open(self, organization_id: UUID, at: datetime) -> int:
        """Number of open invitations."""
        found = self.base().where(Invitation.organization_id == organization_id, _is(InvitationStatus.OPEN, at))
        return await self.session.scalar(select(func.count()).select_from(found.subquery())) or 0

    async def count_try(self, invitation_id: UUID, limit: int) -> bool:
        """Count a password attempt with its token; False: there were too many."""
        counted = (
            update(Invitation)
            .where(Invitation.id == invitation_id, Invitation.failures < limit)
            .values(failures=Invitation.failures + 1)
        )
        return await self.session.scalar(counted.returning(Invitation.id)) is not None

    async def forget_tries(self, invitation_id: UUID) -> None:
        """Reset the count after a right password."""
        await self.session.execute(update(Invitation).where(Invitation.id == invitation_id).values(failures=0))

    async def search(
        self, organization_id: UUID, *, status: InvitationStatus | None, at: datetime, request: PageRequest
    ) -> Page[Invitation]:
        """Invitations of an organization by status; None: all."""
        statement = self.base().where(Invitation.organization_id == organization_id)
        if status is not None:
            statement = statement.where(_is(status, at))
        return await self.page(statement, request)


def status_of(invitation: Invitation, at: datetime) -> InvitationStatus:
    """The status of an invitation at a moment."""
    if invitation.accepted_at is not None:
        return InvitationStatus.ACCEPTED
    if invitation.revoked_at is not None:
        return InvitationStatus.REVOKED
    return InvitationStatus.OPEN if invitation.expires_at > at else InvitationStatus.EXPIRED


def _is(status: InvitationStatus, at: datetime) -> ColumnElement[bool]:
    """`status_of` as an SQL condition."""
    pending = and_(Invitation.accepted_at.is_(None), Invitation.revoked_at.is_(None))
    conditions: dict[InvitationStatus, Any] = {
        InvitationStatus.OPEN: and_(pending, Invitation.expires_at > at),
        InvitationStatus.ACCEPTED: Invitation.accepted_at.is_not(None),
        InvitationStatus.REVOKED: and_(Invitation.accepted_at.is_(None), Invitation.revoked_at.is_not(None)),
        InvitationStatus.EXPIRED: and_(pending, Invitation.expires_at <= at),
    }
    condition: ColumnElement[bool] = conditions[status]
    return condition
