"""Actions on a deployment in progress: approve, reject, pause, resume, promote, abort."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.permissions import DeploymentsApprove, DeploymentsWrite
from api.auth.principal import Principal
from api.dependencies import AppState, State
from api.http.envelope import Envelope, reply
from api.http.idempotency import Command, Idempotent
from api.http.links import accepted_headers
from api.routes.decided import ACCEPTED, again, settled
from api.routes.new_deployments import Preference, created
from api.schemas.deployments import (
    ApprovalRequest,
    DecisionRequest,
    DeploymentView,
    ReasonRequest,
)
from api.schemas.operations import AcceptedView
from api.schemas.views import accepted_view, deployment_view
from api.services.deployments.actions import Decision
from api.services.deployments.create import Asked
from api.services.deployments.preview import preview_of
from api.services.deployments.retry import Redelivery
from api.services.deployments.start import try_start
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
LATER_OR_ANEW: dict[int | str, dict[str, Any]] = {
    201: {"model": Envelope[DeploymentView], "description": "It was finished: a new one was made of it"},
    202: {
        "model": Envelope[AcceptedView],
        "description": "The same, with `Prefer: respond-async`; or kept, and told as soon as the rollout answers",
    },
}

Route = Callable[..., Any]


def _action(
    action: Action, summary: str, *, responses: dict[int | str, dict[str, Any]] | None = None
) -> Callable[[Route], Route]:
    """The route of one action."""
    path = f"/deployments/{{deployment_id}}/{action}"
    return router.post(path, summary=summary, response_model=Envelope[DeploymentView], responses=responses)


@dataclass(frozen=True)
class RequestedAction:
    """Shared by these routes: store the action, send it to the workflow, answer with the outcome."""

    request: Request
    parts: AppState
    command: Command
    deployment_id: UUID

    async def decide(self, principal: Principal, action: Action, reason: str) -> Response:
        """Carry out one action."""
        decision = self.decision(principal, action, reason)

        async def effect(session: AsyncSession) -> Response:
            return self.pending(await decision.keep(session))

        return await self.outcome(decision, await self.command.run(effect, before=decision.reach))

    def decision(self, principal: Principal, action: Action, reason: str) -> Decision:
        """The principal's action on this deployment."""
        return Decision(self.parts, principal, self.deployment_id, action, reason, self.command.key)

    def pending(self, operation: Operation) -> Response:
        """202: the action is stored, and its outcome is not known yet."""
        headers = accepted_headers(self.parts.settings, operation.id, operation.resource_id)
        return reply(self.request, accepted_view(operation), status=ACCEPTED, headers=headers)

    async def outcome(self, decision: Decision, kept: Response) -> Response:
        """The outcome of an action, or the stored answer while the outcome is unknown."""
        return await self.command.or_kept(kept, self._told(decision, kept))

    async def _told(self, decision: Decision, kept: Response) -> Response:
        known = await settled(self.request, self.command, decision, kept)
        return known or await self._as_it_is_now(decision.principal)

    async def _as_it_is_now(self, principal: Principal) -> Response:
        """200 with the deployment after an accepted action: its row shows the effect already."""
        async with transaction(self.parts.sessions) as session:
            row = await DeploymentRepository(session, principal.tenant).get(self.deployment_id)
            preview = await preview_of(session, self.parts.settings, principal, row)
        # Stored without the preview, so that its token is not kept with the idempotency key.
        await self.command.amend(reply(self.request, deployment_view(row)))
        return again(self.command, reply(self.request, deployment_view(row, preview)))


async def _requested(request: Request, parts: State, command: Idempotent, deployment_id: UUID) -> RequestedAction:
    return RequestedAction(request, parts, command, deployment_id)


Requested = Annotated[RequestedAction, Depends(_requested)]


def _reason(body: DecisionRequest | None) -> str:
    return body.reason if body else ""


@_action(Action.APPROVE, "Approve a deployment", responses=LATER)
async def approve(principal: DeploymentsApprove, requested: Requested, body: ApprovalRequest | None = None) -> Response:
    """Adds an approval. The rollout continues once there are enough. The requester's own approval does not count."""
    return await requested.decide(principal, Action.APPROVE, body.words if body else "")


@_action(Action.REJECT, "Reject a deployment", responses=LATER)
async def reject(principal: DeploymentsApprove, requested: Requested, body: ApprovalRequest) -> Response:
    """One rejection ends the deployment before anything has changed."""
    return await requested.decide(principal, Action.REJECT, body.words)


@_action(Action.PAUSE, "Pause a rollout", responses=LATER)
async def pause(principal: DeploymentsWrite, requested: Requested, body: DecisionRequest | None = None) -> Response:
    """The rollout pauses before its next step. Traffic stays as it is, and deadlines stop counting."""
    return await requested.decide(principal, Action.PAUSE, _reason(body))


@_action(Action.RESUME, "Resume a paused rollout", responses=LATER)
async def resume(principal: DeploymentsWrite, requested: Requested, body: DecisionRequest | None = None) -> Response:
    """The rollout continues where it was paused."""
    return await requested.decide(principal, Action.RESUME, _reason(body))


@_action(Action.PROMOTE, "Promote a rollout", responses=LATER_OR_ANEW)
async def promote(
    principal: DeploymentsWrite,
    requested: Requested,
    body: DecisionRequest | None = None,
    prefer: Preference = None,
) -> Response:
    """The rollout runs to its end without further pauses or analysis.

    If the deployment has ended without success, its build is deployed again without analysis; this needs
    deployments:approve.
    """
    parts, command, reason = requested.parts, requested.command, _reason(body)
    decision = requested.decision(principal, Action.PROMOTE, reason)
    anew = Redelivery(parts.settings, principal, requested.deployment_id, Action.PROMOTE, reason)
    made: list[Asked] = []

    async def effect(session: AsyncSession) -> Response:
        if not await decision.is_too_late(session):
            return requested.pending(await decision.keep(session))
        made.append(asked := await anew.record(session))
        command.after_commit(partial(try_start, parts.operations, asked.operation))
        return created(requested.request, parts, asked, prefer)

    response = await command.run(effect, before=decision.reach)
    return response if made else await requested.outcome(decision, response)


@_action(Action.ABORT, "Abort a rollout", responses=LATER)
async def abort(principal: DeploymentsWrite, requested: Requested, body: ReasonRequest) -> Response:
    """Traffic returns to the stable release. Before any traffic has moved, the deployment is simply cancelled.

    While the workflow engine is down, the answer is 202, and the abort is carried out once it is back.
    """
    return await requested.decide(principal, Action.ABORT, body.reason)
