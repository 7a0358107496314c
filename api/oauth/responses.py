"""Responses in the format of RFC 6749, without the envelope."""

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import Any, Final

from authlib.oauth2 import OAuth2Error
from fastapi import Request, Response

from api.http.envelope import JSON
from domain.errors import DeliveryError, DependencyError

NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
# Descriptions for errors that Authlib does not describe.
_DESCRIPTIONS: Final[Mapping[str, str]] = {
    "unsupported_grant_type": "grant_type must be authorization_code, client_credentials or refresh_token",
    "invalid_grant": "the code or refresh token is wrong, used, expired or revoked, or of another client",
    "invalid_request": "a parameter is missing or wrong",
    "unsupported_token_type": "token_type_hint must be access_token or refresh_token",
}
Route = Callable[[Request], Awaitable[Response]]


def json_answer(body: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with `Cache-Control: no-store`; errors say what to do."""
    error = body.get("error")
    if error is not None and "error_description" not in body:
        body = {**body, "error_description": _DESCRIPTIONS.get(str(error), "this cannot be done")}
    return Response(json.dumps(body), status, headers={**(headers or {}), **NO_STORE}, media_type=JSON)


def error_answer(error: str, description: str, status: int = 400, headers: Mapping[str, str] | None = None) -> Response:
    """RFC 6749, 5.2."""
    return json_answer({"error": error, "error_description": description}, status, headers)


def too_often(seconds: int) -> Response:
    """429; the protocol defines no code for it."""
    return error_answer(
        "temporarily_unavailable", f"too many requests; wait {seconds} s", 429, {"Retry-After": str(seconds)}
    )


def plain_errors(route: Route) -> Route:
    """Wraps a route so that its errors follow RFC 6749."""

    @wraps(route)
    async def told(request: Request) -> Response:
        try:
            return await route(request)
        except OAuth2Error as error:
            status, body, headers = _parts(error)
            return json_answer(body, status, dict(headers))
        except DependencyError as error:
            wait = {"Retry-After": str(error.retry_after_s)}
            return error_answer("temporarily_unavailable", error.message, 503, wait)
        except DeliveryError as error:
            return error_answer("server_error", error.message, 500)

    return told


def _parts(error: OAuth2Error) -> tuple[int, Any, Any]:
    status, body, headers = error()
    return status, body, [(name, value) for name, value in headers if name.lower() != "content-type"]
