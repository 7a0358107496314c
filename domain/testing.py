"""Test cases and their results: the words of the contract, and what makes no sense in them."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from domain.errors import CallerError, ErrorCode, UnprocessableError

MAX_LOG_ENTRIES = 100
MAX_LOG_BYTES = 64 * 1024


class TestType(StrEnum):
    """The contract's kinds of tests."""

    __test__ = False

    UNIT = "unit"
    INTEGRATION = "integration"
    E2E = "e2e"
    PERFORMANCE = "performance"
    SECURITY = "security"


class ResultStatus(StrEnum):
    """How a test ended. `error`: the test itself could not be carried out."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    ERROR = "error"


def check_steps(numbers: Sequence[int]) -> None:
    """Whether steps are numbered 1 and upwards, each higher than the one before; numbers may be left out.

    Raises:
        UnprocessableError: they are not; names the first step that is wrong.
    """
    if numbers[0] != 1:
        raise _misnumbered(0, f"the first step is number {numbers[0]}; it must be number 1")
    for index, (before, after) in enumerate(pairwise(numbers), start=1):
        if after <= before:
            raise _misnumbered(index, f"step number {after} comes after {before}; numbers must rise")


def check_assertions(*, run: int, passed: int, failed: int) -> None:
    """Whether every assertion that was run passed or failed.

    Raises:
        UnprocessableError: the sum is another one.
    """
    if run != passed + failed:
        raise UnprocessableError(
            f"assertions_run is {run}, but {passed} passed and {failed} failed, which makes {passed + failed}",
            details={"field": "assertions_run", "given": run, "expected": passed + failed},
        )


def check_outcome(status: ResultStatus, failed: int) -> None:
    """Whether the status agrees with the assertions: what passed has none that failed.

    Raises:
        UnprocessableError: it passed, and some failed.
    """
    if status is ResultStatus.PASSED and failed:
        raise UnprocessableError(
            f"status is passed, but assertions_failed is {failed}; a test with failed assertions has failed",
            details={"field": "status", "given": str(status), "assertions_failed": failed},
        )


def check_log_size(size: int) -> None:
    """Whether logs are small enough; `size` is their length in bytes as JSON in UTF-8.

    Raises:
        CallerError: PAYLOAD_TOO_LARGE.
    """
    if size > MAX_LOG_BYTES:
        raise CallerError(
            f"logs are {size} bytes as JSON; at most {MAX_LOG_BYTES} are kept with a result. Send their end, or a link",
            code=ErrorCode.PAYLOAD_TOO_LARGE,
            details={"field": "logs", "given_bytes": size, "max_bytes": MAX_LOG_BYTES},
        )


def _misnumbered(index: int, message: str) -> UnprocessableError:
    return UnprocessableError(message, details={"field": f"steps.{index}.step_number"})
