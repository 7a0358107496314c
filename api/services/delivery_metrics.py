"""How fast and how safely an organization delivers: DORA's metrics."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.schemas.delivery_metrics import DeliveryMetricsView
from domain.delivery_metrics import Range
from domain.errors import NotFoundError
from domain.lifecycle import EnvironmentName
from storage.repositories.delivery_metrics import DeliveryMetricsRepository, MetricsScope
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.projects import ProjectRepository


@dataclass(frozen=True)
class Asked:
    """Which metrics somebody wants."""

    principal: Principal
    wanted: Range
    environment: EnvironmentName | None

    async def of_organization(
        self, session: AsyncSession, organization_id: UUID, project_id: UUID | None
    ) -> DeliveryMetricsView:
        """Of all of its projects, or of one.

        Raises:
            NotFoundError: no such organization, or it has no such project.
        """
        await OrganizationRepository(session, self.principal.tenant).get(organization_id)
        if project_id is not None:
            project = await ProjectRepository(session, self.principal.tenant).get(project_id)
            if project.organization_id != organization_id:
                raise NotFoundError(f"project {project_id} does not exist")
        return await self._view(session, organization_id, project_id)

    async def of_project(self, session: AsyncSession, project_id: UUID) -> DeliveryMetricsView:
        """Of one; raises `NotFoundError` if there is none."""
        project = await ProjectRepository(session, self.principal.tenant).get(project_id)
        return await self._view(session, project.organization_id, project.id)

    async def _view(self, session: AsyncSession, organization_id: UUID, project_id: UUID | None) -> DeliveryMetricsView:
        wanted = self.wanted
        scope = MetricsScope(organization_id, wanted.since, wanted.until, project_id, self.environment)
        return DeliveryMetricsView.of(
            await DeliveryMetricsRepository(session).of(scope),
            wanted,
            organization_id=organization_id,
            project_id=project_id,
            environment=self.environment,
        )
