"""Projects that something is asked of: only active ones are built and deployed, and a deleted one is only read."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.errors import ConflictError, ErrorCode
from domain.projects import ProjectStatus
from storage.models import Project
from storage.repositories.projects import ProjectRepository
from storage.tenancy import Tenant


async def active_project(session: AsyncSession, tenant: Tenant, project_id: UUID) -> Project:
    """The project's row, locked, so that this request does not overlap with a removal or another request.

    Raises:
        NotFoundError: there is none.
        ConflictError: INVALID_STATE, it is archived or deleted.
    """
    project = await ProjectRepository(session, tenant).get(project_id, lock=True)
    refuse_deleted(project)
    if project.status != ProjectStatus.ACTIVE:
        raise _refusal(f"the project is {project.status}; only active projects are built and deployed", project)
    return project


async def kept_project(session: AsyncSession, tenant: Tenant, project_id: UUID) -> Project:
    """The project of something that is written down or changed; an archived one may still be planned.

    Raises:
        NotFoundError: there is none.
        ConflictError: INVALID_STATE, it is deleted.
    """
    project = await ProjectRepository(session, tenant).get(project_id)
    refuse_deleted(project)
    return project


def refuse_deleted(project: Project) -> None:
    """Raise `ConflictError(INVALID_STATE)` for a deleted project: it and all that is in it can only be read."""
    if project.status == ProjectStatus.DELETED:
        raise _refusal("the project is deleted; restore it first: POST /projects/{id}/restore", project)


def _refusal(message: str, project: Project) -> ConflictError:
    return ConflictError(
        message, code=ErrorCode.INVALID_STATE, details={"state": project.status, "project_id": str(project.id)}
    )
