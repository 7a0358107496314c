"""Around every request but those about health and documents: it is counted, and its answer says what is left."""

from datetime import timedelta

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.authentication import identify
from api.envelope import ErrorBody, LimitedEnvelope, LimitedMeta, json_response, meta_of
from api.errors import error_response
from api.problems import wants_problem
from api.rate_limits.headers import limit_headers
from api.version import PREFIX
from domain.errors import ErrorCode
from domain.limits import Decision

STATUS = 429
_OPEN = ("/health", "/livez", "/readyz", "/docs", "/redoc", "/openapi.json", "/openapi-3.0.json")
UNLIMITED = frozenset({*_OPEN, *(PREFIX + path for path in _OPEN)})
ASSETS = "/docs-assets/"


def is_unlimited(path: str) -> bool:
    """Whether requests to a path are not counted."""
    return path in UNLIMITED or path.startswith(ASSETS)


class RateLimits:
    """Refuses with 429 what is too much. The credentials are checked here already: whose counter is it?"""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_unlimited(scope["path"]):
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        parts = request.app.state.parts
        identity = await identify(request, parts)
        counted = await parts.rates.count(request, identity.principal)
        if counted is None:
            await self.app(scope, receive, send)
            return
        buckets, decision = counted
        headers = limit_headers(decision, buckets.policy)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        answer = self.app if decision.allowed else _too_many(request, decision)
        await answer(scope, receive, send_with_headers)


def _too_many(request: Request, decision: Decision) -> Response:
    """The contract's answer."""
    seconds = decision.retry_after_s
    told = {"Retry-After": str(seconds), "Vary": "Accept"}
    message = f"You have exceeded the rate limit. Please retry after {seconds} seconds."
    if wants_problem(request):
        return error_response(request, STATUS, ErrorCode.RATE_LIMIT_EXCEEDED, message, headers=told)
    meta = meta_of(request)
    resets_at = (meta.timestamp + timedelta(seconds=seconds)).replace(microsecond=0)
    limited = LimitedMeta(**meta.model_dump(), retry_after=seconds, limit_resets_at=resets_at)
    error = ErrorBody(code=ErrorCode.RATE_LIMIT_EXCEEDED, message=message)
    envelope = LimitedEnvelope(success=False, status=STATUS, error=error, meta=limited)
    return json_response(envelope, STATUS, told)
