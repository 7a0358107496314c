"""Environments: created on first use, each with its own host."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, func, select, union_all
from sqlalchemy.dialects.postgresql import insert

from domain.lifecycle import FINISHED_OPERATIONS, OperationKind
from storage.models import Build, Deployment, Environment, Operation, Project, Release
from storage.repositories.base import Repository


@dataclass(frozen=True)
class ReleaseDetails:
    """A release, its build and its deployment."""

    release: Release
    build: Build
    deployment: Deployment


@dataclass(frozen=True)
class QueuedDeployment:
    """An unfinished operation on a deployment: it holds an environment's lock, or waits for it, or will."""

    deployment: Deployment
    operation: Operation

    @property
    def version_tag(self) -> str | None:
        """The version to deploy; None for a rollback."""
        return self.operation.input.get("version_tag")


class EnvironmentRepository(Repository[Environment]):
    """Environments by project and name."""

    model = Environment
    noun = "environment"

    async def named(self, project_id: UUID, name: str) -> Environment | None:
        statement = self.base().where(Environment.project_id == project_id, Environment.name == name)
        return await self.session.scalar(statement)

    async def of_project(self, project_id: UUID) -> dict[str, Environment]:
        """The environments created so far, by name."""
        rows = await self.session.scalars(self.base().where(Environment.project_id == project_id))
        return {row.name: row for row in rows}

    async def get_or_create(self, new_id: UUID, project: Project, name: str, host: str) -> Environment:
        """The environment, created unless it exists; two concurrent requests create one."""
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

    async def unfinished(self, environment_ids: list[UUID]) -> list[QueuedDeployment]:
        """Unfinished operations in some environments: rollbacks first, then by age."""
        statement = (
            select(Deployment, Operation)
            .join(Operation, Operation.resource_id == Deployment.id)
            .where(
                Deployment.environment_id.in_(environment_ids),
                # The first condition is the index's: few operations are unfinished among very many.
                Operation.completed_at.is_(None),
                Operation.status.not_in(FINISHED_OPERATIONS),
            )
            .order_by((Operation.kind == OperationKind.ROLLBACK).desc(), Operation.id)
        )
        rows = await self.session.execute(self.tenant.filter(statement, Operation.organization_id))
        return [QueuedDeployment(deployment, operation) for deployment, operation in rows]

    async def releases(self, ids: list[UUID]) -> dict[UUID, ReleaseDetails]:
        """Releases with their builds and deployments, by id."""
        return await self._details(_details().where(Release.id.in_(ids)))

    async def releases_of(self, environment_ids: list[UUID], latest: int) -> dict[UUID, ReleaseDetails]:
        """By id: the current and the previous release of some environments, and the `latest` that went live in each."""
        newest_first = (Release.promoted_at.desc(), Release.id.desc())
        place = func.row_number().over(partition_by=Release.environment_id, order_by=newest_first).label("place")
        went_live = Release.environment_id.in_(environment_ids), Release.promoted_at.is_not(None)
        ranked = select(Release.id, place).where(*went_live).subquery()
        ids = union_all(
            select(ranked.c.id).where(ranked.c.place <= latest),
            select(Environment.current_release_id).where(Environment.id.in_(environment_ids)),
            select(Environment.previous_release_id).where(Environment.id.in_(environment_ids)),
        )
        return await self._details(_details().where(Release.id.in_(ids)))

    async def _details(self, statement: Select[Release, Build, Deployment]) -> dict[UUID, ReleaseDetails]:
        rows = await self.session.execute(self.tenant.filter(statement, Release.organization_id))
        return {release.id: ReleaseDetails(release, build, deployment) for release, build, deployment in rows}


def _details() -> Select[Release, Build, Deployment]:
    return (
        select(Release, Build, Deployment)
        .join(Build, Build.id == Release.build_id)
        .join(Deployment, Deployment.id == Release.deployment_id)
    )
