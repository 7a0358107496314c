"""Vulnerabilities: what scans found in a project, and what people decided about it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from domain.errors import ConflictError, ErrorCode, ForbiddenError, UnprocessableError
from domain.findings import Severity

MAX_SUPPRESSION: Final = timedelta(days=365)
# So long, and below `critical`, `security:write` suffices.
SUPPRESSED_BY_WRITERS: Final = timedelta(days=90)
LEAST_SUPPRESSION: Final = timedelta(minutes=1)
MAX_NOTE: Final = 4_000
# New findings of one scan of which the world is told at once, the worst first; of the others it is told by and by.
TOLD_AT_ONCE: Final = 100

# Sorts: the worst last, so that "descending" shows it first. What has no score may be bad: above `low`.
RANKS: Final[Mapping[Severity, int]] = {
    Severity.CRITICAL: 5,
    Severity.HIGH: 4,
    Severity.MEDIUM: 3,
    Severity.UNKNOWN: 2,
    Severity.LOW: 1,
}
SEVERITY_OF_RANK: Final[Mapping[int, Severity]] = {rank: severity for severity, rank in RANKS.items()}


class VulnerabilityStatus(StrEnum):
    """Where a vulnerability stands. All but suppressed and fixed ones count."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SUPPRESSED = "suppressed"
    FIXED = "fixed"


class TriageStatus(StrEnum):
    """What people decide; that something is fixed only a scan says."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SUPPRESSED = "suppressed"


class SuppressionReason(StrEnum):
    """Why a vulnerability does not count."""

    FALSE_POSITIVE = "false_positive"
    NOT_AFFECTED = "not_affected"
    MITIGATED = "mitigated"
    ACCEPTED_RISK = "accepted_risk"


def status_at(status: str, expires_at: datetime | None, moment: datetime) -> VulnerabilityStatus:
    """The status at a moment: a suppression ends by itself, and what was suppressed is open again."""
    if status == VulnerabilityStatus.SUPPRESSED and (expires_at is None or expires_at <= moment):
        return VulnerabilityStatus.OPEN
    return VulnerabilityStatus(status)


def check_triage(before: VulnerabilityStatus, after: TriageStatus) -> None:
    """Raise `ConflictError(INVALID_STATE)` for one that is fixed: found again, it is open by itself."""
    if before is VulnerabilityStatus.FIXED:
        raise ConflictError(
            f"the vulnerability is fixed: the newest scan did not find it, so it cannot become {after}; "
            "when a scan finds it again, it is open again",
            code=ErrorCode.INVALID_STATE,
            details={"state": before, "asked": after, "allowed": []},
        )


def check_suppression(*, severity: Severity, expires_at: datetime, moment: datetime, is_admin: bool) -> None:
    """Whether a vulnerability may be left out of the count until a moment.

    Args:
        severity: a critical one is suppressed by those with `security:admin` only.
        expires_at: with its offset from UTC.
        moment: now.
        is_admin: whether who asks has `security:admin`.

    Raises:
        UnprocessableError: it would be over already, or last too long.
        ForbiddenError: this needs `security:admin`.
    """
    left = expires_at - moment
    if left < LEAST_SUPPRESSION:
        raise UnprocessableError(
            "suppression.expires_at must be in the future, by a minute at least", details=_field("expires_at")
        )
    if left > MAX_SUPPRESSION:
        raise UnprocessableError(
            f"suppression.expires_at must be within {MAX_SUPPRESSION.days} days; suppress it again when that is over",
            details=_field("expires_at"),
        )
    if is_admin:
        return
    if severity is Severity.CRITICAL:
        raise _for_admins("suppressing a critical vulnerability")
    if left > SUPPRESSED_BY_WRITERS:
        raise _for_admins(f"suppressing a vulnerability for more than {SUPPRESSED_BY_WRITERS.days} days")


def _for_admins(what: str) -> ForbiddenError:
    return ForbiddenError(
        f"{what} needs the permission security:admin, which you do not have",
        details={"missing_permission": ["security:admin"]},
    )


def _field(name: str) -> dict[str, str]:
    return {"field": f"suppression.{name}"}
