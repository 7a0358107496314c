"""Answers: the errors of each operation, their schemas, and headers."""

import copy
import json
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from api.http.envelope import TAGGED, LimitedEnvelope
from api.http.etags import MAX_HEADER
from api.http.problem_details import TITLES, Problem
from api.openapi.samples import META
from api.openapi.traversal import Json, operations, target
from api.rate_limits.middleware import is_unlimited
from domain.errors import ErrorCode

ERRORS: dict[int, tuple[str, str, list[tuple[ErrorCode, str]]]] = {
    400: (
        "BadRequest",
        "What was sent is not valid, or not possible in the present state",
        [
            (ErrorCode.VALIDATION_ERROR, "Invalid request parameters"),
            (ErrorCode.INVALID_STATE, "the deployment is rolled_back; there is nothing to roll back"),
        ],
    ),
    401: ("Unauthorized", "No credentials, or no good ones", [(ErrorCode.AUTHENTICATION_FAILED, "no credentials")]),
    403: (
        "Forbidden",
        "A permission is missing, or a quota is used up",
        [
            (ErrorCode.AUTHORIZATION_DENIED, "this needs the permission deployments:write"),
            (ErrorCode.QUOTA_EXCEEDED, "the organization has as many projects as its plan allows"),
        ],
    ),
    404: (
        "NotFound",
        "There is nothing here for this caller",
        [(ErrorCode.RESOURCE_NOT_FOUND, "there is nothing at this address")],
    ),
    408: ("RequestTimeout", "The body did not arrive in time", [(ErrorCode.TIMEOUT, "the body did not arrive")]),
    409: (
        "Conflict",
        "It clashes with something that exists or happens",
        [
            (ErrorCode.DUPLICATE_SLUG, "this slug is taken"),
            (ErrorCode.DUPLICATE_RESOURCE, "it exists already"),
            (ErrorCode.CONFLICT, "something else holds it"),
            (ErrorCode.IDEMPOTENCY_IN_PROGRESS, "the first request with this key is still being worked on"),
        ],
    ),
    412: (
        "PreconditionFailed",
        "Somebody changed it since the ETag given was seen",
        [(ErrorCode.PRECONDITION_FAILED, "the resource has changed since; get it again")],
    ),
    413: ("ContentTooLarge", "The body is too large", [(ErrorCode.PAYLOAD_TOO_LARGE, "the body is too large")]),
    415: (
        "UnsupportedMediaType",
        "The body is not application/json",
        [(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "send the body as application/json")],
    ),
    422: (
        "UnprocessableContent",
        "Well formed, but makes no sense",
        [
            (ErrorCode.UNPROCESSABLE, "this makes no sense in the present state"),
            (ErrorCode.IDEMPOTENCY_KEY_REUSED, "this key was used for another request"),
        ],
    ),
    429: (
        "TooManyRequests",
        "The rate limit is exceeded; try again after Retry-After",
        [(ErrorCode.RATE_LIMIT_EXCEEDED, "You have exceeded the rate limit. Please retry after 60 seconds.")],
    ),
    500: (
        "InternalError",
        "A fault of ours; give the request id when you report it",
        [(ErrorCode.INTERNAL_ERROR, "something went wrong on our side")],
    ),
    503: (
        "ServiceUnavailable",
        "Something we depend on does not answer; try again after Retry-After",
        [(ErrorCode.SERVICE_UNAVAILABLE, "the database does not answer")],
    ),
    504: (
        "GatewayTimeout",
        "Something we depend on answered too late",
        [(ErrorCode.TIMEOUT, "it took too long; try again")],
    ),
}
WITH_BODY = (408, 413, 415)
CHANGING = (409, 422)


def _text(words: str, sample: str) -> Json:
    return {"description": words, "schema": {"type": "string", "maxLength": 2048}, "example": sample}


def _count(words: str, sample: int) -> Json:
    return {"description": words, "schema": {"type": "integer"}, "example": sample}


HEADERS: dict[str, Json] = {
    "X-Request-ID": _text("the request's id, as in `meta.request_id`", META["request_id"]),
    "X-RateLimit-Limit": _count("requests allowed in the tightest window; absent where no limit applies", 1000),
    "X-RateLimit-Remaining": _count("requests left in it", 975),
    "X-RateLimit-Reset": _count("when it begins anew, in Unix time", 1698339600),
    "RateLimit-Policy": _text(
        "every limit that applies: requests (q) in so many seconds (w); draft-ietf-httpapi-ratelimit-headers",
        '"minute";q=1000;w=60, "hour";q=50000;w=3600',
    ),
    "RateLimit": _text(
        "what remains (r) of each of them, and in how many seconds it begins anew (t)",
        '"minute";r=975;t=42, "hour";r=49975;t=3402',
    ),
    "Retry-After": _count("seconds to wait before the next try", 5),
    "Location": _text("the absolute address of what was made", "https://api.example.com/v1/deployments/..."),
    "Operation-Location": _text("where to see how far it is", "https://api.example.com/v1/operations/..."),
    "Idempotent-Replayed": _text("`true`: this is the answer given to the first request with this key", "true"),
    "Preference-Applied": _text("which preference was followed (RFC 7240)", "respond-async"),
    "Link": _text("neighbouring pages (RFC 8288)", '<https://api.example.com/v1/projects?page=2>; rel="next"'),
    "Deprecation": _text("since when this should not be used any more (RFC 9745)", "@1767225600"),
    "Sunset": _text("when it stops working (RFC 8594)", "Wed, 01 Jul 2026 00:00:00 GMT"),
    "ETag": _text("the version of the resource, for `If-Match`", '"3a5c7e"'),
    "WWW-Authenticate": _text("how to authenticate (RFC 6750)", 'Bearer realm="delivery-engine"'),
}
IF_NONE_MATCH: Json = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "the ETag last seen: 304 if the resource is still that",
    "schema": {"type": "string", "maxLength": MAX_HEADER},
}
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit")
ALWAYS = ("X-Request-ID", *LIMITS)


def complete_responses(document: Json) -> None:
    """Add all errors to every operation, and headers to every answer."""
    components = document["components"]
    components["schemas"]["Problem"] = Problem.model_json_schema()
    _, limited = models_json_schema([(LimitedEnvelope, "serialization")], ref_template="#/components/schemas/{model}")
    components["schemas"].update(limited["$defs"])
    components["responses"] = {name: _error(status) for status, (name, _, _) in ERRORS.items()}
    components["headers"] = copy.deepcopy(HEADERS)
    for path, method, operation in operations(document):
        _complete(document, path, method, operation)
    _drop_unused(document, "responses")
    _drop_unused(document, "headers")


def _complete(document: Json, path: str, method: str, operation: Json) -> None:
    """A route's own answers are kept, except errors in the envelope, which are the same everywhere."""
    own = {int(status): answer for status, answer in operation["responses"].items() if not _is_shared(answer)}
    for status, answer in own.items():
        tagged = _is_resource(document, answer) and status in TAGGED.get(method.upper(), ())
        tagged = tagged or "ETag" in answer.get("headers", {})  # a document that is answered as it is
        _describe(status, answer)
        _set_headers(document, path, operation, status, answer, tagged=tagged)
        if tagged and method == "get":
            operation.setdefault("parameters", []).append(copy.deepcopy(IF_NONE_MATCH))
    if any(parameter["name"] == "If-None-Match" for parameter in operation.get("parameters", [])):
        own[304] = {"description": "Not modified", "headers": _references("ETag", *ALWAYS)}
    shared = {status: _reference("responses", ERRORS[status][0]) for status in _statuses(path, method, operation)}
    operation["responses"] = {str(status): answer for status, answer in sorted({**shared, **own}.items())}


def _is_resource(document: Json, answer: Json) -> bool:
    """Whether an answer is one resource in its envelope, for which `api.http.envelope.reply` sets a tag."""
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    data = target(document, schema).get("properties", {}).get("data", {})
    return target(document, data).get("type") == "object"


def _is_shared(answer: Json) -> bool:
    kinds = answer.get("content", {}).values()
    return any(str(media.get("schema", {}).get("$ref")).endswith("/ErrorEnvelope") for media in kinds)


def _drop_unused(document: Json, kind: str) -> None:
    text = json.dumps(document)
    parts = document["components"][kind]
    document["components"][kind] = {
        name: part for name, part in parts.items() if f'"#/components/{kind}/{name}"' in text
    }


def _takes(operation: Json, name: str) -> bool:
    return any(parameter["name"] == name for parameter in operation.get("parameters", []))


def _statuses(path: str, method: str, operation: Json) -> list[int]:
    """Statuses of the errors that an operation can give."""
    if not operation["security"] and "requestBody" not in operation:
        return [500, 503] if is_unlimited(path) else [429, 500, 503]
    found = [400, 401, 403, 429, 500, 503, 504]
    # Without credentials, the token in the body that replaces them may be unknown.
    found += [404] if "{" in path or _takes(operation, "cursor") or not operation["security"] else []
    found += WITH_BODY if "requestBody" in operation else []
    found += CHANGING if _takes(operation, "Idempotency-Key") else []
    found += [409] if method == "delete" else []
    found += [412] if _takes(operation, "If-Match") else []
    found += [422] if _takes(operation, "aggregation") else []  # too fine for its range
    return sorted(set(found))


def _describe(status: int, answer: Json) -> None:
    if answer["description"] == "Successful Response":
        answer["description"] = HTTPStatus(status).phrase


def _set_headers(document: Json, path: str, operation: Json, status: int, answer: Json, *, tagged: bool) -> None:
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    takes_long = "202" in operation["responses"]
    wanted = {
        "Location": status in {201, 202},
        "Operation-Location": takes_long and status in {201, 202},
        "Retry-After": status in {202, 503},
        "Idempotent-Replayed": _takes(operation, "Idempotency-Key"),
        "Preference-Applied": _takes(operation, "Prefer"),
        "ETag": tagged,
        "Deprecation": operation.get("deprecated", False),
        "Sunset": operation.get("deprecated", False),
        "Link": operation.get("deprecated", False) or "pagination" in target(document, schema).get("properties", {}),
    }
    always = ("X-Request-ID",) if is_unlimited(path) else ALWAYS
    names = (*always, *(name for name, is_sent in wanted.items() if is_sent))
    answer["headers"] = {**_references(*names), **answer.get("headers", {})}


def _references(*names: str) -> Json:
    return {name: _reference("headers", name) for name in names}


def _reference(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _error(status: int) -> Json:
    _, text, codes = ERRORS[status]
    names = list(ALWAYS)
    names += ["Retry-After"] if status in {429, 503, 504} else []
    names += ["WWW-Authenticate"] if status == 401 else []  # noqa: PLR2004 - the status itself is the name
    envelopes = {str(code): {"summary": message, "value": _sample(status, code, message)} for code, message in codes}
    code, message = codes[0]
    problem = _problem(status, code, message)
    schema = "LimitedEnvelope" if code is ErrorCode.RATE_LIMIT_EXCEEDED else "ErrorEnvelope"
    return {
        "description": text,
        "headers": _references(*names),
        "content": {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}, "examples": envelopes},
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "example": problem},
        },
    }


def _problem(status: int, code: ErrorCode, message: str) -> Json:
    return {
        "type": f"urn:delivery-engine:problem:{code.lower().replace('_', '-')}",
        "title": TITLES[code],
        "status": status,
        "detail": message,
        "instance": "/v1/projects",
        "code": str(code),
        "errors": None,
        "details": None,
        "request_id": META["request_id"],
    }


def _sample(status: int, code: ErrorCode, message: str) -> Json:
    error: dict[str, Any] = {"code": str(code), "message": message}
    if code is ErrorCode.VALIDATION_ERROR:
        fault = {"field": "email", "message": "Email format invalid", "pointer": "/email", "code": "value_error"}
        error["details"] = [fault]
    limited = {"retry_after": 60, "limit_resets_at": "2024-10-26T10:31:00Z"}
    meta = {**META, **limited} if code is ErrorCode.RATE_LIMIT_EXCEEDED else META
    return {"success": False, "status": status, "error": error, "meta": meta}
