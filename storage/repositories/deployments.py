"""Deployments as clients read and ask for them; `projections.py` writes their progress."""

from uuid import UUID

from sqlalchemy import select

from storage.models import Deployment, Release
from storage.repositories.base import Page, PageRequest, Repository
from storage.repositories.releases import releases_before


class DeploymentRepository(Repository[Deployment]):
    """Deployments by project."""

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

    async def release_of(self, deployment: Deployment) -> Release | None:
        """What a deployment brought, or took back into service; None when a later deployment took that over."""
        statement = select(Release).where(Release.deployment_id == deployment.id)
        return await self.session.scalar(self.tenant.filter(statement, Release.organization_id))

    async def rollback_target(self, release: Release) -> Release | None:
        """The last healthy release that was stable before this one and was not taken back itself."""
        return await self.session.scalar(self.tenant.filter(releases_before(release), Release.organization_id))
