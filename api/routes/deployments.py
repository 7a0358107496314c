"""Deployments: get, list, roll back."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import DeploymentsRead, DeploymentsWrite
from api.dependencies import AppState, State
from api.http.envelope import Envelope, PageEnvelope, reply, reply_page
from api.http.errors import answer_of
from api.http.idempotency import Command, Idempotent
from api.http.links import accepted_headers
from api.http.pagination import WantedPage
from api.routes.decided import ACCEPTED, again
from api.schemas.deployments import DeploymentView, RollbackRequest
from api.schemas.operations import AcceptedView
from api.schemas.views import accepted_view, deployment_view
from api.services.deployments.preview import may_have_preview, preview_of
from api.services.deployments.rollback import TAKEN_BACK, Rollback
from domain.errors import ConflictError
from domain.lifecycle import DeploymentStatus, EnvironmentName
from storage.engine import transaction
from storage.models import Operation
from storage.repositories.deployments import DeploymentRepository
from storage.repositories.operations import OperationRepository
from storage.repositories.projects import ProjectRepository

router = APIRouter(tags=["Deployments"])


@router.get("/deployments/{deployment_id}", summary="Get a deployment", response_model=Envelope[DeploymentView])
async def get_deployment(request: Request, parts: State, principal: DeploymentsRead, deployment_id: UUID) -> Response:
    """The state of a deployment, what it deploys, and its result."""
    found = await parts.deployments.get(principal.tenant, deployment_id)
    if not may_have_preview(principal, found.row):
        return reply(request, found.answer)
    async with transaction(parts.sessions) as session:
        preview = await preview_of(session, parts.settings, principal, found.row)
    return reply(request, deployment_view(found.row, preview))


@router.get(
    "/projects/{project_id}/deployments",
    summary="List deployments of a project",
    response_model=PageEnvelope[DeploymentView],
)
async def list_deployments(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsRead,
    project_id: UUID,
    page: WantedPage,
    environment: EnvironmentName | None = None,
    status: DeploymentStatus | None = None,
) -> Response:
    """Newest first."""
    async with transaction(parts.sessions) as session:
        await ProjectRepository(session, principal.tenant).get(project_id)
        found = await DeploymentRepository(session, principal.tenant).of_project(
            project_id, environment=environment, status=status, request=page
        )
    return reply_page(request, found, [deployment_view(row) for row in found.rows])


@router.post(
    "/deployments/{deployment_id}/rollback",
    summary="Roll a deployment back",
    response_model=Envelope[DeploymentView],
    responses={202: {"model": Envelope[AcceptedView], "description": "It takes longer: look at the operation"}},
)
async def roll_back(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsWrite,
    command: Idempotent,
    deployment_id: UUID,
    body: RollbackRequest,
) -> Response:
    """Aborts a rollout in progress, or restores the last healthy release. Waits up to ten seconds for the outcome."""
    rollback = Rollback(parts, principal, deployment_id, body.reason, command.key)
    recorded: list[Operation] = []

    async def record(session: AsyncSession) -> Response:
        operation = await rollback.record(session)
        recorded.append(operation)
        headers = accepted_headers(parts.settings, operation.id, deployment_id)
        return reply(request, accepted_view(operation), status=202, headers=headers)

    response = await command.run(record)
    if response.status_code != ACCEPTED:
        return response
    if not recorded:  # A repeat of the request before the outcome was known.
        return await command.or_kept(response, _again(request, parts, rollback, command, response))
    return await command.or_kept(response, _outcome(request, rollback, command, recorded[0], response))


async def _outcome(
    request: Request, rollback: Rollback, command: Command, operation: Operation, kept: Response
) -> Response:
    """The outcome of a rollback that was recorded just now."""
    try:
        deployment = await rollback.outcome(operation)
    except ConflictError as refused:
        return await command.amend(answer_of(request, refused))
    if deployment is None:
        return kept
    return await command.amend(reply(request, deployment_view(deployment)))


async def _again(request: Request, parts: AppState, rollback: Rollback, command: Command, kept: Response) -> Response:
    """A repeat with the same key: the outcome as it is known by now."""
    told = await rollback.decision.told(fresh=False)
    if told is not None and told.error is not None:
        return again(command, await command.amend(answer_of(request, told.error)))
    async with transaction(parts.sessions) as session:
        row = await DeploymentRepository(session, rollback.principal.tenant).get(rollback.deployment_id)
        running = row.rollback_operation_id if row.status == DeploymentStatus.ROLLING_BACK else None
        operation = await OperationRepository(session, rollback.principal.tenant).get(running) if running else None
    if row.status in TAKEN_BACK:
        return again(command, await command.amend(reply(request, deployment_view(row))))
    if operation is None:
        return kept
    headers = accepted_headers(parts.settings, operation.id, row.id)
    return again(command, reply(request, accepted_view(operation), status=ACCEPTED, headers=headers))
