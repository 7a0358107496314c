"""Operations as clients read and ask for them; `projections.py` writes their progress."""

from uuid import UUID

from sqlalchemy import func, update

from domain.lifecycle import FINISHED_OPERATIONS
from storage.models import Operation
from storage.repositories.base import Page, PageRequest, Repository


class OperationRepository(Repository[Operation]):
    """Operations of a tenant, by status and project."""

    model = Operation
    noun = "operation"

    async def search(self, *, status: str | None, project_id: UUID | None, request: PageRequest) -> Page[Operation]:
        statement = self.base()
        if status is not None:
            statement = statement.where(Operation.status == status)
        if project_id is not None:
            statement = statement.where(Operation.project_id == project_id)
        return await self.page(statement, request)

    async def building(self, project_id: UUID, version_tag: str) -> Operation | None:
        """An unfinished operation that builds this version of a project."""
        statement = self.base().where(
            Operation.project_id == project_id,
            Operation.completed_at.is_(None),
            Operation.status.not_in(FINISHED_OPERATIONS),
            Operation.input["version_tag"].astext == version_tag,
        )
        return await self.session.scalar(statement.limit(1))

    async def request_cancel(self, operation_id: UUID) -> None:
        """Note when a person first asked for the end of an operation."""
        await self.session.execute(
            update(Operation)
            .where(
                Operation.id == operation_id,
                Operation.cancel_requested_at.is_(None),
                Operation.status.not_in(FINISHED_OPERATIONS),
            )
            .values(cancel_requested_at=func.now())
        )
