"""Checks before the routes: URLs and headers that are too long or not text, unknown query parameters."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.authentication import authenticate
from api.http.errors import InvalidRequestError, MalformedIdError, error_response
from domain.errors import ErrorCode
from domain.facts import Fault

MAX_ADDRESS = 8192
MAX_HEADERS = 32 * 1024
MAX_HEADER_LINES = 100
# Python also accepts {...}, urn:uuid:... and digits without hyphens.
_BARE = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class AddressGuard:
    """414 and 431 for overlong URLs and headers; 400 for a query that is not UTF-8 or contains NUL."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = _refusal(scope) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send)


class HeadAsGet:
    """HEAD for every GET: the same headers, no body, and no waiting for the end of a stream."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        ended = False

        async def send_head(message: Message) -> None:
            nonlocal ended
            if message["type"] == "http.response.start":
                await send(message)
            elif not ended:
                ended = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def gone_when_ended() -> Message:
            return {"type": "http.disconnect"} if ended else await receive()

        await self.app({**scope, "method": "GET"}, gone_when_ended, send_head)


async def known_query(request: Request) -> None:
    """As `plain_query`, for authenticated callers; others get the error about their credentials first."""
    await authenticate(request, request.app.state.parts)
    await plain_query(request)


async def plain_query(request: Request) -> None:
    """Refuse unknown and repeated query parameters: a mistyped filter would silently return everything.

    Raises:
        InvalidRequestError: names the first invalid one.
        MalformedIdError: an id in the path is not in canonical spelling: each resource has one URL.
    """
    odd = [name for name, value in request.path_params.items() if name.endswith("_id") and not _BARE.fullmatch(value)]
    if odd:
        raise MalformedIdError(odd)
    if not request.scope["query_string"]:
        return
    known = _parameters(request.scope.get("route"))
    for name, times in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in known:
            message = f"is not a parameter of this address; known: {', '.join(sorted(known)) or 'none'}"
            raise InvalidRequestError(name[:100], message, code="unknown_parameter", in_body=False)
        if times > 1 and not known[name]:
            raise InvalidRequestError(name, "is given more than once", code="duplicate_parameter", in_body=False)


def _parameters(route: Any) -> dict[str, bool]:
    """The names of a route's query parameters, and whether they may be repeated."""
    if not isinstance(route, APIRoute):
        return {}
    if not hasattr(route, "query_names"):
        fields = list(_fields(route.dependant))
        route.query_names = {field.alias: _is_list(field) for field in fields}  # type: ignore[attr-defined]  # a note of ours on the route
    names: dict[str, bool] = route.query_names  # type: ignore[attr-defined]  # a note of ours on the route
    return names


def _fields(dependant: Any) -> Iterator[Any]:
    yield from dependant.query_params
    for below in dependant.dependencies:
        yield from _fields(below)


def _is_list(field: Any) -> bool:
    return "list[" in str(field.field_info.annotation)


def _refusal(scope: Scope) -> Response | None:
    query: bytes = scope["query_string"]
    if len(scope.get("raw_path") or scope["path"].encode()) + len(query) > MAX_ADDRESS:
        message = f"the address is longer than {MAX_ADDRESS} bytes"
        return error_response(Request(scope), 414, ErrorCode.PAYLOAD_TOO_LARGE, message)
    if len(scope["headers"]) > MAX_HEADER_LINES:
        message = f"there are more than {MAX_HEADER_LINES} headers"
        return error_response(Request(scope), 431, ErrorCode.PAYLOAD_TOO_LARGE, message)
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
        message = f"the headers are larger than {MAX_HEADERS} bytes together"
        return error_response(Request(scope), 431, ErrorCode.PAYLOAD_TOO_LARGE, message)
    if query and (name := _unreadable(query)) is not None:
        fault = Fault(field=name, message="must be UTF-8 without NUL", pointer=None, code="encoding_invalid")
        message = "Invalid request parameters"
        return error_response(Request(scope), 400, ErrorCode.VALIDATION_ERROR, message, details=[fault])
    return None


def _unreadable(query: bytes) -> str | None:
    """The first parameter of a query that is not text; None: all are."""
    for pair in query.split(b"&"):
        plain = unquote_to_bytes(pair)
        if b"\x00" in plain or _decoded(plain) is None:
            name = _decoded(unquote_to_bytes(pair.partition(b"=")[0])) or "query"
            return "query" if "\x00" in name else name[:100]
    return None


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
