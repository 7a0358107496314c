"""Answers with the logs of an operation's steps."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from api.auth.principal import Principal
from api.dependencies import AppState
from api.http.envelope import JSON, reply
from api.routes.log_streams import Follow, follow_reply, stream_of, without
from api.schemas.builds import LogListing
from api.services.logs.follow import Told
from api.services.logs.steps import BEGINNING, StepsPlace, mark_of
from api.services.operations import logs
from api.services.operations.logs import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, LoggedStep, LogRange
from domain.permissions import Scope


async def _window(
    step: LoggedStep | None = None,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="bytes to skip")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="maximum bytes to return")] = DEFAULT_LIMIT,
) -> LogRange:
    return LogRange(step, offset, limit)


FOLLOWED = stream_of('{"lines": [{"step": "build", "text": "$ make"}]}', "120.8192.0.0.0")
# Content by client: text by default, a list of logs for clients that accept JSON only, events for `follow`.
LOGGED: dict[int | str, dict[str, Any]] = {
    **FOLLOWED,
    200: {
        "content": {
            "text/plain": {"schema": {"type": "string", "maxLength": MAX_LIMIT}, "example": "==> build <==\n"},
            **FOLLOWED[200]["content"],
        },
        "headers": {
            "X-Next-Offset": {
                "description": "the offset to continue at",
                "schema": {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET + MAX_LIMIT},
            }
        },
    },
}
LogWindow = Annotated[LogRange, Depends(_window)]


async def log_reply(
    request: Request, parts: AppState, operation_id: UUID, project_id: UUID, window: LogRange
) -> Response:
    """The requested part as text; the list of logs for clients that accept JSON only."""
    if JSON in request.headers.get("accept", ""):
        return reply(request, LogListing(steps=await logs.listed(parts.settings, operation_id)))
    content = await parts.logs.steps.read(operation_id, project_id, window)
    headers = {"X-Next-Offset": str(window.offset + len(content)), "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type="text/plain; charset=utf-8")


async def followed_steps(
    request: Request, parts: AppState, principal: Principal, follow: Follow, place: StepsPlace, *any_of: Scope
) -> Response:
    """The logs as events, from the client's cursor or from the beginning."""
    without(request, "offset", "limit")
    mark = mark_of(follow.last_event_id)

    async def at(mark: str) -> Told:
        return await parts.logs.steps.at(replace(place, mark=mark))

    return await follow_reply(request, parts, principal, at, mark, go_on=mark != BEGINNING, any_of=any_of)
