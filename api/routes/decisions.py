"""Decisions about a deployment under way: approve, reject, pause, resume, promote, abort."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.asking import Asking, Preference
from api.auth.permissions import DeploymentsApprove, DeploymentsWrite
from api.auth.principal import Principal
from api.commands import Command, Idempotent
from api.decisions import Decision
from api.envelope import Envelope, reply
from api.parts import AppParts, Parts
from api.previews import preview_of
from api.redeliveries import Redelivery
from api.schemas.deployments import DecisionRequest, DeploymentView, ReasonRequest
from api.schemas.operations import AcceptedView
from api.views import deployment_view
from domain.people import Action
from storage.engine import transaction
from storage.repositories.deployments import DeploymentRepository

router = APIRouter(tags=["Deployments"])


async def _decide(
    request: Request, parts: Parts, principal: Principal, command: Command, decision: tuple[UUID, Action, str]
) -> Response:
    deployment_id, action, reason = decision
    wanted = Decision(parts, principal, deployment_id, action, reason, request.state.request_id, command.key)

    async def effect(session: AsyncSession) -> Response:
        return reply(request, deployment_view(await wanted.carry_out(session)))

    response = await command.run(effect)
    return await _as_it_is_now(request, parts, principal, deployment_id) if command.fresh else response


def _reason(body: DecisionRequest | None) -> str:
    return body.reason if body else ""


async def _as_it_is_now(request: Request, parts: Parts, principal: Principal, deployment_id: UUID) -> Response:
    async with transaction(parts.sessions) as session:
        row = await DeploymentRepository(session, principal.tenant).get(deployment_id)
        preview = await preview_of(session, parts.settings, principal, row)
    return reply(request, deployment_view(row, preview))


@router.post(
    "/deployments/{deployment_id}/approve", summary="Approve a deployment", response_model=Envelope[DeploymentView]
)
async def approve(
    *,
    request: Request,
    parts: AppParts,
    principal: DeploymentsApprove,
    command: Idempotent,
    deployment_id: UUID,
    body: DecisionRequest | None = None,
) -> Response:
    """One more yes; with enough of them it goes on. Whoever asked for the deployment does not count."""
    return await _decide(request, parts, principal, command, (deployment_id, Action.APPROVE, _reason(body)))


@router.post(
    "/deployments/{deployment_id}/reject", summary="Reject a deployment", response_model=Envelope[DeploymentView]
)
async def reject(
    *,
    request: Request,
    parts: AppParts,
    principal: DeploymentsApprove,
    command: Idempotent,
    deployment_id: UUID,
    body: ReasonRequest,
) -> Response:
    """One no ends it before anything was touched."""
    return await _decide(request, parts, principal, command, (deployment_id, Action.REJECT, body.reason))


@router.post("/deployments/{deployment_id}/pause", summary="Pause a rollout", response_model=Envelope[DeploymentView])
async def pause(
    *,
    request: Request,
    parts: AppParts,
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
    parts: AppParts,
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
        202: {"model": Envelope[AcceptedView], "description": "The same, with `Prefer: respond-async`"},
    },
)
async def promote(
    *,
    request: Request,
    parts: AppParts,
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
    wanted = Decision(parts, principal, deployment_id, Action.PROMOTE, reason, request_id)
    again = Redelivery(parts.settings, principal, request_id, deployment_id, Action.PROMOTE, reason)
    asking = Asking(request, parts, prefer)

    async def effect(session: AsyncSession) -> Response:
        if await wanted.is_too_late(session):
            return asking.created(await again.record(session))
        return reply(request, deployment_view(await wanted.carry_out(session)))

    response = await asking.run(command, effect)
    if asking.asked is not None or not command.fresh:
        return response
    return await _as_it_is_now(request, parts, principal, deployment_id)


@router.post("/deployments/{deployment_id}/abort", summary="Abort a rollout", response_model=Envelope[DeploymentView])
async def abort(
    *,
    request: Request,
    parts: AppParts,
    principal: DeploymentsWrite,
    command: Idempotent,
    deployment_id: UUID,
    body: ReasonRequest,
) -> Response:
    """The traffic goes back to the stable version; before any traffic moved, it is simply cancelled."""
    return await _decide(request, parts, principal, command, (deployment_id, Action.ABORT, body.reason))
