"""The keys that sign provenance, of the whole platform."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import AttestationKey

_LOCK = 7_316_017


class AttestationKeyRepository:
    """Reads and changes them; whoever changes takes `hold` first."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def hold(self) -> None:
        """Until the transaction ends nobody else changes the keys."""
        await self._session.execute(select(func.pg_advisory_xact_lock(_LOCK)))

    async def all(self) -> Sequence[AttestationKey]:
        """Every key, oldest first."""
        statement = select(AttestationKey).order_by(AttestationKey.created_at, AttestationKey.id)
        return (await self._session.scalars(statement)).all()

    async def find(self, kid: str) -> AttestationKey | None:
        """The key of this id."""
        return await self._session.scalar(select(AttestationKey).where(AttestationKey.kid == kid))

    async def active(self) -> AttestationKey | None:
        """The key that signs."""
        return await self._session.scalar(select(AttestationKey).where(AttestationKey.state == "active"))

    async def add(self, key: AttestationKey) -> AttestationKey:
        self._session.add(key)
        await self._session.flush()
        return key
