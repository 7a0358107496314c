"""Which of what is live has a vulnerability: asked when it is read, so that it is always true."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from domain.events import Json
from domain.lifecycle import ReleaseState
from storage.models import Build, BuildFinding, Deployment, Release


class LiveReleases:
    """Reads across tenants, by ids of vulnerabilities that were found for one."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def of(self, vulnerability_ids: Sequence[UUID]) -> Mapping[UUID, list[Json]]:
        """The live releases of each: environment, what was deployed, and the version of the package in it."""
        found: dict[UUID, list[Json]] = defaultdict(list)
        if not vulnerability_ids:
            return found
        statement = (
            select(
                BuildFinding.vulnerability_id,
                Deployment.environment,
                Release.id.label("release_id"),
                Release.deployment_id,
                Release.build_id,
                Build.build_number,
                Build.version_tag,
                BuildFinding.package_version,
            )
            .join(Release, Release.build_id == BuildFinding.build_id)
            .join(Deployment, Deployment.id == Release.deployment_id)
            .join(Build, Build.id == Release.build_id)
            .where(
                BuildFinding.vulnerability_id == func.any(list(vulnerability_ids)), Release.state == ReleaseState.ACTIVE
            )
            .order_by(Deployment.environment, Release.id)
        )
        for row in (await self._session.execute(statement)).mappings():
            values = dict(row)
            found[values.pop("vulnerability_id")].append(values)
        return found

    async def builds(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        """Builds of which a release is live, in the order of their ids, after one of them."""
        statement = select(Release.build_id).where(Release.state == ReleaseState.ACTIVE)
        if after is not None:
            statement = statement.where(Release.build_id > after)
        return list(await self._session.scalars(statement.distinct().order_by(Release.build_id).limit(limit)))
