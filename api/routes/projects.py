"""Projects: create, get, list, change."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import ProjectsRead, ProjectsWrite
from api.auth.principal import Principal
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.errors import InvalidRequestError
from api.http.idempotency import Idempotent
from api.http.links import location
from api.http.pagination import Search, SortedPage
from api.http.preconditions import Precondition
from api.schemas.projects import ProjectCreate, ProjectPatch, ProjectView
from api.services import audited_writes
from api.services.organizations.status import refuse_inactive
from api.services.projects.host_labels import unique_suffix
from api.services.projects.lookup import refuse_deleted
from api.services.projects.views import project_view, project_views
from domain.errors import DeliveryError
from domain.projects import ProjectStatus
from domain.repository_url import parse_repository_url
from runtime.ids import new_id
from runtime.settings import Settings
from storage.engine import transaction
from storage.models import Project
from storage.repositories.organizations import OrganizationRepository
from storage.repositories.projects import ProjectRepository

router = APIRouter(tags=["Projects"])


@router.get("/organizations/{org_id}/projects", summary="List projects", response_model=PageEnvelope[ProjectView])
async def list_projects(
    *,
    request: Request,
    parts: State,
    principal: ProjectsRead,
    org_id: UUID,
    page: SortedPage,
    status: ProjectStatus | None = None,
    search: Search = None,
) -> Response:
    """The projects of an organization. Deleted ones are listed only with `status=deleted`."""
    principal.require_organization(org_id)
    async with transaction(parts.sessions) as session:
        await OrganizationRepository(session, principal.tenant).get(org_id)
        found = await ProjectRepository(session, principal.tenant).search(
            org_id, status=status, text=search, request=page
        )
        views = await project_views(session, found.rows)
    return reply_page(request, found, views)


@router.post(
    "/organizations/{org_id}/projects",
    summary="Create a project",
    status_code=201,
    response_model=Envelope[ProjectView],
)
async def create_project(
    *,
    request: Request,
    parts: State,
    principal: ProjectsWrite,
    command: Idempotent,
    org_id: UUID,
    body: ProjectCreate,
) -> Response:
    """Counts towards the organization's quota of projects."""
    principal.require_organization(org_id)
    _check_repository(parts.settings, body.repository_url)

    async def create(session: AsyncSession) -> Response:
        organization = await OrganizationRepository(session, principal.tenant).get(org_id, lock=True)
        refuse_inactive(organization)
        values = {
            "id": new_id(),
            "organization_id": org_id,
            "owner_id": principal.subject,
            "status": ProjectStatus.ACTIVE,
            "last_build_number": 0,
            **body.model_dump(),
        }
        row = await ProjectRepository(session, principal.tenant).create(organization, values, unique_suffix)
        await audited_writes.added(session, row)
        headers = location(request, f"/projects/{row.id}")
        return reply(request, await project_view(session, row), status=201, headers=headers)

    return await command.run(create)


@router.get("/projects/{project_id}", summary="Get a project", response_model=Envelope[ProjectView])
async def get_project(request: Request, parts: State, principal: ProjectsRead, project_id: UUID) -> Response:
    """A project and its repository."""
    async with transaction(parts.sessions) as session:
        row = await ProjectRepository(session, principal.tenant).get(project_id)
        view = await project_view(session, row)
    return reply(request, view)


@router.patch("/projects/{project_id}", summary="Change a project", response_model=Envelope[ProjectView])
async def change_project(
    *,
    request: Request,
    parts: State,
    principal: ProjectsWrite,
    command: Idempotent,
    precondition: Precondition,
    project_id: UUID,
    body: ProjectPatch,
) -> Response:
    """Fields that are not given stay as they are. An archived project (`status`) cannot be deployed to."""
    if body.repository_url:
        _check_repository(parts.settings, body.repository_url)

    async def carry_out(session: AsyncSession) -> Response:
        row = await _locked(session, principal, project_id)
        precondition.check(await project_view(session, row))
        refuse_deleted(row)
        if body.slug:
            await ProjectRepository(session, principal.tenant).check_slug(row, body.slug)
        await audited_writes.change(session, row, body.changes())
        return reply(request, await project_view(session, row))

    return await command.run(carry_out)


async def _locked(session: AsyncSession, principal: Principal, project_id: UUID) -> Project:
    """Locks the organization before its project, so that no slug is given twice."""
    projects = ProjectRepository(session, principal.tenant)
    known = await projects.get(project_id)
    await OrganizationRepository(session, principal.tenant).get(known.organization_id, lock=True)
    return await projects.get(project_id, lock=True)


def _check_repository(settings: Settings, url: str) -> None:
    """Checks it now, with the field's name, instead of failing in a build minutes later."""
    try:
        parse_repository_url(
            url,
            allow_file=settings.effective(settings.allow_file_sources),
            allow_private=settings.effective(settings.allow_private_sources),
        )
    except DeliveryError as error:
        raise InvalidRequestError("repository_url", error.message, code="repository_url_invalid") from error
    if url.startswith("/"):
        raise InvalidRequestError(
            "repository_url", "must be a URL; a local folder is written file:///path", code="repository_url_invalid"
        )
