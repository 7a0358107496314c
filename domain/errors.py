"""The error tree. Every fault the engine knows belongs to one of four families.

    DeliveryError                 code, message (says what to do), details
    |-- CallerError               the caller's fault: 4xx, never retried
    |   |-- NotFoundError
    |   |-- ForbiddenError
    |   `-- UnprocessableError    well formed, but makes no sense
    |-- ConflictError             the state of things forbids it now: 409, or 400 for INVALID_STATE
    |-- DependencyError           something we need does not answer: 503, retried
    `-- TerminalError             what was asked for cannot succeed: the operation fails with this code

Mapped once per boundary: `activities/failures.py` (to Temporal) and `api/http/errors.py` (to HTTP).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar


class ErrorCode(StrEnum):
    """Every code that clients can see. The HTTP ones are the contract's, the others end an operation."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    AUTHENTICATION_FAILED = "AUTHENTICATION_FAILED"
    AUTHORIZATION_DENIED = "AUTHORIZATION_DENIED"
    RESOURCE_NOT_FOUND = "RESOURCE_NOT_FOUND"
    DUPLICATE_RESOURCE = "DUPLICATE_RESOURCE"
    DUPLICATE_SLUG = "DUPLICATE_SLUG"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    TIMEOUT = "TIMEOUT"
    INVALID_STATE = "INVALID_STATE"
    CONFLICT = "CONFLICT"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    ORGANIZATION_NOT_ACTIVE = "ORGANIZATION_NOT_ACTIVE"
    PRECONDITION_FAILED = "PRECONDITION_FAILED"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    UNPROCESSABLE = "UNPROCESSABLE"
    INTERNAL_ERROR = "INTERNAL_ERROR"

    SOURCE_NOT_FOUND = "SOURCE_NOT_FOUND"
    SOURCE_REF_NOT_FOUND = "SOURCE_REF_NOT_FOUND"
    SOURCE_FORBIDDEN = "SOURCE_FORBIDDEN"
    SOURCE_TOO_LARGE = "SOURCE_TOO_LARGE"
    SOURCE_PATH_NOT_FOUND = "SOURCE_PATH_NOT_FOUND"
    SPEC_INVALID = "SPEC_INVALID"
    SPEC_MISSING = "SPEC_MISSING"
    SECRET_MISSING = "SECRET_MISSING"  # noqa: S105 - the name of a fault
    BUILD_FAILED = "BUILD_FAILED"
    BUILD_TIMEOUT = "BUILD_TIMEOUT"
    BUILD_OUTPUT_LIMIT = "BUILD_OUTPUT_LIMIT"
    BUILD_MEMORY_LIMIT = "BUILD_MEMORY_LIMIT"
    BUILD_PROCESS_LIMIT = "BUILD_PROCESS_LIMIT"
    BUILD_DISK_LIMIT = "BUILD_DISK_LIMIT"
    BUILD_ISOLATION_UNAVAILABLE = "BUILD_ISOLATION_UNAVAILABLE"
    TESTS_FAILED = "TESTS_FAILED"
    TEST_REPORT_INVALID = "TEST_REPORT_INVALID"
    COVERAGE_TOO_LOW = "COVERAGE_TOO_LOW"
    SCAN_FAILED = "SCAN_FAILED"
    SCAN_POLICY_VIOLATED = "SCAN_POLICY_VIOLATED"
    PROVENANCE_INVALID = "PROVENANCE_INVALID"
    ARTIFACT_EMPTY = "ARTIFACT_EMPTY"
    ARTIFACT_TOO_LARGE = "ARTIFACT_TOO_LARGE"
    ARTIFACT_INVALID = "ARTIFACT_INVALID"
    ARTIFACT_UNAVAILABLE = "ARTIFACT_UNAVAILABLE"
    VERSION_TAG_TAKEN = "VERSION_TAG_TAKEN"
    INSTANCE_EXITED = "INSTANCE_EXITED"
    INSTANCE_UNHEALTHY = "INSTANCE_UNHEALTHY"
    INSTANCE_WRONG_PORT = "INSTANCE_WRONG_PORT"
    INSTANCE_MEMORY_LIMIT = "INSTANCE_MEMORY_LIMIT"
    INSTANCE_PROCESS_LIMIT = "INSTANCE_PROCESS_LIMIT"
    INSTANCE_DISK_LIMIT = "INSTANCE_DISK_LIMIT"
    RELEASE_COMMAND_FAILED = "RELEASE_COMMAND_FAILED"
    NO_FREE_PORT = "NO_FREE_PORT"
    ROUTE_REJECTED = "ROUTE_REJECTED"
    TRAFFIC_UNVERIFIED = "TRAFFIC_UNVERIFIED"
    PREVIEW_FAILED = "PREVIEW_FAILED"
    STABLE_UNHEALTHY = "STABLE_UNHEALTHY"
    ANALYSIS_FAILED = "ANALYSIS_FAILED"
    PROGRESS_DEADLINE_EXCEEDED = "PROGRESS_DEADLINE_EXCEEDED"
    ROLLED_BACK = "ROLLED_BACK"
    NOTHING_TO_ROLL_BACK = "NOTHING_TO_ROLL_BACK"
    CANCELLED = "CANCELLED"
    SUPERSEDED = "SUPERSEDED"
    DISK_FULL = "DISK_FULL"
    ORCHESTRATION_LOST = "ORCHESTRATION_LOST"


class DeliveryError(Exception):
    """Base of the tree.

    Args:
        message: what happened and what to do about it, for users.
        code: machine-readable; the class has a default.
        details: JSON-safe facts (bounded text, never secrets).
    """

    default_code: ClassVar[ErrorCode] = ErrorCode.INTERNAL_ERROR

    def __init__(
        self, message: str, *, code: ErrorCode | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.details: dict[str, Any] = dict(details or {})


class CallerError(DeliveryError):
    """The caller's fault; the same request would fail again."""

    default_code = ErrorCode.VALIDATION_ERROR


class NotFoundError(CallerError):
    """The resource does not exist, or not for this caller."""

    default_code = ErrorCode.RESOURCE_NOT_FOUND


class ForbiddenError(CallerError):
    """The caller may not do this."""

    default_code = ErrorCode.AUTHORIZATION_DENIED


class UnprocessableError(CallerError):
    """Well formed, but invalid in its meaning."""

    default_code = ErrorCode.UNPROCESSABLE


class ConflictError(DeliveryError):
    """The present state does not allow it; the message names the state and the allowed actions."""

    default_code = ErrorCode.CONFLICT


class DependencyError(DeliveryError):
    """A dependency does not answer. Retryable.

    Args:
        retry_after_s: seconds after which a retry makes sense.
    """

    default_code = ErrorCode.SERVICE_UNAVAILABLE

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after_s: int = 2,
    ) -> None:
        super().__init__(message, code=code, details=details)
        self.retry_after_s = retry_after_s


class UnknownOutcomeError(DependencyError):
    """The connection broke during the commit: it is unknown whether the change was applied."""

    default_code = ErrorCode.TIMEOUT


class TerminalError(DeliveryError):
    """The request cannot succeed; the operation ends as failed with this code."""

    default_code = ErrorCode.INTERNAL_ERROR
