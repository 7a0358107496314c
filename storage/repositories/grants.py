"""Grants, by what their holders show: an authorization code or a refresh token. Of any tenant: these come first."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Grant, RefreshToken


class GrantRepository:
    """A grant that is found is held until the transaction ends: two uses of one token come one after the other."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, grant: Grant) -> None:
        self._session.add(grant)
        await self._session.flush()

    async def add_token(self, token: RefreshToken) -> None:
        self._session.add(token)
        await self._session.flush()

    async def by_code(self, code_hash: str) -> Grant | None:
        """The grant of an authorization code, used or not, held."""
        return await self._held(select(Grant).where(Grant.code_hash == code_hash))

    async def by_token(self, token_hash: str) -> tuple[Grant, RefreshToken] | None:
        """A refresh token, used or not, and its grant, held."""
        wanted = select(RefreshToken).where(RefreshToken.token_hash == token_hash)
        token = await self._session.scalar(wanted)
        if token is None:
            return None
        grant = await self._held(select(Grant).where(Grant.id == token.grant_id))
        # Read again: somebody may have used it while we waited for the grant.
        token = await self._session.scalar(wanted.execution_options(populate_existing=True))
        return None if grant is None or token is None else (grant, token)

    async def revoke(self, grant_id: UUID, at: datetime) -> None:
        """Nothing of the grant's family is good any more."""
        grant = await self._held(select(Grant).where(Grant.id == grant_id))
        if grant is not None and grant.revoked_at is None:
            grant.revoked_at = at
            await self._session.flush()

    async def revoke_of_user(self, user_id: UUID, organization_id: UUID | None, at: datetime) -> None:
        """Nothing is good any more of what a user allowed in an organization (None: in all places)."""
        mine = [Grant.user_id == user_id]
        await self._revoke_all(
            mine if organization_id is None else [*mine, Grant.organization_id == organization_id], at
        )

    async def revoke_of_client(self, client_id: UUID, at: datetime) -> None:
        """Nothing is good any more of what anybody allowed an application."""
        await self._revoke_all([Grant.client_id == client_id], at)

    async def _revoke_all(self, conditions: list[ColumnElement[bool]], at: datetime) -> None:
        """Held in the order of their ids first: two who revoke the same ones come one after the other."""
        wanted = select(Grant.id).where(Grant.revoked_at.is_(None), *conditions).order_by(Grant.id)
        ids = (await self._session.scalars(wanted.with_for_update(key_share=True))).all()
        if ids:
            await self._session.execute(update(Grant).where(Grant.id.in_(ids)).values(revoked_at=at))

    async def _held(self, statement: Select[Grant]) -> Grant | None:
        locked = statement.with_for_update(key_share=True).execution_options(populate_existing=True)
        return await self._session.scalar(locked)
