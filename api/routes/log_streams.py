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

# Of a place in the logs of very many instances.
MAX_MARK = 8192
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Follow:
    """Whether a log is to be followed, and from where on; None: from the beginning."""

    wanted: bool
    last_event_id: str | None


async def _follow(
    *,
    follow: Annotated[bool, Query(description="true: server-sent events, until the log's end")] = False,
    last_event_id: Annotated[
        str | None, Header(max_length=MAX_MARK, description="with follow: go on behind this event")
    ] = None,
) -> Follow:
    return Follow(follow, last_event_id)


Following = Annotated[Follow, Depends(_follow)]


def stream_of(lines: str, mark: str) -> dict[int | str, dict[str, Any]]:
    """What following answers, for the OpenAPI document; `lines` and `mark` are examples."""
    return {
        200: {
            "content": {
                "text/event-stream": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "id": {"type": "string", "maxLength": MAX_MARK},
                            "event": {"enum": ["log", "end", "closed"]},
                            "data": {"type": "string", "description": "JSON", "maxLength": 10_000_000},
                        },
                    },
                    "example": {"id": mark, "event": "log", "data": lines},
                }
            }
        },
        204: {"description": "Last-Event-ID names the end of the log: there is nothing to come"},
    }


def without(request: Request, *names: str) -> None:
    """Raise `InvalidRequestError` for parameters that say nothing to who follows."""
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
    """The events of a log from the place `mark` on; `at` tells what stands at one.

    `go_on`: the client named that place. At the end of a log there is nothing for it, and it is to stop asking. One of
    the permissions `any_of` is needed, also later on.
    """
    if go_on and (await at(mark)).is_over:
        return Response(status_code=204)
    held = parts.places.logs.take(principal)
    reader = Reader(request, parts, principal, *any_of)
    return EventStream(while_allowed(followed(at, mark), reader.fault, closed), headers=HEADERS).held_by(held)
