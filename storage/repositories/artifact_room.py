"""The storage used by organizations' artifacts, and the artifacts that may be removed (all tenants)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.lifecycle import ReleaseState
from storage.models import Build, Deployment, Operation, Release

# Number of an environment's newest releases whose artifacts stay for a rollback.
KEPT_RELEASES = 10
_OVER = (ReleaseState.STOPPED, ReleaseState.FAILED)


class ArtifactRoomRepository:
    """An artifact shared by several builds of an organization counts once."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def used(self, organization_id: UUID) -> int:
        """Bytes of all artifacts of an organization."""
        each = _each().where(Build.organization_id == organization_id).subquery()
        return int(await self._session.scalar(select(func.coalesce(func.sum(each.c.size), 0))) or 0)

    async def crowded(self, limit_bytes: int) -> list[tuple[UUID, int]]:
        """Organizations whose artifacts use more than the limit, with their usage."""
        each = _each().subquery()
        total = func.sum(each.c.size)
        rows = await self._session.execute(
            select(each.c.organization_id, total).group_by(each.c.organization_id).having(total > limit_bytes)
        )
        return [(organization_id, int(size)) for organization_id, size in rows]

    async def removable(self, organization_id: UUID, *, before: datetime, limit: int = 500) -> list[tuple[str, int]]:
        """Digests and sizes, oldest first, that no later build, no other organization and no release needs."""
        others = select(Build.artifact_digest).where(
            Build.organization_id != organization_id, Build.artifact_digest.is_not(None)
        )
        statement = (
            select(Build.artifact_digest, func.max(Build.artifact_size_bytes))
            .where(
                Build.organization_id == organization_id,
                Build.artifact_digest.is_not(None),
                Build.artifact_digest.not_in(others),
                *(Build.artifact_digest.not_in(needed) for needed in (_of_releases(), _of_open_operations())),
            )
            .group_by(Build.artifact_digest)
            .having(func.max(Build.created_at) < before)
            .order_by(func.max(Build.created_at))
            .limit(limit)
        )
        return [(digest, int(size or 0)) for digest, size in await self._session.execute(statement) if digest]

    async def forget(self, organization_id: UUID, digest: str) -> None:
        """Clear the artifact of its builds."""
        of_these: tuple[ColumnElement[bool], ...] = (
            Build.organization_id == organization_id,
            Build.artifact_digest == digest,
        )
        await self._session.execute(
            update(Build).where(*of_these).values(artifact_digest=None, artifact_size_bytes=None)
        )


def _each() -> Select[UUID, int | None]:
    return (
        select(Build.organization_id, func.max(Build.artifact_size_bytes).label("size"))
        .where(Build.artifact_digest.is_not(None))
        .group_by(Build.organization_id, Build.artifact_digest)
    )


def _of_releases() -> Select[str]:
    """Artifacts of releases that run or may run again."""
    newest = func.row_number().over(partition_by=Release.environment_id, order_by=Release.created_at.desc())
    ranked = select(Release.artifact_digest, Release.state, newest.label("place")).subquery()
    wanted = or_(ranked.c.place <= KEPT_RELEASES, ranked.c.state.not_in(_OVER))
    return select(ranked.c.artifact_digest).where(wanted)


def _of_open_operations() -> Select[str | None]:
    """Artifacts that are about to be deployed."""
    return (
        select(Build.artifact_digest)
        .join(Deployment, Deployment.build_id == Build.id)
        .join(Operation, Operation.id == Deployment.operation_id)
        .where(Operation.completed_at.is_(None), Build.artifact_digest.is_not(None))
    )
