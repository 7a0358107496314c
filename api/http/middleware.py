"""Middleware around every request: request id, log line, limits of size and type, and the final error handler."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence

import structlog
from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.actor import acting
from api.auth.authentication import Identity
from api.auth.principal import Principal
from api.http.client_ip import Addresses, network_of
from api.http.envelope import JSON
from api.http.errors import allowed_methods, error_response, limited_response, unexpected
from domain.errors import ErrorCode
from runtime.ids import new_id_text
from runtime.log_lines import LineLog
from runtime.logging import get_logger

log = get_logger(__name__)
requests = LineLog(__name__)

MAX_BODY = 1024 * 1024
BODY_LIMIT_S = 30.0
# The minimum rate of a body: no minimum for the first seconds, then this many bytes per second.
BODY_GRACE_S = 5.0
BODY_BYTES_A_SECOND = 16 * 1024
# A body that takes longer than this to arrive needs one of its caller's slots.
QUICK_S = 1.0
# Limit of all unauthenticated callers together, so that authenticated ones are still served.
MAX_UNKNOWN_BODIES = 256
MAX_REQUESTS = 2000
PER_CALLER = 300
PER_ORGANIZATION = 500
PER_CALLER_BODIES = 16
ALWAYS = frozenset({"/livez", "/v1/livez"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
ANNOUNCING = frozenset({b"content-length", b"transfer-encoding"})
FORMS = "/oauth/"
ADDRESS, UNKNOWN = "address ", "addresses together"
UTF_8 = frozenset({"utf-8", "utf8", "us-ascii"})
_CHARSET = re.compile(r"(?:^|[;\s])charset\s*=\s*\"?([^\";\s]*)")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestContext:
    """Assigns the request id, logs the outcome, and answers 500 for unhandled exceptions."""

    def __init__(self, app: ASGIApp, addresses: Addresses | None = None) -> None:
        self.app = app
        self._addresses = addresses or Addresses()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0
        request_id = _request_id(scope["headers"])
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        # Without tracing there is none (api/http/request_traces.py).
        names = (
            {"request_id": request_id, "trace_id": state["trace_id"]}
            if "trace_id" in state
            else {"request_id": request_id}
        )

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        bound = structlog.contextvars.bind_contextvars(**names)
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
                **names,
            )


class BodyGuard:
    """Refuses bodies that are too large, too slow or not JSON, before they are parsed.

    Args:
        app: the next application.
        addresses: finds client IPs.
        per_caller: concurrent slow bodies of one caller, or of one client IP without valid credentials.
    """

    def __init__(
        self, app: ASGIApp, addresses: Addresses | None = None, *, per_caller: int = PER_CALLER_BODIES
    ) -> None:
        self.app = app
        self._parties = Parties(addresses or Addresses())
        self._per_caller = per_caller
        self._arriving: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bodiless = scope["method"] not in WITH_BODY
        if bodiless and not any(name in ANNOUNCING for name, _ in scope["headers"]):  # cheap; true for most requests
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        if bodiless and not _announces_body(request):
            await self.app(scope, receive, send)
            return
        body: bytes | None = b""
        try:
            body = b"" if _declared(request) > MAX_BODY else await self._read(scope, receive)
            refusal = _refuse(request, body)
        except ClientDisconnect:
            return  # an incomplete body is not a request
        except TimeoutError:
            refusal = _too_slow(request)
        except _TooManyBodiesError:
            refusal = _too_many_bodies(request, self._per_caller)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self.app(scope, _replay(body or b"", receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None: too large.

        Raises:
            TimeoutError: it is slow.
            ClientDisconnect: it is cut off.
            _TooManyBodiesError: it is slow, and the caller has too many slow bodies already.
        """
        loop = asyncio.get_running_loop()
        started, keys, refused = loop.time(), self._keys(scope), False

        def ask_for_a_place() -> None:
            nonlocal refused
            if self._has_room(keys):
                self._arriving.update(keys)
                held.extend(keys)
            else:
                refused = True
                limit.reschedule(loop.time())

        held: list[str] = []
        waiting = loop.call_later(QUICK_S, ask_for_a_place)
        try:
            async with asyncio.timeout(BODY_GRACE_S) as limit:
                return await _whole(receive, limit, started)
        except TimeoutError:
            if refused:
                raise _TooManyBodiesError from None
            raise
        finally:
            waiting.cancel()
            self._arriving.subtract(held)
            self._arriving += Counter()  # without zero values

    def _keys(self, scope: Scope) -> tuple[str, ...]:
        party = self._parties.caller(scope)
        return (party, UNKNOWN) if party.startswith(ADDRESS) else (party,)

    def _has_room(self, keys: tuple[str, ...]) -> bool:
        return self._arriving[keys[0]] < self._per_caller and (
            UNKNOWN not in keys or self._arriving[UNKNOWN] < MAX_UNKNOWN_BODIES
        )


class Overload:
    """Limits concurrent requests; refusals use the error envelope, `/livez` is exempt.

    Args:
        app: the next application.
        addresses: finds client IPs.
        limit: concurrent requests.
        per_caller: of one person or service account, or of one client IP without valid credentials.
        per_organization: of one organization.
    """

    def __init__(
        self,
        app: ASGIApp,
        addresses: Addresses | None = None,
        *,
        limit: int = MAX_REQUESTS,
        per_caller: int = PER_CALLER,
        per_organization: int = PER_ORGANIZATION,
    ) -> None:
        self.app = app
        self._parties = Parties(addresses or Addresses())
        self._limit = limit
        self._per_caller = per_caller
        self._per_organization = per_organization
        self._running = 0
        self._of: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self.app(scope, receive, send)
            return
        if self._running >= self._limit:
            await _too_many(Request(scope))(scope, receive, send)
            return
        caller, organization = self._parties.caller(scope), self._parties.organization(scope)
        if self._of[caller] >= self._per_caller or self._of[organization] >= self._per_organization:
            await _share_is_used_up(Request(scope))(scope, receive, send)
            return
        self._running += 1
        self._of.update((caller, organization))
        try:
            await self.app(scope, receive, send)
        finally:
            self._running -= 1
            for one in (caller, organization):
                self._of[one] -= 1
                if self._of[one] <= 0:
                    del self._of[one]


class Parties:
    """The owner of a request's slot: determined by the rate limits, which run first; else the client IP."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    def caller(self, scope: Scope) -> str:
        """A person or service account, or a client IP."""
        principal = _known(scope)
        if principal is None:
            return ADDRESS + network_of(self._addresses.of(scope))
        return f"{principal.organization_id}/{principal.subject}"

    def organization(self, scope: Scope) -> str:
        """An organization; without one, the platform's share, or that of unauthenticated callers."""
        principal = _known(scope)
        if principal is None:
            return UNKNOWN
        return str(principal.organization_id or "platform")


class _TooManyBodiesError(Exception):
    pass


def _known(scope: Scope) -> Principal | None:
    found = scope.get("state", {}).get("identity")
    return found.principal if isinstance(found, Identity) else None


def _request_id(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The client's request id if it is valid, else a new one."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"").decode("latin-1")
    return given if _ID.fullmatch(given) else f"req-{new_id_text()}"


def _declared(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isdecimal() and len(length) < len(str(2**63)) else 0


async def _whole(receive: Receive, limit: asyncio.Timeout, started: float) -> bytes | None:
    """The whole body; None: too large. Arriving data extends the deadline at the minimum rate."""
    parts: list[bytes] = []
    size = 0
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
        limit.reschedule(started + min(BODY_LIMIT_S, BODY_GRACE_S + size / BODY_BYTES_A_SECOND))


def _too_slow(request: Request) -> Response:
    return error_response(
        request,
        408,
        ErrorCode.TIMEOUT,
        f"the body arrived too slowly: after {BODY_GRACE_S:.0f} s it needs {BODY_BYTES_A_SECOND // 1024} KiB a second; "
        "send the request again",
        headers={"Connection": "close"},
    )


def _too_many_bodies(request: Request, most: int) -> Response:
    message = f"the bodies of {most} of your requests are arriving slowly already; send each at once, or one by one"
    return _closing(limited_response(request, 1, message))


def _share_is_used_up(request: Request) -> Response:
    message = "as many requests of yours, or of your organization, as may be are worked on already; wait for answers"
    return _closing(limited_response(request, 1, message))


def _closing(response: Response) -> Response:
    response.headers["Connection"] = "close"
    return response


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
    """What is wrong with the body's type; None: it is JSON in UTF-8, as required."""
    if request.method not in WITH_BODY:
        if request.method not in allowed_methods(request):
            return None  # the router reports it
        return f"{request.method} takes no body"
    if request.url.path.startswith(FORMS):
        return None  # these accept forms, and refuse everything else themselves
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
