"""API keys, for their management."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.api_keys import CreatorKind, KeyStatus
from storage.models import ApiKey, Client, Membership, User
from storage.repositories.base import Page, PageRequest, Repository

# Wakes every API process: it reloads keys, and the limits of organizations.
CHANNEL = "api_keys"


def status_of(key: ApiKey, at: datetime) -> KeyStatus:
    """The status of a key at a moment."""
    if key.revoked_at is not None:
        return KeyStatus.REVOKED
    if key.overlap_ends_at is not None and key.overlap_ends_at <= at:
        return KeyStatus.REPLACED
    return KeyStatus.EXPIRED if key.expires_at <= at else KeyStatus.ACTIVE


class ApiKeyRepository(Repository[ApiKey]):
    """Keys of an organization."""

    model = ApiKey
    noun = "API key"

    async def search(
        self, organization_id: UUID, *, status: KeyStatus | None, at: datetime, request: PageRequest
    ) -> Page[ApiKey]:
        """Keys of an organization, by their status at a moment."""
        statement = self.base().where(ApiKey.organization_id == organization_id)
        if status is not None:
            statement = statement.where(*_conditions(status, at))
        return await self.page(statement, request)

    async def made_by(self, organization_id: UUID, creator_id: UUID, *, at: datetime) -> Sequence[ApiKey]:
        """The keys of an organization that a person created and that still work, locked."""
        statement = self.base().where(ApiKey.organization_id == organization_id, ApiKey.creator_id == creator_id)
        working = statement.where(*_conditions(KeyStatus.ACTIVE, at)).order_by(ApiKey.id)
        return (await self.session.scalars(working.with_for_update(key_share=True))).all()

    async def made_anywhere_by(self, creator_id: UUID, *, at: datetime) -> Sequence[ApiKey]:
        """The keys that a person created and that still work, in all organizations, locked."""
        statement = self.base().where(ApiKey.creator_id == creator_id)
        working = statement.where(*_conditions(KeyStatus.ACTIVE, at)).order_by(ApiKey.id)
        return (await self.session.scalars(working.with_for_update(key_share=True))).all()

    async def working(self, organization_id: UUID, *, at: datetime) -> int:
        """Number of working keys of an organization."""
        statement = self.base().where(ApiKey.organization_id == organization_id, *_conditions(KeyStatus.ACTIVE, at))
        return await self.session.scalar(select(func.count()).select_from(statement.subquery())) or 0

    async def creator_kind(self, organization_id: UUID, creator_id: UUID | None) -> CreatorKind | None:
        """The kind of an id in an organization; None: a user who is not a member (any more)."""
        if creator_id is None:
            return CreatorKind.EXTERNAL
        seats = select(Membership.id).where(
            Membership.organization_id == organization_id, Membership.user_id == creator_id
        )
        member = await self.session.scalar(seats)
        if member is not None:
            return CreatorKind.MEMBER
        user = await self.session.get(User, creator_id)
        if user is not None:
            return CreatorKind.PLATFORM if user.is_platform_admin else None
        client = await self.session.get(Client, creator_id)
        return CreatorKind.EXTERNAL if client is None else CreatorKind.SERVICE_ACCOUNT


async def notify(session: AsyncSession) -> None:
    """Notify every API process when the transaction commits."""
    await session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


def _conditions(status: KeyStatus, at: datetime) -> list[ColumnElement[bool]]:
    """`status_of` as SQL conditions."""
    if status is KeyStatus.REVOKED:
        return [ApiKey.revoked_at.is_not(None)]
    kept, replaced = ApiKey.revoked_at.is_(None), ApiKey.overlap_ends_at <= at
    if status is KeyStatus.REPLACED:
        return [kept, replaced]
    going_on = or_(ApiKey.overlap_ends_at.is_(None), ApiKey.overlap_ends_at > at)
    expired = ApiKey.expires_at <= at
    return [kept, going_on, expired if status is KeyStatus.EXPIRED else ~expired]
