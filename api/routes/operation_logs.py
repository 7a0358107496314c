"""Answers with the logs of an operation's steps."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from api.http.envelope import JSON, reply
from api.schemas.builds import LogListing
from api.services.operations import logs
from api.services.operations.logs import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, LoggedStep, LogRange
from runtime.settings import Settings


async def _window(
    step: LoggedStep | None = None,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET, description="bytes to skip")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="bytes to give")] = DEFAULT_LIMIT,
) -> LogRange:
    return LogRange(step, offset, limit)


# What the answers are: text, or for who accepts JSON only, which logs there are.
LOGGED: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/plain": {"schema": {"type": "string", "maxLength": MAX_LIMIT}, "example": "==> build <==\n"}},
        "headers": {
            "X-Next-Offset": {
                "description": "where to go on",
                "schema": {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET + MAX_LIMIT},
            }
        },
    }
}
LogWindow = Annotated[LogRange, Depends(_window)]


async def log_reply(request: Request, settings: Settings, operation_id: UUID, window: LogRange) -> Response:
    """The piece asked for, as text; or which logs there are, for who accepts JSON only."""
    if JSON in request.headers.get("accept", ""):
        return reply(request, LogListing(steps=await logs.listed(settings, operation_id)))
    content = await logs.read(settings, operation_id, window)
    headers = {"X-Next-Offset": str(window.offset + len(content)), "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers, media_type="text/plain; charset=utf-8")
