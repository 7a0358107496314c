"""Removal and restoration of projects: unfinished operations, running services, a free slug."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ConflictError, ErrorCode
from domain.lifecycle import FINISHED_OPERATIONS, ReleaseState
from storage.models import Environment, Operation, Project, Release, Route
from storage.repositories.projects import DELETED
from storage.repositories.reconciliation import ENDED
from storage.repositories.releases import ReleaseRepository
from storage.repositories.routing import RoutingRepository

CHANNEL = "removals"


class ProjectRemovalRepository:
    """For one project, which the caller has locked and checked."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def unfinished(self, project_id: UUID, *, limit: int) -> Sequence[Operation]:
        """Unfinished operations, oldest first."""
        statement = select(Operation).where(
            Operation.project_id == project_id,
            Operation.completed_at.is_(None),
            Operation.status.not_in(FINISHED_OPERATIONS),
        )
        return (await self._session.scalars(statement.order_by(Operation.id).limit(limit))).all()

    async def end_services(self, project_id: UUID) -> list[UUID]:
        """Remove routes and current releases, end every release, wake a worker to stop them. Returns the ended ones."""
        statement = select(Environment).where(Environment.project_id == project_id).order_by(Environment.id)
        environments = (await self._session.scalars(statement.with_for_update())).all()
        ended = [release for environment in environments for release in await self._end(environment)]
        # Last, as everywhere: a holder of a release's lock may be waiting for that of the routes.
        for environment in environments:
            if await self._session.get(Route, environment.id):
                await RoutingRepository(self._session).remove_route(environment.id)
        await self._session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
        return ended

    async def _end(self, environment: Environment) -> list[UUID]:
        environment.current_release_id = environment.previous_release_id = environment.holder_deployment_id = None
        alive = select(Release.id).where(Release.environment_id == environment.id, Release.state.not_in(ENDED))
        ended = list(await self._session.scalars(alive.order_by(Release.id)))
        for release_id in ended:
            await ReleaseRepository(self._session).move(release_id, ReleaseState.STOPPED)
        # These releases are no rollback targets afterwards: they may still be draining when the project is restored.
        await self._session.execute(
            update(Release)
            .where(Release.environment_id == environment.id, Release.was_healthy)
            .values(was_healthy=False)
        )
        return ended

    async def bring_back(self, project: Project, status: str) -> None:
        """Give a deleted project an active status again.

        Raises:
            ConflictError: DUPLICATE_SLUG, another project has its slug by now; the message names it.
        """
        slug = project.slug
        taken = select(Project.id).where(
            Project.organization_id == project.organization_id, Project.slug == slug, Project.status != DELETED
        )
        by = await self._session.scalar(taken)
        if by is not None:
            raise _taken(slug, by)
        try:
            async with self._session.begin_nested():
                project.status = status
        except IntegrityError as error:  # taken at this very moment
            raise _taken(slug, None) from error


def _taken(slug: str, by: UUID | None) -> ConflictError:
    return ConflictError(
        f"the slug {slug!r} was given to {f'project {by}' if by else 'another project'} meanwhile; "
        "change that one's slug or delete it, then restore this one",
        code=ErrorCode.DUPLICATE_SLUG,
        details={"slug": slug, "project_id": str(by) if by else None},
    )
