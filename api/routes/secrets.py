"""Secrets of a project: create, list, get, change, delete. No answer contains a value."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import ProjectsAdmin, ProjectsRead
from api.dependencies import State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.idempotency import Idempotent
from api.http.links import location
from api.http.pagination import SortedPage
from api.http.preconditions import Precondition
from api.schemas.secrets import SecretCreate, SecretPatch, SecretView
from api.services import audited_writes
from api.services.projects.lookup import refuse_deleted
from api.services.secrets import check_secret, sealed, token_host
from domain.lifecycle import EnvironmentName
from domain.secrets import SecretKind
from runtime.ids import new_id
from storage.engine import transaction
from storage.models import Project, Secret
from storage.repositories.projects import ProjectRepository
from storage.repositories.secrets import SecretRepository
from storage.tenancy import Tenant

router = APIRouter(tags=["Secrets"])


@router.post(
    "/projects/{project_id}/secrets", summary="Create a secret", status_code=201, response_model=Envelope[SecretView]
)
async def create_secret(
    *,
    request: Request,
    parts: State,
    principal: ProjectsAdmin,
    command: Idempotent,
    project_id: UUID,
    body: SecretCreate,
) -> Response:
    """A variable for the project's services, or a credential for its repository. It is encrypted and never shown.

    At most 200 per project, and one `git_https_token`, `git_ssh_key` and `ssh_known_hosts` each.
    """
    value = body.value.get_secret_value()
    check_secret(body.kind, value)

    async def create(session: AsyncSession) -> Response:
        project = await _locked(session, principal.tenant, project_id)
        secrets = SecretRepository(session, principal.tenant)
        await secrets.check_unused(project_id, kind=body.kind, name=body.name, environment=body.environment)
        row = Secret(
            id=new_id(),
            organization_id=project.organization_id,
            project_id=project.id,
            created_by=principal.subject,
            version=1,
            host=token_host(body.kind, project),
            **body.model_dump(exclude={"value"}),
        )
        row.sealed_value = sealed(parts.sealer, row, value)
        await audited_writes.add(session, row)
        await secrets.check_room(project_id)
        headers = location(request, f"/projects/{project_id}/secrets/{row.id}")
        return reply(request, SecretView.model_validate(row), status=201, headers=headers)

    return await command.run(create)


@router.get(
    "/projects/{project_id}/secrets", summary="List a project's secrets", response_model=PageEnvelope[SecretView]
)
async def list_secrets(
    *,
    request: Request,
    parts: State,
    principal: ProjectsRead,
    project_id: UUID,
    page: SortedPage,
    kind: SecretKind | None = None,
    environment: EnvironmentName | None = None,
) -> Response:
    """Names, kinds and versions. `environment`: only that environment's own, without those of the whole project."""
    async with transaction(parts.sessions) as session:
        await ProjectRepository(session, principal.tenant).get(project_id)
        found = await SecretRepository(session, principal.tenant).search(
            project_id, kind=kind, environment=environment, request=page
        )
    return reply_page(request, found, [SecretView.model_validate(row) for row in found.rows])


@router.get("/projects/{project_id}/secrets/{secret_id}", summary="Get a secret", response_model=Envelope[SecretView])
async def get_secret(
    request: Request, parts: State, principal: ProjectsRead, project_id: UUID, secret_id: UUID
) -> Response:
    """Everything but its value."""
    async with transaction(parts.sessions) as session:
        row = await SecretRepository(session, principal.tenant).of_project(project_id, secret_id)
    return reply(request, SecretView.model_validate(row))


@router.patch(
    "/projects/{project_id}/secrets/{secret_id}",
    summary="Change a secret's value",
    response_model=Envelope[SecretView],
)
async def change_secret(
    *,
    request: Request,
    parts: State,
    principal: ProjectsAdmin,
    command: Idempotent,
    precondition: Precondition,
    project_id: UUID,
    secret_id: UUID,
    body: SecretPatch,
) -> Response:
    """Creates the next version. It is used by whatever starts or fetches from now on.

    A git token is bound again, to the repository's current host.
    """
    value = body.value.get_secret_value()

    async def carry_out(session: AsyncSession) -> Response:
        project = await _locked(session, principal.tenant, project_id)
        secrets = SecretRepository(session, principal.tenant)
        row = await secrets.of_project(project_id, secret_id, lock=True)
        precondition.check(SecretView.model_validate(row))
        kind = SecretKind(row.kind)
        check_secret(kind, value)
        values = {
            "sealed_value": sealed(parts.sealer, row, value),
            "version": row.version + 1,
            "host": token_host(kind, project),
        }
        await audited_writes.change(session, row, values)
        await secrets.check_room(project_id)
        return reply(request, SecretView.model_validate(row))

    return await command.run(carry_out)


@router.delete(
    "/projects/{project_id}/secrets/{secret_id}",
    summary="Delete a secret",
    status_code=204,
    response_class=Response,
)
async def delete_secret(
    parts: State, principal: ProjectsAdmin, precondition: Precondition, project_id: UUID, secret_id: UUID
) -> Response:
    """Running instances keep it until they end. A service that names it in delivery.yaml will not start without it."""
    async with transaction(parts.sessions) as session:
        await _locked(session, principal.tenant, project_id)
        row = await SecretRepository(session, principal.tenant).of_project(project_id, secret_id, lock=True)
        precondition.check(SecretView.model_validate(row))
        await audited_writes.remove(session, row)
    return Response(status_code=204)


async def _locked(session: AsyncSession, tenant: Tenant, project_id: UUID) -> Project:
    """Locks the project, so that its secrets change one at a time: unique names and the limit span all of them."""
    project = await ProjectRepository(session, tenant).get(project_id, lock=True)
    refuse_deleted(project)
    return project
