"""Requirements: create, get, list, change."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import FeaturesRead, FeaturesWrite
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.pagination import PageCursor, PageNumber, PageSize, Search, SortOrder, positioned
from api.http.preconditions import Precondition
from api.routes import planning
from api.schemas.requirements import RequirementCreate, RequirementPatch, RequirementView
from api.services.projects.lookup import kept_project
from domain.planning import REQUIREMENT_MOVES, Priority, RequirementStatus, check_move
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Requirement
from storage.repositories.base import PageRequest
from storage.repositories.projects import ProjectRepository
from storage.repositories.requirements import RequirementRepository

router = APIRouter(tags=["Requirements"])


class RequirementSort(StrEnum):
    """Columns to sort requirements by: they have a title and no name."""

    TITLE = "title"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


async def _sorted_page(
    *,
    request: Request,
    page: PageNumber = 1,
    page_size: PageSize = 20,
    cursor: PageCursor = None,
    sort_by: RequirementSort = RequirementSort.CREATED_AT,
    sort_order: SortOrder = SortOrder.DESC,
) -> PageRequest:
    wanted = PageRequest(page, page_size, sort_by.value, sort_order is SortOrder.DESC)
    return positioned(request, wanted, cursor, [one.value for one in RequirementSort])


SortedRequirements = Annotated[PageRequest, Depends(_sorted_page)]


@router.post(
    "/projects/{project_id}/requirements",
    summary="Create a requirement",
    status_code=201,
    response_model=Envelope[RequirementView],
)
async def create_requirement(
    request: Request, principal: FeaturesWrite, command: Idempotent, project_id: UUID, body: RequirementCreate
) -> Response:
    """Creates a requirement of the project, as a draft."""

    async def create(session: AsyncSession) -> Response:
        project = await kept_project(session, principal.tenant, project_id)
        row = Requirement(
            id=new_id(),
            organization_id=project.organization_id,
            project_id=project.id,
            created_by=principal.subject,
            **body.model_dump(),
        )
        return await planning.create(request, session, row, RequirementView, f"/requirements/{row.id}")

    return await command.run(create)


@router.get(
    "/projects/{project_id}/requirements",
    summary="List requirements",
    response_model=PageEnvelope[RequirementView],
)
async def list_requirements(
    *,
    request: Request,
    parts: State,
    principal: FeaturesRead,
    project_id: UUID,
    page: SortedRequirements,
    status: RequirementStatus | None = None,
    priority: Priority | None = None,
    search: Search = None,
) -> Response:
    """The requirements of a project; `search` looks in titles."""
    async with transaction(parts.sessions) as session:
        await ProjectRepository(session, principal.tenant).get(project_id)
        found = await RequirementRepository(session, principal.tenant).search(
            project_id, status=status, priority=priority, text=search, request=page
        )
    return reply_page(request, found, [RequirementView.model_validate(row) for row in found.rows])


@router.get("/requirements/{requirement_id}", summary="Get a requirement", response_model=Envelope[RequirementView])
async def get_requirement(request: Request, parts: State, principal: FeaturesRead, requirement_id: UUID) -> Response:
    """A requirement and its acceptance criteria."""
    async with transaction(parts.sessions) as session:
        row = await RequirementRepository(session, principal.tenant).get(requirement_id)
    return reply(request, RequirementView.model_validate(row))


@router.patch(
    "/requirements/{requirement_id}", summary="Change a requirement", response_model=Envelope[RequirementView]
)
async def change_requirement(
    *,
    request: Request,
    principal: FeaturesWrite,
    command: Idempotent,
    precondition: Precondition,
    requirement_id: UUID,
    body: RequirementPatch,
) -> Response:
    """Fields not given stay as they are. `status` changes as `docs/states.md` allows; other transitions are a 422."""

    async def carry_out(session: AsyncSession) -> Response:
        row = await RequirementRepository(session, principal.tenant).get(requirement_id, lock=True)
        await planning.check_changeable(session, principal, row, RequirementView, precondition)
        if "status" in body.model_fields_set:
            check_move(REQUIREMENT_MOVES, RequirementStatus(row.status), body.status)
        return await planning.change(request, session, row, body.changes(), RequirementView)

    return await command.run(carry_out)
