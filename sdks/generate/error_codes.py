"""The classes of errors: one for each status, below them one for each code that an answer has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from sdks.generate.description import Api

OF_STATUS: Final[Mapping[int, str]] = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    408: "RequestTimeoutError",
    409: "ConflictError",
    412: "PreconditionFailedError",
    413: "ContentTooLargeError",
    415: "UnsupportedMediaTypeError",
    422: "UnprocessableContentError",
    429: "RateLimitError",
}
# Where the rule's name is a language's own, or reads badly.
NAMES: Final[Mapping[str, str]] = {"TIMEOUT": "GatewayTimeoutError", "INTERNAL_ERROR": "InternalError"}


@dataclass(frozen=True)
class ErrorClass:
    """The class of a code; `name` equals `base` where the code has none of its own."""

    code: str
    name: str
    base: str
    status: int
    meaning: str


def error_classes(api: Api) -> Sequence[ErrorClass]:
    """Those of the codes that answers have; codes that only end operations have none."""
    codes = api.document["components"]["schemas"]["ErrorBody"]["x-error-codes"]
    return [
        ErrorClass(code, name_of(code), base_of(one["status"]), one["status"], one["meaning"])
        for code, one in sorted(codes.items())
        if one["status"]
    ]


def name_of(code: str) -> str:
    """`IDEMPOTENCY_IN_PROGRESS` is `IdempotencyInProgressError`, `VALIDATION_ERROR` is `ValidationError`."""
    words = code.removesuffix("_ERROR").split("_")
    return NAMES.get(code, "".join(word.capitalize() for word in words) + "Error")


def base_of(status: int) -> str:
    """The class of a status."""
    return OF_STATUS.get(status, "InternalServerError" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "APIError")
