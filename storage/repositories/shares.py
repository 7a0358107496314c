"""The number of an organization's instances (all tenants)."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.procfile import WEB
from storage.models import Instance, Release


class ShareRepository:
    """Counts instances, including those of releases that are being replaced: they still run."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock(self, organization_id: UUID) -> None:
        """Until the transaction ends, no other process adds instances to the organization."""
        lock = int.from_bytes(organization_id.bytes[:8], "big", signed=True)
        await self._session.execute(select(func.pg_advisory_xact_lock(lock)))

    async def of(self, organization_id: UUID) -> Sequence[tuple[Release, int]]:
        """Releases with instances, and the number of instances of each that take traffic."""
        counted = (
            select(Instance.release_id, func.count().filter(Instance.type == WEB).label("number"))
            .join(Release, Release.id == Instance.release_id)
            .where(Release.organization_id == organization_id)
            .group_by(Instance.release_id)
            .subquery()
        )
        rows = await self._session.execute(
            select(Release, counted.c.number).join(counted, counted.c.release_id == Release.id)
        )
        return [(release, number) for release, number in rows]
