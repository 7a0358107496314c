"""Projects as they are answered: their rows, and how many vulnerabilities count."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from api.schemas.projects import ProjectView
from storage.models import Project
from storage.models.base import columns_of
from storage.repositories.vulnerabilities import VulnerabilityRepository
from storage.tenancy import PLATFORM


async def project_views(session: AsyncSession, rows: Sequence[Project]) -> list[ProjectView]:
    """Views of rows that somebody may see."""
    counts = await VulnerabilityRepository(session, PLATFORM).counts([row.id for row in rows])
    return [ProjectView.model_validate({**columns_of(row), "vulnerabilities": counts[row.id]}) for row in rows]


async def project_view(session: AsyncSession, row: Project) -> ProjectView:
    """The same of one."""
    [view] = await project_views(session, [row])
    return view
