"""The keys that sign access tokens, of the whole platform."""

from collections.abc import Sequence

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import SigningKey
from storage.repositories.revocations import CHANNEL

_LOCK = 7_316_009


class SigningKeyRepository:
    """Reads and changes them. Before a change take `hold`, and afterwards notify every process with `tell`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def hold(self) -> None:
        """Lock the keys against other changes until the transaction ends."""
        await self._session.execute(select(func.pg_advisory_xact_lock(_LOCK)))

    async def all(self) -> Sequence[SigningKey]:
        """Every key, oldest first."""
        return (await self._session.scalars(select(SigningKey).order_by(SigningKey.created_at, SigningKey.id))).all()

    async def add(self, key: SigningKey) -> None:
        self._session.add(key)
        await self._session.flush()

    async def remove(self, key: SigningKey) -> None:
        await self._session.delete(key)
        await self._session.flush()

    async def tell(self) -> None:
        """Notify the listeners at the commit."""
        await self._session.flush()
        await self._session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
