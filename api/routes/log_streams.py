"""Answers that follow a log."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response

from api.auth.principal import Principal
from api.auth.readers import Reader
from api.dependencies import AppState
from api.http.errors import InvalidRequestError
from api.http.sse import closed
from api.http.streaming import EventStream, while_allowed
from api.services.logs.follow import Told, followed
from domain.permissions import Scope

# Enough for the position in the logs of a great many instances.
MAX_MARK = 8192
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Follow:
    """Whether to follow a log, and from which event on (None: from the beginning)."""

    wanted: bool
    last_event_id: str | None


async def _follow(
    *,
    follow: Annotated[bool, Query(description="true: server-sent events, until the log's end")] = False,
    last_event_id: Annotated[
        str | None, Header(max_length=MAX_MARK, description="with follow: continue after this event")
    ] = None,
) -> Follow:
    return Follow(follow, last_event_id)


Following = Annotated[Follow, Depends(_follow)]


def stream_of(lines: str, mark: str) -> dict[int | str, dict[str, Any]]:
    """The responses of a followed log for the OpenAPI document; `lines` and `mark` are examples."""
    return {
        200: {
            "content": {
                "text/event-stream": {
                    "schema": {
                        "title": "LogEvent",
                        "type": "object",
                        "properties": {
                            "id": {"type": "string", "maxLength": MAX_MARK},
                            "event": {"title": "LogEventType", "type": "string", "enum": ["log", "end", "closed"]},
                            "data": {"type": "string", "description": "JSON", "maxLength": 10_000_000},
                        },
                    },
                    "example": {"id": mark, "event": "log", "data": lines},
                }
            }
        },
        204: {"description": "Last-Event-ID is the end of the log: nothing follows"},
    }


def without(request: Request, *names: str) -> None:
    """Raise `InvalidRequestError` for parameters that have no meaning with `follow`."""
    for name in names:
        if name in request.query_params:
            words = "does not go with follow: Last-Event-ID says where to go on"
            raise InvalidRequestError(name, words, code="not_with_follow", in_body=False)


async def follow_reply(
    request: Request,
    parts: AppState,
    principal: Principal,
    at: Callable[[str], Awaitable[Told]],
    mark: str,
    *,
    go_on: bool,
    any_of: tuple[Scope, ...],
) -> Response:
    """Stream a log from the cursor `mark` on; `at` reads the lines at a cursor.

    `go_on`: the client sent that cursor. If it is the end of the log, the answer is 204, so that the client stops
    reconnecting. The caller needs one of the permissions `any_of`, now and for as long as the stream lasts.
    """
    if go_on and (await at(mark)).is_over:
        return Response(status_code=204)
    held = parts.places.logs.take(principal)
    reader = Reader(request, parts, principal, *any_of)
    return EventStream(while_allowed(followed(at, mark), reader.fault, closed), headers=HEADERS).held_by(held)
