"""The audit log: written beside the deed, read newest first."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import AuditEntry
from storage.tenancy import Tenant

MAX_ENTRIES = 500


class AuditRepository:
    """Entries of one tenant."""

    def __init__(self, session: AsyncSession, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    async def write(self, entry: AuditEntry) -> None:
        """Add an entry; it stands if and only if the transaction does."""
        self._session.add(entry)
        await self._session.flush()

    async def of(self, resource_id: UUID) -> Sequence[AuditEntry]:
        """What was done to a resource, newest first, at most `MAX_ENTRIES`."""
        statement = select(AuditEntry).where(AuditEntry.resource_id == resource_id)
        mine = self._tenant.filter(statement, AuditEntry.organization_id)
        return (await self._session.scalars(mine.order_by(AuditEntry.id.desc()).limit(MAX_ENTRIES))).all()
