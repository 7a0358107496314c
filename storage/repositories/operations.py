"""Operations as clients read and request them; `projections.py` writes their progress."""

import hashlib
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from domain.lifecycle import FINISHED_OPERATIONS, OperationKind, OperationStatus
from storage.models import Operation
from storage.repositories.base import Page, PageRequest, Repository


class OperationRepository(Repository[Operation]):
    """Operations of a tenant, by status, project, environment and kind."""

    model = Operation
    noun = "operation"

    async def search(
        self,
        *,
        status: str | None,
        project_id: UUID | None,
        environment: str | None = None,
        kind: str | None = None,
        request: PageRequest,
    ) -> Page[Operation]:
        wanted = {"status": status, "project_id": project_id, "environment": environment, "kind": kind}
        return await self.page(self.base().filter_by(**{k: v for k, v in wanted.items() if v is not None}), request)

    async def unfinished(self, organization_id: UUID, *, limit: int) -> int:
        """Number of an organization's unfinished operations, counted up to a limit.

        Holds a lock until the transaction ends, so that concurrent requests cannot exceed the limit together.
        """
        lock = int.from_bytes(hashlib.sha256(f"operations\n{organization_id}".encode()).digest()[:8], "big") >> 1
        await self.session.execute(select(func.pg_advisory_xact_lock(lock)))
        found = select(Operation.id).where(
            Operation.organization_id == organization_id,
            Operation.completed_at.is_(None),
            Operation.status.not_in(FINISHED_OPERATIONS),
        )
        return await self.session.scalar(select(func.count()).select_from(found.limit(limit).subquery())) or 0

    async def building(self, project_id: UUID, version_tag: str) -> Operation | None:
        """An unfinished operation that builds this version of a project."""
        statement = self.base().where(
            Operation.project_id == project_id,
            Operation.kind == OperationKind.BUILD_AND_DEPLOY,
            Operation.completed_at.is_(None),
            Operation.status.not_in(FINISHED_OPERATIONS),
            Operation.input["version_tag"].astext == version_tag,
        )
        return await self.session.scalar(statement.limit(1))

    async def completed_steps(
        self, *, project_id: UUID, environment: str | None, kind: str, limit: int
    ) -> list[list[Any]]:
        """The steps of the newest completed operations of a project, environment and kind."""
        found = await self.session.scalars(
            select(Operation.steps)
            .where(
                Operation.project_id == project_id,
                Operation.environment == environment,
                Operation.kind == kind,
                Operation.status == OperationStatus.COMPLETED,
            )
            .order_by(Operation.completed_at.desc())
            .limit(limit)
        )
        return list(found)

    async def request_cancel(self, operation_id: UUID) -> None:
        """Record when a person first requested the end of an operation."""
        await self.session.execute(
            update(Operation)
            .where(
                Operation.id == operation_id,
                Operation.cancel_requested_at.is_(None),
                Operation.status.not_in(FINISHED_OPERATIONS),
            )
            .values(cancel_requested_at=func.now())
        )
