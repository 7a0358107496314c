"""The one place where the engine's errors become Temporal's."""

import errno
import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from contracts.payload import Payload, bounded
from domain.errors import CallerError, ConflictError, DeliveryError, DependencyError, ErrorCode, TerminalError
from domain.foreign_text import storable_value

log = structlog.get_logger(__name__)

Request = TypeVar("Request", bound=Payload)
Result = TypeVar("Result", bound=Payload)
Method = Callable[[Any, Request], Awaitable[Result]]

MAX_DETAIL = 4096


def translate_errors(method: Method[Request, Result]) -> Method[Request, Result]:
    """Map errors: dependencies are retried, what cannot succeed is not, unknown ones are retried a few times."""

    @functools.wraps(method)
    async def run(self: Any, request: Request) -> Result:
        try:
            return await method(self, request)
        except DependencyError as error:
            raise _failure(error, retryable=True) from error
        except (TerminalError, CallerError, ConflictError) as error:
            raise _failure(error, retryable=False) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise _failure(_disk_full(), retryable=False) from error
            info = activity.info()
            log.exception("activity.unexpected", activity=info.activity_type, attempt=info.attempt)
            raise ApplicationError(
                f"unexpected fault in {info.activity_type}: {type(error).__name__}",
                type=ErrorCode.INTERNAL_ERROR,
                non_retryable=info.attempt >= MAX_UNEXPECTED,
            ) from None

    return run


def failure_of(error: DeliveryError) -> ApplicationError:
    """The same outside of an activity's method; what a dependency does not do may be tried again."""
    return _failure(error, retryable=isinstance(error, DependencyError))


NOT_FOUND = 127


def not_found(exit_code: int | None, searched: str) -> str:
    """More about the code by which a shell says that there is no such program."""
    if exit_code != NOT_FOUND or not searched:
        return ""
    return f": a program was not found; PATH is {searched} (set by DELIVERY_CODE_PATH of the engine)"


# A fault of our own may be a passing one; five times in a row it is not.
MAX_UNEXPECTED = 5
FULL = (errno.ENOSPC, errno.EDQUOT)


def _disk_full() -> TerminalError:
    return TerminalError("the disk of the data folder is full; free space and try again", code=ErrorCode.DISK_FULL)


def _failure(error: DeliveryError, *, retryable: bool) -> ApplicationError:
    details = {
        key: bounded(value, MAX_DETAIL) if isinstance(value, str) else storable_value(value)
        for key, value in error.details.items()
    }
    return ApplicationError(bounded(error.message), details, type=str(error.code), non_retryable=not retryable)
