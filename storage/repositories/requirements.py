"""Requirements of a project."""

from uuid import UUID

from storage.models import Requirement
from storage.repositories.base import Page, PageRequest, Repository


class RequirementRepository(Repository[Requirement]):
    """Requirements by project."""

    model = Requirement
    noun = "requirement"

    async def of_project(self, project_id: UUID, request: PageRequest) -> Page[Requirement]:
        return await self.page(self.base().where(Requirement.project_id == project_id), request)
