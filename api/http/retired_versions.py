"""Retired versions: 410, with the URL of the successor."""

from datetime import date
from urllib.parse import quote

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.deprecation import Deprecation, notice
from api.http.errors import error_response
from api.version import PREFIX
from domain.errors import ErrorCode

V0 = "/v0"
# The contract defines the sunset and a deprecation period of six months.
V0_SINCE = date(2024, 6, 30)
V0_SUNSET = date(2024, 12, 31)


class RetiredVersions:
    """Answers every method and path under `/v0`, before all other checks."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == V0 or path.startswith(V0 + "/")):
            await self.app(scope, receive, send)
            return
        successor = PREFIX + quote(path.removeprefix(V0))
        notice(Deprecation(V0_SINCE, V0_SUNSET, successor, "Version v0"))
        message = f"version v0 of the API ended on {V0_SUNSET}; use {PREFIX}"
        await error_response(Request(scope), 410, ErrorCode.RESOURCE_NOT_FOUND, message)(scope, receive, send)
