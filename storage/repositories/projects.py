"""Projects of an organization."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from domain.errors import ErrorCode, ForbiddenError
from storage.models import Organization, Project
from storage.repositories.base import Page, PageRequest, Repository
from storage.repositories.unique_slugs import insert_labelled, slug_already_taken

DELETED = "deleted"


class ProjectRepository(Repository[Project]):
    """Projects by organization; deleted ones are only returned on request."""

    model = Project
    noun = "project"

    async def create(self, organization: Organization, values: Mapping[str, Any], unique: Callable[[], str]) -> Project:
        """Insert within the organization's quota.

        Args:
            organization: locked by the caller, so that two requests cannot both use the last of the quota.
            values: the columns but the label.
            unique: generates suffixes, see `insert_labelled`.

        Raises:
            ForbiddenError: QUOTA_EXCEEDED.
            ConflictError: DUPLICATE_SLUG.
        """
        await self.check_quota(organization)
        taken = self._with_slug(organization.id, values["slug"])
        await insert_labelled(self.session, Project, values, slug_taken=taken, unique=unique)
        return await self.session.get_one(Project, values["id"])

    async def check_quota(self, organization: Organization) -> None:
        """Raise `ForbiddenError(QUOTA_EXCEEDED)` if the quota is used up; the organization is locked."""
        count = await self.count(organization.id)
        if count >= organization.max_projects:
            raise ForbiddenError(
                f"the organization has {count} of {organization.max_projects} projects; delete one or ask for a "
                "larger plan",
                code=ErrorCode.QUOTA_EXCEEDED,
                details={"quota": "max_projects", "limit": organization.max_projects},
            )

    async def count(self, organization_id: UUID) -> int:
        """Number of projects that count towards an organization's quota: all but deleted ones."""
        live = self.base().where(Project.organization_id == organization_id, Project.status != DELETED)
        return await self.session.scalar(select(func.count()).select_from(live.subquery())) or 0

    async def check_slug(self, project: Project, slug: str) -> None:
        """Check that a project may have this slug; lock its organization before, as creating a project does.

        Raises:
            ConflictError: DUPLICATE_SLUG.
        """
        others = self._with_slug(project.organization_id, slug).where(Project.id != project.id)
        if await self.session.scalar(others) is not None:
            raise slug_already_taken(slug)

    @staticmethod
    def _with_slug(organization_id: UUID, slug: str) -> Select[UUID]:
        return select(Project.id).where(
            Project.organization_id == organization_id, Project.slug == slug, Project.status != DELETED
        )

    async def search(
        self, organization_id: UUID, *, status: str | None, text: str | None, request: PageRequest
    ) -> Page[Project]:
        """Projects of an organization by status (default: all but deleted), and by a part of their name."""
        statement = self.base().where(Project.organization_id == organization_id)
        statement = statement.where(Project.status == status if status else Project.status != DELETED)
        if text:
            statement = statement.where(Project.name.icontains(text, autoescape=True))
        return await self.page(statement, request)
