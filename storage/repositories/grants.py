"""Grants, looked up by authorization code or refresh token. For any tenant: the lookup determines it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Grant, RefreshToken


class GrantRepository:
    """A grant is locked until the transaction ends: concurrent uses of one token are serialized."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, grant: Grant) -> None:
        self._session.add(grant)
        await self._session.flush()

    async def add_token(self, token: RefreshToken) -> None:
        self._session.add(token)
        await self._session.flush()

    async def by_code(self, code_hash: str) -> Grant | None:
        """The grant of an authorization code, used or not, locked."""
        return await self._held(select(Grant).where(Grant.code_hash == code_hash))

    async def by_token(self, token_hash: str) -> tuple[Grant, RefreshToken] | None:
        """A refresh token, used or not, and its grant, locked."""
        wanted = select(RefreshToken).where(RefreshToken.token_hash == token_hash)
        token = await self._session.scalar(wanted)
        if token is None:
            return None
        grant = await self._held(select(Grant).where(Grant.id == token.grant_id))
        # Read again: it may have been used while we waited for the grant's lock.
        token = await self._session.scalar(wanted.execution_options(populate_existing=True))
        return None if grant is None or token is None else (grant, token)

    async def revoke(self, grant_id: UUID, at: datetime) -> None:
        """Revoke the grant's whole family."""
        grant = await self._held(select(Grant).where(Grant.id == grant_id))
        if grant is not None and grant.revoked_at is None:
            grant.revoked_at = at
            await self._session.flush()

    async def revoke_of_user(self, user_id: UUID, organization_id: UUID | None, at: datetime) -> None:
        """Revoke a user's grants in an organization (None: in all)."""
        mine = [Grant.user_id == user_id]
        await self._revoke_all(
            mine if organization_id is None else [*mine, Grant.organization_id == organization_id], at
        )

    async def revoke_of_client(self, client_id: UUID, at: datetime) -> None:
        """Revoke all grants to an application."""
        await self._revoke_all([Grant.client_id == client_id], at)

    async def _revoke_all(self, conditions: list[ColumnElement[bool]], at: datetime) -> None:
        """Locks them in the order of their ids first, so that concurrent revocations cannot deadlock."""
        wanted = select(Grant.id).where(Grant.revoked_at.is_(None), *conditions).order_by(Grant.id)
        ids = (await self._session.scalars(wanted.with_for_update(key_share=True))).all()
        if ids:
            await self._session.execute(update(Grant).where(Grant.id.in_(ids)).values(revoked_at=at))

    async def _held(self, statement: Select[Grant]) -> Grant | None:
        locked = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        return await self._session.scalar(locked)
