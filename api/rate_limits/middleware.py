"""Around all requests except health and documents: counts them, and adds the remaining limits to the answer."""

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.authentication import identify
from api.http.errors import limited_response
from api.oauth.pages import too_often_page
from api.oauth.responses import too_often
from api.openapi.addresses import NAMES
from api.rate_limits.headers import limit_headers
from api.version import PREFIX
from domain.rate_limits import Decision

_OPEN = ("/health", "/livez", "/readyz", "/docs", "/redoc", *NAMES)
# Introspection has its own, not stricter limits: its clients authenticate with their secret there.
UNLIMITED = frozenset({*_OPEN, *(PREFIX + path for path in _OPEN), "/oauth/introspect"})
ASSETS = "/docs-assets/"
OAUTH, PAGES = "/oauth/", frozenset({"/oauth/authorize", "/oauth/invitation"})


def is_unlimited(path: str) -> bool:
    """Whether requests to a path are not counted."""
    return path in UNLIMITED or path.startswith(ASSETS)


class RateLimits:
    """Answers 429 above the limit. Authenticates first, because counters belong to principals."""

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
    """In the format of the endpoint: the OAuth server has pages for people, and RFC 6749 for programs."""
    path, seconds = request.scope["path"], decision.retry_after_s
    if path in PAGES:
        return too_often_page(seconds)
    return too_often(seconds) if path.startswith(OAUTH) else limited_response(request, seconds)
