"""Requirements: create, get, list."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import FeaturesRead, FeaturesWrite
from api.commands import Idempotent
from api.envelope import Envelope, PageEnvelope, reply, reply_page
from api.paging import WantedPage
from api.parts import AppParts
from api.schemas.requirements import RequirementCreate, RequirementView
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Requirement
from storage.repositories.projects import ProjectRepository
from storage.repositories.requirements import RequirementRepository

router = APIRouter(tags=["Requirements"])


@router.post(
    "/projects/{project_id}/requirements",
    summary="Create a requirement",
    status_code=201,
    response_model=Envelope[RequirementView],
)
async def create_requirement(
    request: Request, principal: FeaturesWrite, command: Idempotent, project_id: UUID, body: RequirementCreate
) -> Response:
    """What somebody wants of a project, as a draft."""

    async def create(session: AsyncSession) -> Response:
        project = await ProjectRepository(session, principal.tenant).get(project_id)
        row = Requirement(
            id=new_id(),
            organization_id=project.organization_id,
            project_id=project.id,
            created_by=principal.subject,
            **body.model_dump(),
        )
        await RequirementRepository(session, principal.tenant).add(row)
        return reply(request, RequirementView.model_validate(row), status=201)

    return await command.run(create)


@router.get(
    "/projects/{project_id}/requirements",
    summary="List requirements",
    response_model=PageEnvelope[RequirementView],
)
async def list_requirements(
    request: Request, parts: AppParts, principal: FeaturesRead, project_id: UUID, page: WantedPage
) -> Response:
    """Newest first."""
    async with transaction(parts.sessions) as session:
        await ProjectRepository(session, principal.tenant).get(project_id)
        found = await RequirementRepository(session, principal.tenant).of_project(project_id, page)
    return reply_page(request, found, [RequirementView.model_validate(row) for row in found.rows])


@router.get("/requirements/{requirement_id}", summary="Get a requirement", response_model=Envelope[RequirementView])
async def get_requirement(request: Request, parts: AppParts, principal: FeaturesRead, requirement_id: UUID) -> Response:
    """A requirement and its acceptance criteria."""
    async with transaction(parts.sessions) as session:
        row = await RequirementRepository(session, principal.tenant).get(requirement_id)
    return reply(request, RequirementView.model_validate(row))
