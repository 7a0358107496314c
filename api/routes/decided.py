"""Answers to actions on a deployment, with the outcome as far as it is known."""

from fastapi import Request, Response

from api.http.errors import answer_of
from api.http.idempotency import REPLAYED, Command
from api.services.deployments.actions import Decision
from domain.approvals import Action

ACCEPTED = 202


async def settled(request: Request, command: Command, decision: Decision, kept: Response) -> Response | None:
    """The answer once the outcome is known. None: the action was accepted, so answer with the current state.

    Args:
        request: the request to answer.
        command: stores the answer for repeats of the request.
        decision: the stored action.
        kept: the stored answer so far. Anything but a 202 is final.
    """
    if kept.status_code != ACCEPTED:
        return kept
    told = await decision.told(fresh=command.fresh)
    if told is None:
        return kept
    if told.error is not None:
        return again(command, await command.amend(answer_of(request, told.error)))
    if decision.action in (Action.ABORT, Action.REJECT):
        await decision.ended()
    return None


def again(command: Command, response: Response) -> Response:
    """Mark the answer as replayed if the request is a repeat."""
    if not command.fresh:
        response.headers[REPLAYED] = "true"
    return response
