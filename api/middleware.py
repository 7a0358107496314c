"""Around every request: its id, its log line, its size and type, and the net under everything."""

import asyncio
import re
import time
from collections.abc import Sequence

import structlog
from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.actors import acting
from api.addresses import Addresses
from api.envelope import JSON
from api.errors import allowed_methods, error_response, unexpected
from domain.errors import ErrorCode
from runtime.ids import new_id_text
from runtime.log_lines import LineLog
from runtime.logging import get_logger

log = get_logger(__name__)
requests = LineLog(__name__)

MAX_BODY = 1024 * 1024
BODY_LIMIT_S = 30.0
MAX_REQUESTS = 2000
ALWAYS = frozenset({"/livez", "/v1/livez"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
ANNOUNCING = frozenset({b"content-length", b"transfer-encoding"})
FORMS = "/oauth/"
UTF_8 = frozenset({"utf-8", "utf8", "us-ascii"})
_CHARSET = re.compile(r"(?:^|[;\s])charset\s*=\s*\"?([^\";\s]*)")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestContext:
    """Gives a request its id, logs how it ended, and answers 500 for what nobody caught."""

    def __init__(self, app: ASGIApp, addresses: Addresses | None = None) -> None:
        self.app = app
        self._addresses = addresses or Addresses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        request_id = _request_id(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            with acting(self._addresses.of(scope), request_id):
                await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("http.unexpected")
            if status == 0:
                await unexpected(Request(scope))(scope, receive, send_with_id)
        finally:
            structlog.contextvars.reset_contextvars(**bound)
            requests.info(
                "http.request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
                request_id=request_id,
            )


class BodyGuard:
    """Refuses bodies that are too large, too slow or not JSON, before anything looks at them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bodiless = scope["method"] not in WITH_BODY
        if bodiless and not any(name in ANNOUNCING for name, _ in scope["headers"]):  # cheap, as most requests are that
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        if bodiless and not _announces_body(request):
            await self.app(scope, receive, send)
            return
        try:
            body = b"" if _declared(request) > MAX_BODY else await _read(receive)
        except ClientDisconnect:
            return  # half a body is no request
        except TimeoutError:
            await _too_slow(request)(scope, receive, send)
            return
        refusal = _refuse(request, body)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self.app(scope, _replay(body or b"", receive), send)


class Overload:
    """Refuses what is too much to do at once, in the envelope; `/livez` is answered always."""

    def __init__(self, app: ASGIApp, limit: int = MAX_REQUESTS) -> None:
        self.app = app
        self._limit = limit
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self.app(scope, receive, send)
            return
        if self._running >= self._limit:
            await _too_many(Request(scope))(scope, receive, send)
            return
        self._running += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._running -= 1


def _request_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The first one given, if it is fit for one; else one of ours."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"").decode("latin-1")
    return given if _ID.fullmatch(given) else f"req-{new_id_text()}"


def _declared(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isdecimal() and len(length) < len(str(2**63)) else 0


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None: too large. Raises TimeoutError when it is slow, ClientDisconnect when it is cut off."""
    parts: list[bytes] = []
    size = 0
    async with asyncio.timeout(BODY_LIMIT_S):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY:
                return None
            if not message.get("more_body", False):
                return b"".join(parts)


def _too_slow(request: Request) -> Response:
    return error_response(
        request,
        408,
        ErrorCode.TIMEOUT,
        f"the body did not arrive within {BODY_LIMIT_S:.0f} s; send the request again",
        headers={"Connection": "close"},
    )


def _too_many(request: Request) -> Response:
    return error_response(
        request,
        503,
        ErrorCode.SERVICE_UNAVAILABLE,
        "too many requests are being worked on; try again in a moment",
        headers={"Retry-After": "1"},
    )


def _refuse(request: Request, body: bytes | None) -> Response | None:
    if body is None or _declared(request) > MAX_BODY:
        return error_response(
            request,
            413,
            ErrorCode.PAYLOAD_TOO_LARGE,
            f"the body is larger than {MAX_BODY} bytes",
            headers={"Connection": "close"},
        )
    fault = _foreign(request) if body else None
    if fault is None:
        return None
    accepted = {"Accept": JSON, "Accept-Encoding": "identity"}
    return error_response(request, 415, ErrorCode.UNSUPPORTED_MEDIA_TYPE, fault, headers=accepted)


def _foreign(request: Request) -> str | None:
    """What is wrong with the kind of a body; None: it is JSON in UTF-8, as it should be."""
    if request.method not in WITH_BODY:
        if request.method not in allowed_methods(request):
            return None  # the router says so
        return f"{request.method} takes no body"
    if request.url.path.startswith(FORMS):
        return None  # these take forms, and refuse everything else in their own words
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if kind.strip() != JSON:
        return f"send the body as {JSON}, not as {kind.strip()[:100] or 'nothing declared'}"
    charset = _CHARSET.search(parameters)
    if charset and charset[1] not in UTF_8:
        return f"send the body in UTF-8, not in {charset[1][:100]}"
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    return None if encoding in ("", "identity") else f"send the body as it is, not with {encoding[:100]} encoding"


def _announces_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or _declared(request) > 0


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
