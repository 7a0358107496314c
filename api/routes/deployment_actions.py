"""Decisions about a deployment under way: approve, reject, pause, resume, promote, abort."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import DeploymentsApprove, DeploymentsWrite
from api.auth.principal import Principal
from api.dependencies import AppState, State
from api.http.envelope import Envelope, reply
from api.http.idempotency import Command, Idempotent
from api.http.links import accepted_headers
from api.routes.decided import ACCEPTED, again, settled
from api.routes.new_deployments import Asking, Preference
from api.schemas.deployments import (
    ApprovalRequest,
    DecisionRequest,
    DeploymentView,
    ReasonRequest,
)
from api.schemas.operations import AcceptedView
from api.schemas.views import accepted_view, deployment_view
from api.services.deployments.actions import Decision
from api.services.deployments.preview import preview_of
from api.services.deployments.retry import Redelivery
from domain.approvals import Action
from storage.engine import transaction
from storage.models import Operation
from storage.repositories.deployments import DeploymentRepository

router = APIRouter(tags=["Deployments"])

LATER: dict[int | str, dict[str, Any]] = {
    202: {
        "model": Envelope[AcceptedView],
        "description": "It is kept, and told to the rollout as soon as that answers; the same key asks again",
    }
}


async def _decide(
    request: Request, parts: AppState, principal: Principal, command: Command, decision: tuple[UUID, Action, str]
) -> Response:
    deployment_id, action, reason = decision
    wanted = Decision(parts, principal, deployment_id, action, reason, request.state.request_id, command.key)

    async def effect(session: AsyncSession) -> Response:
        return _pending(request, parts, await wanted.keep(session))

    response = await command.run(effect, before=wanted.reach)
    return await command.or_kept(response, _told(request, command, wanted, response))


async def _told(request: Request, command: Command, decision: Decision, kept: Response) -> Response:
    return await settled(request, command, decision, kept) or await _as_it_is_now(request, command, decision)


def _pending(request: Request, parts: AppState, operation: Operation) -> Response:
    """202: it is kept, and nobody has told what came of it yet."""
    headers = accepted_headers(parts.settings, operation.id, operation.resource_id)
    return reply(request, accepted_view(operation), status=ACCEPTED, headers=headers)


def _reason(body: DecisionRequest | None) -> str:
    return body.reason if body else ""


async def _as_it_is_now(request: Request, command: Command, decision: Decision) -> Response:
    """200 with the deployment after an accepted decision: its row tells of it already."""
    parts, principal = decision.parts, decision.principal
    async with transaction(parts.sessions) as session:
        row = await DeploymentRepository(session, principal.tenant).get(decision.deployment_id)
        preview = await preview_of(session, parts.settings, principal, row)
    # Kept without the preview: its token is no matter of a memory.
    await command.amend(reply(request, deployment_view(row)))
    return again(command, reply(request, deployment_view(row, preview)))


@router.post(
    "/deployments/{deployment_id}/approve",
    summary="Approve a deployment",
    response_model=Envelope[DeploymentView],
    responses=LATER,
)
async def approve(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsApprove,
    command: Idempotent,
    deployment_id: UUID,
    body: ApprovalRequest | None = None,
) -> Response:
    """One more yes; with enough of them it goes on. Whoever asked for the deployment does not count."""
    words = body.words if body else ""
    return await _decide(request, parts, principal, command, (deployment_id, Action.APPROVE, words))


@router.post(
    "/deployments/{deployment_id}/reject",
    summary="Reject a deployment",
    response_model=Envelope[DeploymentView],
    responses=LATER,
)
async def reject(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsApprove,
    command: Idempotent,
    deployment_id: UUID,
    body: ApprovalRequest,
) -> Response:
    """One no ends it before anything was touched."""
    return await _decide(request, parts, principal, command, (deployment_id, Action.REJECT, body.words))


@router.post(
    "/deployments/{deployment_id}/pause",
    summary="Pause a rollout",
    response_model=Envelope[DeploymentView],
    responses=LATER,
)
async def pause(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsWrite,
    command: Idempotent,
    deployment_id: UUID,
    body: DecisionRequest | None = None,
) -> Response:
    """It holds before its next step; the traffic stays as it is, and no deadline runs."""
    return await _decide(request, parts, principal, command, (deployment_id, Action.PAUSE, _reason(body)))


@router.post(
    "/deployments/{deployment_id}/resume", summary="Resume a paused rollout", response_model=Envelope[DeploymentView]
)
async def resume(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsWrite,
    command: Idempotent,
    deployment_id: UUID,
    body: DecisionRequest | None = None,
) -> Response:
    """It goes on where it was held."""
    return await _decide(request, parts, principal, command, (deployment_id, Action.RESUME, _reason(body)))


@router.post(
    "/deployments/{deployment_id}/promote",
    summary="Promote a rollout",
    response_model=Envelope[DeploymentView],
    responses={
        201: {"model": Envelope[DeploymentView], "description": "It was finished: a new one was made of it"},
        202: {
            "model": Envelope[AcceptedView],
            "description": "The same, with `Prefer: respond-async`; or kept, and told as soon as the rollout answers",
        },
    },
)
async def promote(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsWrite,
    command: Idempotent,
    deployment_id: UUID,
    body: DecisionRequest | None = None,
    prefer: Preference = None,
) -> Response:
    """It goes to the end without further pauses or analysis.

    Of one that is finished and did not succeed, its build is deployed anew and without analysis: deployments:approve.
    """
    request_id, reason = request.state.request_id, _reason(body)
    wanted = Decision(parts, principal, deployment_id, Action.PROMOTE, reason, request_id, command.key)
    new = Redelivery(parts.settings, principal, request_id, deployment_id, Action.PROMOTE, reason)
    asking = Asking(request, parts, prefer)

    async def effect(session: AsyncSession) -> Response:
        if await wanted.is_too_late(session):
            return asking.created(await new.record(session))
        return _pending(request, parts, await wanted.keep(session))

    response = await asking.run(command, effect, before=wanted.reach)
    if asking.asked is not None:
        return response
    return await command.or_kept(response, _told(request, command, wanted, response))


@router.post(
    "/deployments/{deployment_id}/abort",
    summary="Abort a rollout",
    response_model=Envelope[DeploymentView],
    responses=LATER,
)
async def abort(
    *,
    request: Request,
    parts: State,
    principal: DeploymentsWrite,
    command: Idempotent,
    deployment_id: UUID,
    body: ReasonRequest,
) -> Response:
    """The traffic goes back to the stable version; before any traffic moved, it is simply cancelled.

    Also while the workflow engine is down: then 202, and it is carried out when it is back.
    """
    return await _decide(request, parts, principal, command, (deployment_id, Action.ABORT, body.reason))
