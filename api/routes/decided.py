"""Answers to decisions: what is known of the outcome when the request is answered."""

from fastapi import Request, Response

from api.http.errors import answer_of
from api.http.idempotency import REPLAYED, Command
from api.services.deployments.actions import Decision
from domain.approvals import Action

ACCEPTED = 202


async def settled(request: Request, command: Command, decision: Decision, kept: Response) -> Response | None:
    """The answer to a decision that was kept, once its outcome is known; None: it was accepted, tell how it is now.

    Args:
        request: what is answered.
        command: keeps the answer for who sends the request again.
        decision: what was kept.
        kept: the answer so far. One that is no 202 is final.
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
    """Say so when it is not the first answer to the request."""
    if not command.fresh:
        response.headers[REPLAYED] = "true"
    return response
