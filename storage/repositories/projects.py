"""Projects of an organization."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select

from domain.errors import ErrorCode, ForbiddenError
from storage.models import Organization, Project
from storage.repositories.base import Page, PageRequest, Repository
from storage.repositories.labelled import insert_labelled

DELETED = "deleted"


class ProjectRepository(Repository[Project]):
    """Projects by organization; deleted ones are shown only to those who ask for them."""

    model = Project
    noun = "project"

    async def create(self, organization: Organization, values: Mapping[str, Any], unique: Callable[[], str]) -> Project:
        """Insert within the organization's quota.

        Args:
            organization: locked by the caller, so that two requests cannot both take the last place.
            values: the columns but the label.
            unique: gives suffixes, see `insert_labelled`.

        Raises:
            ForbiddenError: QUOTA_EXCEEDED.
            ConflictError: DUPLICATE_SLUG.
        """
        await self.check_quota(organization)
        taken = _live(organization.id).where(Project.slug == values["slug"])
        await insert_labelled(self.session, Project, values, slug_taken=taken, unique=unique)
        return await self.session.get_one(Project, values["id"])

    async def check_quota(self, organization: Organization) -> None:
        """Raise `ForbiddenError(QUOTA_EXCEEDED)` unless there is room for one more; the organization is locked."""
        count = await self.session.scalar(select(func.count()).select_from(_live(organization.id).subquery())) or 0
        if count >= organization.max_projects:
            raise ForbiddenError(
                f"the organization has {count} of {organization.max_projects} projects; delete one or ask for a "
                "larger plan",
                code=ErrorCode.QUOTA_EXCEEDED,
                details={"quota": "max_projects", "limit": organization.max_projects},
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


def _live(organization_id: UUID) -> Select[UUID]:
    return select(Project.id).where(Project.organization_id == organization_id, Project.status != DELETED)
