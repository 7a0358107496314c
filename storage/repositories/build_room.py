"""The storage used by builds' documents and findings, and what of it may be removed (all tenants)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from domain.build_documents import DocumentKind
from domain.lifecycle import BuildStatus, ReleaseState
from domain.vulnerabilities import VulnerabilityStatus
from storage.models import Build, BuildDocument, BuildFinding, Release, Vulnerability

_OVER = (ReleaseState.STOPPED, ReleaseState.FAILED)
_SIZE = func.octet_length(BuildDocument.content)


class BuildRoomRepository:
    """Provenance is never removed: without it a build cannot be deployed. Nor is anything of a release that runs."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def crowded(self, limit_bytes: int) -> list[tuple[UUID, int]]:
        """Organizations whose documents take more than the limit, with the bytes that they take, compressed."""
        total = func.sum(_SIZE)
        rows = await self._session.execute(
            select(BuildDocument.organization_id, total)
            .group_by(BuildDocument.organization_id)
            .having(total > limit_bytes)
        )
        return [(organization_id, int(size)) for organization_id, size in rows]

    async def removable(
        self, organization_id: UUID, *, before: datetime, limit: int = 500
    ) -> list[tuple[UUID, str, int]]:
        """Builds, kinds and bytes of documents, those first that were written longest ago."""
        statement = (
            select(BuildDocument.build_id, BuildDocument.kind, _SIZE)
            .join(Build, Build.id == BuildDocument.build_id)
            .where(
                BuildDocument.organization_id == organization_id,
                BuildDocument.kind != DocumentKind.PROVENANCE,
                BuildDocument.updated_at < before,
                Build.status != BuildStatus.RUNNING,
                Build.id.not_in(_running()),
            )
            .order_by(BuildDocument.updated_at, BuildDocument.build_id)
            .limit(limit)
        )
        return [(build_id, kind, int(size)) for build_id, kind, size in await self._session.execute(statement)]

    async def remove(self, documents: Sequence[tuple[UUID, str]]) -> None:
        """Remove documents, by build and kind."""
        key = tuple_(BuildDocument.build_id, BuildDocument.kind)
        await self._session.execute(delete(BuildDocument).where(key.in_(documents)))

    async def crowded_by_findings(self, most: int) -> list[tuple[UUID, int]]:
        """Organizations whose builds have more findings than that, with their number."""
        total = func.count()
        rows = await self._session.execute(
            select(BuildFinding.organization_id, total).group_by(BuildFinding.organization_id).having(total > most)
        )
        return [(organization_id, count) for organization_id, count in rows]

    async def remove_findings(self, organization_id: UUID, *, before: datetime, builds: int = 50) -> int:
        """Forget which vulnerabilities the oldest builds had; the vulnerabilities stay. Returns how many."""
        have = select(BuildFinding.build_id).where(BuildFinding.organization_id == organization_id)
        wanted: tuple[ColumnElement[bool], ...] = (
            Build.organization_id == organization_id,
            Build.created_at < before,
            Build.status != BuildStatus.RUNNING,
            Build.id.in_(have),
            Build.id.not_in(_running()),
        )
        oldest = select(Build.id).where(*wanted).order_by(Build.created_at, Build.id).limit(builds)
        gone = await self._session.execute(
            delete(BuildFinding).where(BuildFinding.build_id.in_(oldest)).returning(BuildFinding.build_id)
        )
        return len(gone.all())

    async def crowded_by_fixed(self, most: int) -> list[tuple[UUID, int]]:
        """Organizations with more fixed vulnerabilities than that, with their number."""
        total = func.count()
        rows = await self._session.execute(
            select(Vulnerability.organization_id, total)
            .where(Vulnerability.status == VulnerabilityStatus.FIXED)
            .group_by(Vulnerability.organization_id)
            .having(total > most)
        )
        return [(organization_id, count) for organization_id, count in rows]

    async def remove_fixed(self, organization_id: UUID, *, limit: int = 500) -> int:
        """Forget vulnerabilities that were fixed longest ago and that nobody decided about. Returns how many."""
        oldest = (
            select(Vulnerability.id)
            .where(
                Vulnerability.organization_id == organization_id,
                Vulnerability.status == VulnerabilityStatus.FIXED,
                Vulnerability.triaged_at.is_(None),
            )
            .order_by(Vulnerability.fixed_at, Vulnerability.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        gone = await self._session.execute(
            delete(Vulnerability).where(Vulnerability.id.in_(oldest)).returning(Vulnerability.id)
        )
        return len(gone.all())


def _running() -> Select[UUID]:
    return select(Release.build_id).where(Release.state.not_in(_OVER))
