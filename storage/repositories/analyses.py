"""Analyses, and the part of them that deployments show."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from domain.canary.metric_scope import MetricsPlace
from storage.models import Analysis, Deployment, Environment, Organization, Project


class AnalysisRepository:
    """One row per analysis; the deployment shows the judgement of the newest one."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, deployment_id: UUID, key: str) -> Analysis | None:
        """An analysis with at least one measurement."""
        return await self._session.get(Analysis, (deployment_id, key))

    async def place(self, deployment_id: UUID) -> MetricsPlace:
        """The tenant for whom an analysis reads figures."""
        statement = (
            select(Organization.slug, Organization.id, Project.slug, Project.id, Environment.name, Environment.id)
            .select_from(Deployment)
            .join(Organization, Organization.id == Deployment.organization_id)
            .join(Project, Project.id == Deployment.project_id)
            .join(Environment, Environment.id == Deployment.environment_id)
            .where(Deployment.id == deployment_id)
        )
        return MetricsPlace(*map(str, (await self._session.execute(statement)).one()))

    async def put(self, deployment_id: UUID, key: str, *, state: dict[str, Any], judgement: dict[str, Any]) -> None:
        """Write the result of one measurement; both rows or neither."""
        values = {"state": state, "judgement": judgement}
        statement = insert(Analysis).values(deployment_id=deployment_id, key=key, **values)
        await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=["deployment_id", "key"], set_={**values, "updated_at": func.now()}
            )
        )
        await self._session.execute(update(Deployment).where(Deployment.id == deployment_id).values(analysis=judgement))
