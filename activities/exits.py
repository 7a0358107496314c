"""The error of a process that does not stay up while its release comes up."""

from collections.abc import Mapping
from typing import Any

from activities.failures import not_found
from contracts.payload import bounded
from domain.errors import ErrorCode, TerminalError
from drivers.targets.base import InstanceStatus

MAX_TAIL = 3000
PASSED_LIMITS: Mapping[str | None, tuple[ErrorCode, str]] = {
    "memory_limit": (ErrorCode.INSTANCE_MEMORY_LIMIT, "used more memory than it may"),
    "process_limit": (ErrorCode.INSTANCE_PROCESS_LIMIT, "had more processes and threads than it may"),
    "disk_limit": (ErrorCode.INSTANCE_DISK_LIMIT, "took more of the disk than it may"),
    **{
        f"{what}_quota": (
            ErrorCode.QUOTA_EXCEEDED,
            f"{took}, the most of its organization's, which together took more than they may ({setting})",
        )
        for what, took, setting in (
            ("memory", "used memory", "DELIVERY_MEMORY_MB_PER_ORGANIZATION"),
            ("disk", "took room on the disk", "DELIVERY_DISK_MB_PER_ORGANIZATION"),
            ("processes", "had processes and threads", "DELIVERY_PROCESSES_PER_ORGANIZATION"),
            ("files", "had files open", "DELIVERY_OPEN_FILES_PER_ORGANIZATION"),
        )
    },
}


def exited(
    status: InstanceStatus,
    tail: str,
    *,
    who: str,
    before: str,
    advice: str = "",
    facts: Mapping[str, Any] | None = None,
) -> TerminalError:
    """The error that tells a user how an instance ended.

    Args:
        status: of the last look.
        tail: the end of its output, masked.
        who: what ended, as the subject of a sentence.
        before: what it did not come to.
        advice: more, beginning with "; ".
        facts: more details.
    """
    output = tail.strip() or "(none)"
    details = {"exit_code": status.exit_code, "restarts": status.restarts, "log_tail": tail, **(facts or {})}
    if status.ended_by in PASSED_LIMITS:
        code, what = PASSED_LIMITS[status.ended_by]
        words = f"{who} {what} and was ended before {before}; see the limits in docs/delivery.md"
    else:
        code = ErrorCode.INSTANCE_EXITED
        words = (
            f"{who} ended by itself with exit code {status.exit_code}{not_found(status.exit_code, status.search_path)} "
            f"({status.restarts} restarts) before {before}{advice}"
        )
    return TerminalError(bounded(f"{words}; its last output: {output}", 2000), code=code, details=details)
