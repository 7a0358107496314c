"""Builds as the worker records them: one row an operation, numbers without gaps in a project."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ConflictError, ErrorCode, NotFoundError
from domain.lifecycle import BuildStatus
from storage.models import Build, Deployment, Operation, Project
from storage.repositories.event_writer import EventWriter


class BuildRecordRepository:
    """Writes builds made by this engine, and reads those that are deployed (all tenants)."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, build_id: UUID) -> Build:
        """The build; raises `NotFoundError` when there is none."""
        found = await self._session.get(Build, build_id)
        if found is None:
            raise NotFoundError(f"build {build_id} does not exist")
        return found

    async def record(self, build_id: UUID, operation_id: UUID | None, values: dict[str, Any]) -> Build:
        """The operation's build, made now unless it exists; None: it was made elsewhere, by no operation.

        The project's row is locked while its next number is taken, so numbers have no gaps and two builds no number in
        common; a rolled back transaction gives the number back. Its completion is an event.

        Raises:
            ConflictError: VERSION_TAG_TAKEN, another successful build of the project has the tag.
        """
        project_id = values["project_id"]
        # NO KEY: rows that merely refer to the project can still be written meanwhile.
        lock = select(Project.id).where(Project.id == project_id).with_for_update(key_share=True)
        await self._session.execute(lock)
        if operation_id is not None:
            known = await self._session.scalar(select(Build).where(Build.operation_id == operation_id))
            if known is not None:
                return known
        if values["status"] != BuildStatus.FAILED:
            await self._check_tag(project_id, values["version_tag"])
        number = await self._session.scalar(
            update(Project)
            .where(Project.id == project_id)
            .values(last_build_number=Project.last_build_number + 1)
            .returning(Project.last_build_number)
        )
        build = Build(id=build_id, operation_id=operation_id, build_number=number, **values)
        build.started_at = await self._began(operation_id)
        build.completed_at = func.now()
        self._session.add(build)
        await self._session.flush()
        await self._session.refresh(build)
        await EventWriter(self._session).build_completed(build)
        return build

    async def _began(self, operation_id: UUID | None) -> datetime | None:
        """When the operation began to make it: with its first step; None: it was made elsewhere."""
        operation = None if operation_id is None else await self._session.get(Operation, operation_id)
        if operation is None:
            return None
        begun = [datetime.fromisoformat(step["started_at"]) for step in operation.steps if step.get("started_at")]
        return min(begun, default=operation.started_at or operation.created_at)

    async def keep_artifact(self, build_id: UUID, values: dict[str, Any]) -> Build:
        """Write a build's artifact unless it has one; returns the row as it is then."""
        statement = update(Build).where(Build.id == build_id, Build.artifact_digest.is_(None))
        await self._session.execute(statement.values(**values))
        return await self.get(build_id)

    async def _check_tag(self, project_id: UUID, version_tag: str) -> None:
        taken = await self._session.scalar(
            select(Build.build_number).where(
                Build.project_id == project_id,
                Build.version_tag == version_tag,
                Build.status.not_in((BuildStatus.FAILED, BuildStatus.CANCELLED)),
            )
        )
        if taken is not None:
            raise ConflictError(
                f"version {version_tag} is build {taken} of this project already; choose another version_tag",
                code=ErrorCode.VERSION_TAG_TAKEN,
            )

    async def link(self, deployment_id: UUID, build_id: UUID) -> None:
        """Tell a deployment which build it brings."""
        await self._session.execute(update(Deployment).where(Deployment.id == deployment_id).values(build_id=build_id))
