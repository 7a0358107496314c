"""Requirements of a project."""

from uuid import UUID

from storage.models import Requirement
from storage.repositories.base import Page, PageRequest, Repository


class RequirementRepository(Repository[Requirement]):
    """Requirements by project."""

    model = Requirement
    noun = "requirement"

    async def search(
        self, project_id: UUID, *, status: str | None, priority: str | None, text: str | None, request: PageRequest
    ) -> Page[Requirement]:
        """Requirements of a project by status and priority, and by a part of their title."""
        statement = self.base().where(Requirement.project_id == project_id)
        if status is not None:
            statement = statement.where(Requirement.status == status)
        if priority is not None:
            statement = statement.where(Requirement.priority == priority)
        if text:
            statement = statement.where(Requirement.title.icontains(text, autoescape=True))
        return await self.page(statement, request)
