"""Errors that have no code of the API: see `ai_agents.errors` for all of them.

AIAgentsError
├── APIConnectionError            no answer, or not a whole one
│   └── APITimeoutError           a try took longer than `timeout`
├── InvalidResponseError          a success whose body is not the API's JSON
├── APIError                      the API refused; one class per status, below them one per code
├── OperationFailedError          an operation ended otherwise than well
├── OperationTimeoutError         it is still running
└── WebhookVerificationError      a webhook's signature, time or headers are not right
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ai_agents.models import Operation


class AIAgentsError(Exception):
    """The root of all errors of this SDK."""

    @property
    def message(self) -> str:
        """What happened, and what to do."""
        return str(self)


class APIConnectionError(AIAgentsError):
    """There was no answer, or not a whole one.

    Attributes:
        retryable: whether the same request may work in a moment; a certificate that is wrong stays wrong.
        unsent: whether nothing of the request has reached the server.
    """

    def __init__(self, message: str, *, retryable: bool = True, unsent: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.unsent = unsent


class APITimeoutError(APIConnectionError):
    """A try took longer than `timeout`."""


class InvalidResponseError(AIAgentsError):
    """A success whose body is not the API's JSON: a proxy's page, say.

    Attributes:
        status: its HTTP status.
        content_type: of its body.
        excerpt: the first 200 characters of its body.
    """

    def __init__(self, message: str, *, status: int, content_type: str, excerpt: str) -> None:
        super().__init__(message)
        self.status = status
        self.content_type = content_type
        self.excerpt = excerpt


class APIError(AIAgentsError):
    """The API refused a request.

    Attributes:
        status: its HTTP status.
        code: the API's word for it, such as `RESOURCE_NOT_FOUND`; None if the answer came from something else.
        details: faults by field, or facts: objects with `field` and `message`.
        request_id: what to tell the operators.
        retry_after: seconds after which it may work, if the server said so.
        headers: of the answer, with names in lower case.
    """

    retryable: ClassVar[bool] = False
    """Whether the same request may work later."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        details: Sequence[Mapping[str, Any]] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = list(details)
        self.request_id = request_id
        self.retry_after = retry_after
        self.headers = dict(headers or {})


class BadRequestError(APIError):
    """400: the request is not valid."""


class AuthenticationError(APIError):
    """401: the key, the token or the client's secret is wrong, expired or revoked."""


class PermissionDeniedError(APIError):
    """403: these credentials may not do that."""


class NotFoundError(APIError):
    """404: it does not exist, or not for these credentials."""


class RequestTimeoutError(APIError):
    """408: the request came too slowly."""

    retryable = True


class ConflictError(APIError):
    """409: it conflicts with the present state or another resource."""


class PreconditionFailedError(APIError):
    """412: `if_match` names an older state."""


class ContentTooLargeError(APIError):
    """413: the request is too large."""


class UnsupportedMediaTypeError(APIError):
    """415: the API does not read this kind of body."""


class UnprocessableContentError(APIError):
    """422: well formed, but it makes no sense."""


class RateLimitError(APIError):
    """429: too many requests."""

    retryable = True


class InternalServerError(APIError):
    """5xx: a fault on the server's side."""

    retryable = True


BY_STATUS: Mapping[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: RequestTimeoutError,
    409: ConflictError,
    412: PreconditionFailedError,
    413: ContentTooLargeError,
    415: UnsupportedMediaTypeError,
    422: UnprocessableContentError,
    429: RateLimitError,
}


def of_status(status: int) -> type[APIError]:
    """The class of a status."""
    return BY_STATUS.get(status, InternalServerError if 500 <= status < 600 else APIError)


class OperationFailedError(AIAgentsError):
    """An operation ended as failed, cancelled or rolled back.

    Attributes:
        operation: as it ended.
    """

    def __init__(self, message: str, operation: Operation) -> None:
        super().__init__(message)
        self.operation = operation

    @property
    def operation_id(self) -> str:
        """The operation's id."""
        return self.operation.operation_id

    @property
    def code(self) -> str | None:
        """The API's word for the reason."""
        return self.operation.error.code if self.operation.error else None

    @property
    def steps(self) -> Sequence[Any]:
        """What was done, and where it stopped."""
        return self.operation.steps


class OperationTimeoutError(AIAgentsError):
    """An operation did not end in time. It is still running: `client.operations.resume(operation_id)`."""

    def __init__(self, message: str, operation_id: str) -> None:
        super().__init__(message)
        self.operation_id = operation_id


class WebhookVerificationError(AIAgentsError):
    """A webhook is not ours, or too old, or its headers are missing."""


class APIDeprecationWarning(FutureWarning):
    """The API will not have this operation, or a part of it, for ever."""
