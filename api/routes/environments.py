"""Environments of a project: releases, deployment lock and queue, settings."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import DeploymentsApprove, DeploymentsRead
from api.dependencies import State
from api.http.envelope import Envelope, reply
from api.http.idempotency import Idempotent
from api.http.links import location
from api.http.preconditions import Precondition
from api.schemas.deployments import ApprovalRequest
from api.schemas.environments import EnvironmentPatch, EnvironmentView, GuardChangeView
from api.services.environments.guard_changes import GuardChanges
from api.services.environments.settings import SettingsChange, environment_views
from domain.lifecycle import EnvironmentName
from storage.engine import transaction
from storage.repositories.guard_changes import GuardChangeRepository
from storage.repositories.projects import ProjectRepository

router = APIRouter(tags=["Environments"])
CHANGES = "/projects/{project_id}/environments/{name}/changes"
ONE_CHANGE = CHANGES + "/{change_id}"
MAX_SHOWN = 50


@router.get(
    "/projects/{project_id}/environments",
    summary="List a project's environments",
    response_model=Envelope[list[EnvironmentView]],
)
async def list_environments(request: Request, parts: State, principal: DeploymentsRead, project_id: UUID) -> Response:
    """All three environments, including those without a deployment."""
    async with transaction(parts.sessions) as session:
        views = await environment_views(session, parts.settings, principal, project_id, tuple(EnvironmentName))
    return reply(request, views)


@router.get(
    "/projects/{project_id}/environments/{name}",
    summary="Get an environment",
    response_model=Envelope[EnvironmentView],
)
async def get_environment(
    request: Request, parts: State, principal: DeploymentsRead, project_id: UUID, name: EnvironmentName
) -> Response:
    """Its host and releases, the lock's holder and queue, its settings, and whether a deployment may start now."""
    async with transaction(parts.sessions) as session:
        [view] = await environment_views(session, parts.settings, principal, project_id, (name,))
    return reply(request, view)


@router.patch(
    "/projects/{project_id}/environments/{name}",
    summary="Change an environment's settings",
    response_model=Envelope[EnvironmentView],
    responses={202: {"model": Envelope[GuardChangeView], "description": "It weakens a guard: others must approve it"}},
)
async def change_environment(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsApprove,
    command: Idempotent,
    precondition: Precondition,
    project_id: UUID,
    name: EnvironmentName,
    body: EnvironmentPatch,
) -> Response:
    """Changes policy, approval rule or windows; fields not given stay. Deployments held by a window are told at once.

    If the environment requires approval, a change that weakens the approval rule, the windows or the policy needs the
    same approvals. The answer is then 202, and others approve the change.
    """
    change = SettingsChange(parts.settings, principal, project_id, name, body)

    async def view(session: AsyncSession) -> EnvironmentView:
        [found] = await environment_views(session, parts.settings, principal, project_id, (name,))
        return found

    async def carry_out(session: AsyncSession) -> Response:
        if precondition.given:
            # A lock on the project, so that two clients with the same ETag cannot both change it. The environment may
            # have no row yet.
            await ProjectRepository(session, principal.tenant).get(project_id, lock=True)
            precondition.check(await view(session))
        waiting = await change.carry_out(session)
        if waiting is not None:
            where = location(request, f"{CHANGES.format(project_id=project_id, name=name)}/{waiting.id}")
            return reply(request, GuardChangeView.of(waiting, name), status=202, headers=where)
        return reply(request, await view(session))

    return await command.run(carry_out)


@router.get(
    CHANGES,
    summary="List changes of an environment that needed approval",
    response_model=Envelope[list[GuardChangeView]],
)
async def list_changes(
    request: Request, parts: State, principal: DeploymentsRead, project_id: UUID, name: EnvironmentName
) -> Response:
    """The last fifty changes that weaken a guard, newest first, in every state."""
    async with transaction(parts.sessions) as session:
        row = await GuardChanges(session, principal, project_id, name).environment()
        found = await GuardChangeRepository(session, principal.tenant).latest(row.id, MAX_SHOWN)
    return reply(request, [GuardChangeView.of(one, name) for one in found])


@router.get(
    ONE_CHANGE, summary="Get a change of an environment that needs approval", response_model=Envelope[GuardChangeView]
)
async def get_change(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsRead,
    project_id: UUID,
    name: EnvironmentName,
    change_id: UUID,
) -> Response:
    """The settings that a change would apply, and its approvals so far."""
    async with transaction(parts.sessions) as session:
        row = await GuardChanges(session, principal, project_id, name).environment()
        found = await GuardChangeRepository(session, principal.tenant).of(row.id, change_id)
    return reply(request, GuardChangeView.of(found, name))


@router.post(
    ONE_CHANGE + "/approve", summary="Approve a change of an environment", response_model=Envelope[GuardChangeView]
)
async def approve_change(
    *,
    request: Request,
    principal: DeploymentsApprove,
    command: Idempotent,
    project_id: UUID,
    name: EnvironmentName,
    change_id: UUID,
    body: ApprovalRequest | None = None,
) -> Response:
    """Adds an approval, counted as for a deployment into this environment. The last one needed applies the change."""

    async def carry_out(session: AsyncSession) -> Response:
        changes = GuardChanges(session, principal, project_id, name)
        row = await changes.approve(change_id, body.words if body else "")
        return reply(request, GuardChangeView.of(row, name))

    return await command.run(carry_out)


@router.post(
    ONE_CHANGE + "/reject", summary="Reject a change of an environment", response_model=Envelope[GuardChangeView]
)
async def reject_change(
    *,
    request: Request,
    principal: DeploymentsApprove,
    command: Idempotent,
    project_id: UUID,
    name: EnvironmentName,
    change_id: UUID,
    body: ApprovalRequest | None = None,
) -> Response:
    """One rejection ends the change. The requester may reject it too."""

    async def carry_out(session: AsyncSession) -> Response:
        changes = GuardChanges(session, principal, project_id, name)
        row = await changes.reject(change_id, body.words if body else "")
        return reply(request, GuardChangeView.of(row, name))

    return await command.run(carry_out)
