"""Login sessions of browsers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import LoginSession, User


class LoginRepository:
    """Login sessions by the hash of their cookie."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, login: LoginSession) -> None:
        self._session.add(login)
        await self._session.flush()

    async def user(self, token_hash: str, at: datetime) -> User | None:
        """The logged-in user, unless the session is over or the user is disabled."""
        found = (
            select(User)
            .join(LoginSession, LoginSession.user_id == User.id)
            .where(LoginSession.token_hash == token_hash, LoginSession.expires_at > at, User.disabled_at.is_(None))
        )
        return await self._session.scalar(found)

    async def end_of(self, user_id: UUID) -> None:
        """End all sessions of a user."""
        await self._session.execute(delete(LoginSession).where(LoginSession.user_id == user_id))

    async def end(self, token_hash: str) -> None:
        await self._session.execute(delete(LoginSession).where(LoginSession.token_hash == token_hash))
