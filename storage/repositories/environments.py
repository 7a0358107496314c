"""Environments: made on first use, with a host of their own."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from storage.models import Build, Deployment, Environment, Project, Release
from storage.repositories.base import Repository


@dataclass(frozen=True)
class ReleaseDetails:
    """A release, its build and its deployment."""

    release: Release
    build: Build
    deployment: Deployment


class EnvironmentRepository(Repository[Environment]):
    """Environments by project and name."""

    model = Environment
    noun = "environment"

    async def named(self, project_id: UUID, name: str) -> Environment | None:
        statement = self.base().where(Environment.project_id == project_id, Environment.name == name)
        return await self.session.scalar(statement)

    async def of_project(self, project_id: UUID) -> dict[str, Environment]:
        """The environments made so far, by name."""
        rows = await self.session.scalars(self.base().where(Environment.project_id == project_id))
        return {row.name: row for row in rows}

    async def get_or_create(self, new_id: UUID, project: Project, name: str, host: str) -> Environment:
        """The environment, made now unless it exists; two requests at once make one."""
        statement = insert(Environment).values(
            id=new_id,
            organization_id=project.organization_id,
            project_id=project.id,
            name=name,
            host=host,
            settings={},
        )
        await self.session.execute(statement.on_conflict_do_nothing(index_elements=["project_id", "name"]))
        found = self.base().where(Environment.project_id == project.id, Environment.name == name)
        return (await self.session.scalars(found)).one()

    async def releases(self, ids: list[UUID]) -> dict[UUID, ReleaseDetails]:
        """Releases with what they were made of, by id."""
        statement = (
            select(Release, Build, Deployment)
            .join(Build, Build.id == Release.build_id)
            .join(Deployment, Deployment.id == Release.deployment_id)
            .where(Release.id.in_(ids))
        )
        rows = await self.session.execute(self.tenant.filter(statement, Release.organization_id))
        return {release.id: ReleaseDetails(release, build, deployment) for release, build, deployment in rows}
