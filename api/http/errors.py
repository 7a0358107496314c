"""Maps errors to HTTP, once: domain errors, validation errors, routing errors, and unexpected exceptions."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api.http.envelope import ErrorBody, ErrorEnvelope, LimitedEnvelope, LimitedMeta, json_response, meta_of
from api.http.problem_details import PROBLEM, problem, wants_problem
from domain.errors import (
    CallerError,
    ConflictError,
    DeliveryError,
    DependencyError,
    ErrorCode,
    NotFoundError,
    UnknownOutcomeError,
)
from domain.facts import Fault, faults_of
from domain.lifecycle import EnvironmentName
from domain.words import words_of
from runtime.logging import get_logger
from storage.cursors import CursorError

log = get_logger(__name__)

STATUS: Mapping[ErrorCode, int] = {
    ErrorCode.VALIDATION_ERROR: 400,
    ErrorCode.INVALID_STATE: 400,
    ErrorCode.AUTHENTICATION_FAILED: 401,
    ErrorCode.AUTHORIZATION_DENIED: 403,
    ErrorCode.QUOTA_EXCEEDED: 403,
    ErrorCode.ORGANIZATION_NOT_ACTIVE: 403,
    ErrorCode.RESOURCE_NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.CONFLICT: 409,
    ErrorCode.DUPLICATE_RESOURCE: 409,
    ErrorCode.DUPLICATE_SLUG: 409,
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: 409,
    ErrorCode.PRECONDITION_FAILED: 412,
    ErrorCode.PAYLOAD_TOO_LARGE: 413,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: 415,
    ErrorCode.UNPROCESSABLE: 422,
    ErrorCode.IDEMPOTENCY_KEY_REUSED: 422,
    ErrorCode.RATE_LIMIT_EXCEEDED: 429,
    ErrorCode.INTERNAL_ERROR: 500,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
    ErrorCode.TIMEOUT: 504,
}
CODE_OF_STATUS: Mapping[int, ErrorCode] = {
    400: ErrorCode.VALIDATION_ERROR,
    401: ErrorCode.AUTHENTICATION_FAILED,
    403: ErrorCode.AUTHORIZATION_DENIED,
    404: ErrorCode.RESOURCE_NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.PAYLOAD_TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    422: ErrorCode.UNPROCESSABLE,
}

AN_ID = "an id such as 0193b5a0-0000-7000-8000-000000000000"
# Path parameters that are not ids.
MALFORMED: Mapping[str, str] = {"name": f"one of: {', '.join(EnvironmentName)}"}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
# Methods without side effects, whose outcome is never in doubt.
SAFE = ("GET", "HEAD", "OPTIONS")
UNREADABLE = Fault(field="body", message="cannot be read as JSON in UTF-8", pointer="", code="body_unreadable")


class InvalidRequestError(CallerError):
    """A request that its schema alone cannot validate: faults by field, in the format of schema faults."""

    def __init__(self, field: str, message: str, *, code: str, in_body: bool = True) -> None:
        super().__init__("Invalid request parameters")
        self.fault = Fault(field=field, message=message, pointer=f"/{field}" if in_body else None, code=code)


class MalformedIdError(NotFoundError):
    """An id in the path is malformed: 404 as for an unknown id, with another message."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the address is a good one, but {_listed(names)} in it: nothing can have such an id")
        self.faults = [
            Fault(field=name, message=f"must be {MALFORMED.get(name, AN_ID)}", pointer=None, code="id_malformed")
            for name in names
        ]


class UnauthenticatedError(CallerError):
    """Unauthenticated: 401 with a challenge (RFC 6750, 3)."""

    default_code = ErrorCode.AUTHENTICATION_FAILED

    def __init__(self, message: str, *, token_was_given: bool) -> None:
        super().__init__(message)
        self.challenge = 'Bearer realm="delivery-engine"' + (', error="invalid_token"' if token_was_given else "")


class TooOftenError(CallerError):
    """An operation with its own limit was tried too often: 429.

    Args:
        retry_after_s: whole seconds until the next attempt is accepted.
        message: what is limited, and what to do; empty: the message of the rate limits.
    """

    default_code = ErrorCode.RATE_LIMIT_EXCEEDED

    def __init__(self, retry_after_s: int, message: str = "") -> None:
        super().__init__(message or "tried too often")
        self.retry_after_s = retry_after_s
        self.told = message


def install(
    app: FastAPI,
    authenticate: Callable[[Request, Any], Awaitable[object]],
    asks_who: Callable[[Dependant], bool],
) -> None:
    """Make an application answer every error in the envelope.

    Args:
        app: the application.
        authenticate: authenticates a request. FastAPI parses the body first, but unauthenticated callers must not see
            its faults..
        asks_who: whether a route requires authentication.
    """

    async def on_schema_fault(request: Request, error: Exception) -> Response:
        broken = isinstance(error, RequestValidationError) and _is_broken_json(error)
        return (await stranger(request) if broken else None) or await _on_schema_fault(request, error)

    async def on_http_exception(request: Request, error: Exception) -> Response:
        # FastAPI answers 400 only for a body that it cannot decode at all.
        broken = isinstance(error, HTTPException) and error.status_code == STATUS[ErrorCode.VALIDATION_ERROR]
        return (await stranger(request) if broken else None) or await _on_http_exception(request, error)

    async def stranger(request: Request) -> Response | None:
        dependant = getattr(request.scope.get("route"), "dependant", None)
        if dependant is not None and not asks_who(dependant):  # also for an unknown path
            return None
        try:
            await authenticate(request, request.app.state.parts)
        except UnauthenticatedError as unknown:
            return await _on_delivery_error(request, unknown)
        return None

    app.add_exception_handler(DeliveryError, _on_delivery_error)
    app.add_exception_handler(RequestValidationError, on_schema_fault)
    app.add_exception_handler(HTTPException, on_http_exception)


def error_response(
    request: Request,
    status: int,
    code: ErrorCode,
    message: str,
    *,
    details: Sequence[Fault] | Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error in its envelope, or as a problem if the client asks for that."""
    meta = meta_of(request)
    told = {"Vary": "Accept", **(headers or {})}
    listed = faults_of(message, details, code.lower()) if isinstance(details, Mapping) else list(details or ())
    if wants_problem(request):
        found = problem(request, status, code, message, details=listed or None, warnings=meta.warnings)
        return json_response(found, status, told, media_type=PROBLEM)
    error = ErrorBody(code=code, message=message, details=listed or None)
    return json_response(ErrorEnvelope(success=False, status=status, error=error, meta=meta), status, told)


def limited_response(request: Request, retry_after_s: int, message: str = "") -> Response:
    """The contract's answer for rate-limited requests."""
    told = {"Retry-After": str(retry_after_s), "Vary": "Accept"}
    status, code = STATUS[ErrorCode.RATE_LIMIT_EXCEEDED], ErrorCode.RATE_LIMIT_EXCEEDED
    message = message or f"You have exceeded the rate limit. Please retry after {retry_after_s} seconds."
    if wants_problem(request):
        return error_response(request, status, code, message, headers=told)
    meta = meta_of(request)
    resets_at = (meta.timestamp + timedelta(seconds=retry_after_s)).replace(microsecond=0)
    limited = LimitedMeta(**meta.model_dump(), retry_after=retry_after_s, limit_resets_at=resets_at)
    error = ErrorBody(code=code, message=message)
    return json_response(LimitedEnvelope(success=False, status=status, error=error, meta=limited), status, told)


def unexpected(request: Request) -> Response:
    """The answer to an internal error: the cause is only in the log, under the request's id."""
    return error_response(
        request,
        500,
        ErrorCode.INTERNAL_ERROR,
        "something went wrong on our side; try again, and give the request id when you report it",
    )


def status_of(error: DeliveryError) -> int:
    """The HTTP status of an error of the domain's tree."""
    if error.code in STATUS:
        return STATUS[error.code]
    if isinstance(error, ConflictError):
        return 409
    if isinstance(error, DependencyError):
        return 503
    return 400 if isinstance(error, CallerError) else 500


async def _on_delivery_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, DeliveryError):
        raise error
    return answer_of(request, error)


def answer_of(request: Request, error: DeliveryError) -> Response:
    """The answer to an error of the domain's tree."""
    if isinstance(error, TooOftenError):
        return limited_response(request, error.retry_after_s, error.told)
    if isinstance(error, UnknownOutcomeError) and request.method in SAFE:
        error = DependencyError("the database does not answer; try again shortly")
    status = status_of(error)
    if status == STATUS[ErrorCode.INTERNAL_ERROR]:
        log.error("http.unexpected", exc_info=error)
        return unexpected(request)
    headers = {}
    if isinstance(error, DependencyError):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = error.challenge
    details = _faults_of(error) or error.details
    message = "Invalid request parameters" if isinstance(error, CursorError) else error.message
    return error_response(request, status, error.code, message, details=details, headers=headers)


def _faults_of(error: DeliveryError) -> list[Fault]:
    if isinstance(error, CursorError):
        return [Fault(field="cursor", message=error.message, pointer=None, code="cursor_invalid")]
    if isinstance(error, MalformedIdError):
        return error.faults
    return [error.fault] if isinstance(error, InvalidRequestError) else []


def _listed(names: Sequence[str]) -> str:
    return f"{names[0]} is malformed" if len(names) == 1 else f"{', '.join(names)} are malformed"


def no_address(request: Request) -> str:
    """404 for an unknown path."""
    return f"there is no address {request.url.path[:200]} in this API; all there are stand at /docs"


async def _on_schema_fault(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    found = error.errors()
    if malformed := [str(fault["loc"][1]) for fault in found if fault["loc"][0] == "path"]:
        return await _on_delivery_error(request, MalformedIdError(malformed))
    faults = [_fault(fault) for fault in found]
    return error_response(request, 400, ErrorCode.VALIDATION_ERROR, "Invalid request parameters", details=faults)


def _is_broken_json(error: RequestValidationError) -> bool:
    return any(fault["type"] == "json_invalid" for fault in error.errors())


def _fault(error: Mapping[str, Any]) -> Fault:
    where, *path = error["loc"]
    if error["type"] == "json_invalid":
        message = f"the body is not JSON: it cannot be read from character {path[0] if path else 0} on"
        return Fault(field="body", message=message, pointer="", code="json_invalid")
    pointer = None
    if where == "body":
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    name = ".".join(str(part) for part in path) or str(where)
    return Fault(field=name[:500], message=words_of(error)[:1000], pointer=pointer, code=error["type"])


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    # Raised by the framework, with its own message.
    status, headers, message = error.status_code, dict(error.headers or {}), "this cannot be done"
    if status == STATUS[ErrorCode.VALIDATION_ERROR]:
        message = "Invalid request parameters"
    if status == STATUS[ErrorCode.RESOURCE_NOT_FOUND]:
        message = no_address(request)
    if status == STATUS[ErrorCode.METHOD_NOT_ALLOWED]:
        headers["Allow"] = ", ".join(allowed_methods(request))
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers)
        message = f"{request.method} is not possible here; allowed: {headers['Allow']}"
    details = [UNREADABLE] if status == STATUS[ErrorCode.VALIDATION_ERROR] else None
    code = CODE_OF_STATUS.get(status, ErrorCode.INTERNAL_ERROR)
    return error_response(request, status, code, message, details=details, headers=headers)


def allowed_methods(request: Request) -> list[str]:
    """The methods of all routes for this path; the router itself only reports those of the first one."""
    routes = request.app.routes

    def taken(method: str) -> bool:
        return any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)

    found = [method for method in METHODS if taken(method)]
    return [*found[:1], "HEAD", *found[1:], "OPTIONS"] if found[:1] == ["GET"] else [*found, "OPTIONS"]
