"""Problem details (RFC 9457) for clients with `Accept: application/problem+json`; else the envelope."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from fastapi import Request
from pydantic import BaseModel

from domain.errors import ErrorCode

PROBLEM = "application/problem+json"
ENVELOPE = "application/json"

TITLES: Mapping[ErrorCode, str] = {
    ErrorCode.VALIDATION_ERROR: "The request is not valid",
    ErrorCode.INVALID_STATE: "Not possible in the present state",
    ErrorCode.AUTHENTICATION_FAILED: "No credentials, or no good ones",
    ErrorCode.AUTHORIZATION_DENIED: "A permission is missing",
    ErrorCode.QUOTA_EXCEEDED: "A quota is used up",
    ErrorCode.ORGANIZATION_NOT_ACTIVE: "The organization is suspended or inactive",
    ErrorCode.RESOURCE_NOT_FOUND: "There is nothing here",
    ErrorCode.METHOD_NOT_ALLOWED: "The method is not possible here",
    ErrorCode.CONFLICT: "It clashes with the present state",
    ErrorCode.DUPLICATE_RESOURCE: "It exists already",
    ErrorCode.DUPLICATE_SLUG: "The slug is taken",
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: "The first request with this key is still being worked on",
    ErrorCode.IDEMPOTENCY_KEY_REUSED: "The key was used for another request",
    ErrorCode.PRECONDITION_FAILED: "The resource was changed meanwhile",
    ErrorCode.PAYLOAD_TOO_LARGE: "The request is too large",
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: "The body is of a kind that is not taken",
    ErrorCode.UNPROCESSABLE: "Well formed, but makes no sense",
    ErrorCode.RATE_LIMIT_EXCEEDED: "Too many requests",
    ErrorCode.INTERNAL_ERROR: "Something went wrong on our side",
    ErrorCode.SERVICE_UNAVAILABLE: "Something we depend on does not answer",
    ErrorCode.TIMEOUT: "It took too long",
}


class Problem(BaseModel):
    """RFC 9457, with our code, the faults or facts of the envelope (under both names), and the request's id."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    errors: list[Any] | None
    details: list[Any] | None
    request_id: str
    warnings: list[str] | None = None


def problem(
    request: Request, status: int, code: str, message: str, *, details: Any, warnings: list[str] | None
) -> Problem:
    """A problem of this request. Its type is a name, not a URL: the documentation lists the codes."""
    known = ErrorCode(code)
    return Problem(
        type=f"urn:delivery-engine:problem:{code.lower().replace('_', '-')}",
        title=TITLES.get(known, code.capitalize().replace("_", " ")),
        status=status,
        detail=message,
        instance=quote(request.url.path),
        code=code,
        errors=details,
        details=details,
        request_id=request.state.request_id,
        warnings=warnings,
    )


def wants_problem(request: Request) -> bool:
    """Whether problem+json is accepted with at least the weight of application/json."""
    weights = accepted_weights(request)
    return weights.get(PROBLEM, 0.0) > 0 and weights[PROBLEM] >= weights.get(ENVELOPE, 0.0)


def accepted_weights(request: Request) -> dict[str, float]:
    """The media types of `Accept` in its order, in lower case, each with its weight; 0: not wanted."""
    accepted = ",".join(request.headers.getlist("accept")).lower()
    return dict(_range(one) for one in accepted.split(","))


def _range(text: str) -> tuple[str, float]:
    kind, *parameters = (part.strip() for part in text.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return kind, _weight(value.strip())
    return kind, 1.0


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
