"""Builds as the worker records them: one row per operation, with gapless numbers in a project."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ConflictError, ErrorCode, NotFoundError
from domain.lifecycle import FINISHED_OPERATIONS, BuildProvenance, BuildStatus, OperationKind, OperationStatus
from runtime.ids import new_id
from storage.models import Build, Deployment, Operation, Project
from storage.repositories.event_writer import EventWriter


class BuildRecordRepository:
    """Writes builds made by this engine, and reads those to be deployed (all tenants)."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, build_id: UUID) -> Build:
        """The build; raises `NotFoundError` if there is none."""
        found = await self._session.get(Build, build_id)
        if found is None:
            raise NotFoundError(f"build {build_id} does not exist")
        return found

    async def hold(self, build_id: UUID) -> Build:
        """The build, which nobody else changes until the transaction ends; raises `NotFoundError`."""
        statement = select(Build).where(Build.id == build_id).with_for_update(key_share=True)
        found = await self._session.scalar(statement.execution_options(populate_existing=True))
        if found is None:
            raise NotFoundError(f"build {build_id} does not exist")
        return found

    async def project_of(self, build: Build) -> Project:
        """Whose version it is."""
        return await self._session.get_one(Project, build.project_id)

    async def mark_attested(self, build_id: UUID, digest: str) -> None:
        """What is signed about the build is about this artifact."""
        await self._session.execute(update(Build).where(Build.id == build_id).values(attested_digest=digest))

    async def mark_unattested(self, build_id: UUID) -> None:
        """A build whose workflow began before there was provenance has none, unless it was signed."""
        unsigned = update(Build).where(Build.id == build_id, Build.attested_digest.is_(None))
        await self._session.execute(unsigned.values(before_provenance=True))

    async def record(self, build_id: UUID, operation_id: UUID | None, values: dict[str, Any]) -> Build:
        """The operation's build, created unless it exists; None: an external build, without operation.

        The project's row is locked while its next number is taken, so numbers are gapless and unique; a rollback of the
        transaction frees the number. The completion is an event.

        Raises:
            ConflictError: VERSION_TAG_TAKEN, another successful build of the project has the tag.
        """
        project_id = values["project_id"]
        # NO KEY: rows with a foreign key to the project can still be written meanwhile.
        lock = select(Project.id).where(Project.id == project_id).with_for_update(key_share=True)
        await self._session.execute(lock)
        if operation_id is not None:
            known = await self._session.scalar(select(Build).where(Build.operation_id == operation_id))
            if known is not None:
                return known if known.status != BuildStatus.RUNNING else await self._end(known, values)
        if values["status"] not in (BuildStatus.FAILED, BuildStatus.CANCELLED):
            await self._check_tag(project_id, values["version_tag"])
        build = await self._add(build_id, operation_id, values)
        return await self._end(build, {})

    async def _add(self, build_id: UUID, operation_id: UUID | None, values: dict[str, Any]) -> Build:
        """A row with the next number of its project, whose row is locked."""
        number = await self._session.scalar(
            update(Project)
            .where(Project.id == values["project_id"])
            .values(last_build_number=Project.last_build_number + 1)
            .returning(Project.last_build_number)
        )
        build = Build(id=build_id, operation_id=operation_id, build_number=number, **values)
        build.started_at = await self._began(operation_id)
        self._session.add(build)
        await self._session.flush()
        return build

    async def begin(self, operation_id: UUID, *, commit: str, branch: str) -> None:
        """Insert the row of a build that an operation now begins, unless it exists or its version is taken.

        In that case the conflict is reported when the build is recorded, as for builds of older releases.
        """
        operation = await self._session.get(Operation, operation_id)
        if operation is None or operation.kind != OperationKind.BUILD_AND_DEPLOY:
            return
        deployment = await self._session.get_one(Deployment, operation.resource_id)
        values = {
            "organization_id": operation.organization_id,
            "project_id": operation.project_id,
            "feature_id": deployment.feature_id,
            "provenance": BuildProvenance.EXECUTED,
            "version_tag": deployment.version_tag,
            "git_commit_hash": commit,
            "git_branch": branch,
            "status": BuildStatus.RUNNING,
        }
        lock = select(Project.id).where(Project.id == operation.project_id).with_for_update(key_share=True)
        await self._session.execute(lock)
        # The end of the operation is written under the same lock, or by a process that ends the operation, whose row is
        # read again here.
        await self._session.refresh(operation, with_for_update={"read": True})
        known = await self._session.scalar(select(Build.id).where(Build.operation_id == operation_id))
        taken = await self._has_tag(operation.project_id, str(deployment.version_tag))
        if known is None and taken is None and operation.status not in FINISHED_OPERATIONS:
            await self._add(new_id(), operation_id, values)

    async def is_unwanted(self, operation_id: UUID) -> bool:
        """Whether the operation was cancelled."""
        operation = await self._session.get(Operation, operation_id)
        return operation is not None and operation.cancel_requested_at is not None

    async def end_running(self, operation: Operation) -> None:
        """The operation has ended: end its running build as well."""
        statement = select(Build).where(Build.operation_id == operation.id, Build.status == BuildStatus.RUNNING)
        build = await self._session.scalar(statement.with_for_update())
        if build is not None:
            cancelled = operation.status == OperationStatus.CANCELLED or operation.cancel_requested_at is not None
            await self._end(build, {"status": BuildStatus.CANCELLED if cancelled else BuildStatus.FAILED})

    async def _end(self, build: Build, values: dict[str, Any]) -> Build:
        """End a running build; its completion is an event."""
        for name, value in values.items():
            setattr(build, name, value)
        build.completed_at = func.now()
        await self._session.flush()
        await self._session.refresh(build)
        await EventWriter(self._session).build_completed(build)
        return build

    async def _began(self, operation_id: UUID | None) -> datetime | None:
        """When the operation began the build: with its first step; None: an external build."""
        operation = None if operation_id is None else await self._session.get(Operation, operation_id)
        if operation is None:
            return None
        begun = [datetime.fromisoformat(step["started_at"]) for step in operation.steps if step.get("started_at")]
        return min(begun, default=operation.started_at or operation.created_at)

    async def keep_artifact(self, build_id: UUID, values: dict[str, Any]) -> Build:
        """Write a build's artifact unless it has one; returns the row's present state."""
        statement = update(Build).where(Build.id == build_id, Build.artifact_digest.is_(None))
        await self._session.execute(statement.values(**values))
        return await self.get(build_id)

    async def _has_tag(self, project_id: UUID, version_tag: str) -> int | None:
        """The number of the build that has a version; None: the version is free."""
        return await self._session.scalar(
            select(Build.build_number).where(
                Build.project_id == project_id,
                Build.version_tag == version_tag,
                Build.status.not_in((BuildStatus.FAILED, BuildStatus.CANCELLED)),
            )
        )

    async def _check_tag(self, project_id: UUID, version_tag: str) -> None:
        taken = await self._has_tag(project_id, version_tag)
        if taken is not None:
            raise ConflictError(
                f"version {version_tag} is build {taken} of this project already; choose another version_tag",
                code=ErrorCode.VERSION_TAG_TAKEN,
            )

    async def link(self, deployment_id: UUID, build_id: UUID) -> None:
        """Write the build of a deployment."""
        await self._session.execute(update(Deployment).where(Deployment.id == deployment_id).values(build_id=build_id))
