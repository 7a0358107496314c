"""Deployments as clients read and request them; `projections.py` writes their progress."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import Text, cast, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.lifecycle import FINISHED_DEPLOYMENTS
from storage.models import Deployment, Release
from storage.repositories.base import Page, PageRequest, Repository
from storage.repositories.releases import releases_before
from storage.tenancy import Tenant

_WRITTEN_BY = cast(literal_column("deployments.xmin"), Text)  # a PostgreSQL type that SQLAlchemy does not define


async def versions(connection: AsyncConnection, tenant: Tenant, ids: Sequence[UUID]) -> Mapping[UUID, int]:
    """For those deployments that a tenant may see: the transaction that wrote the present row (its `xmin`)."""
    statement = tenant.filter(select(Deployment.id, _WRITTEN_BY), Deployment.organization_id)
    found = await connection.execute(statement.where(Deployment.id.in_(ids)))
    return {row_id: int(written_by) for row_id, written_by in found}


class DeploymentRepository(Repository[Deployment]):
    """Deployments by project and by build, and their releases."""

    model = Deployment
    noun = "deployment"

    async def of_project(
        self, project_id: UUID, *, environment: str | None, status: str | None, request: PageRequest
    ) -> Page[Deployment]:
        statement = self.base().where(Deployment.project_id == project_id)
        if environment is not None:
            statement = statement.where(Deployment.environment == environment)
        if status is not None:
            statement = statement.where(Deployment.status == status)
        return await self.page(statement, request)

    async def of_build(self, build_id: UUID, request: PageRequest) -> Page[Deployment]:
        return await self.page(self.base().where(Deployment.build_id == build_id), request)

    async def unfinished_retry(self, deployment: Deployment) -> Deployment | None:
        """An unfinished deployment that is a retry or promotion of this one."""
        statement = self.base().where(
            Deployment.environment_id == deployment.environment_id,
            Deployment.retry_of == deployment.id,
            Deployment.status.not_in(FINISHED_DEPLOYMENTS),
        )
        return await self.session.scalar(statement.limit(1))

    async def preview_token(self, deployment_id: UUID) -> str | None:
        """The preview token of a deployment's release; None while it has none."""
        statement = select(Release.preview_token).where(Release.deployment_id == deployment_id)
        return await self.session.scalar(self.tenant.filter(statement, Release.organization_id))

    async def release_of(self, deployment: Deployment) -> Release | None:
        """The release that a deployment created or put back into service; None once a later deployment took it over."""
        statement = select(Release).where(Release.deployment_id == deployment.id)
        return await self.session.scalar(self.tenant.filter(statement, Release.organization_id))

    async def rollback_target(self, release: Release) -> Release | None:
        """The last healthy release that was stable before this one and was not rolled back itself."""
        return await self.session.scalar(self.tenant.filter(releases_before(release), Release.organization_id))
