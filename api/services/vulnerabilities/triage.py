"""What people decide about a vulnerability: it is looked at, it does not count for a while, it is open after all."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from api.auth.principal import Principal
from api.http.errors import InvalidRequestError
from api.schemas.vulnerabilities import VulnerabilityPatch
from api.services import audited_writes
from domain.permissions import Scope
from domain.vulnerabilities import (
    SEVERITY_OF_RANK,
    TriageStatus,
    VulnerabilityStatus,
    check_suppression,
    check_triage,
    status_at,
)
from runtime.ids import now
from storage.models import Vulnerability

VERBS = {
    TriageStatus.OPEN: "opened",
    TriageStatus.ACKNOWLEDGED: "acknowledged",
    TriageStatus.SUPPRESSED: "suppressed",
}


async def triage(session: AsyncSession, principal: Principal, row: Vulnerability, body: VulnerabilityPatch) -> None:
    """Write a decision about a locked row, in the caller's transaction.

    Raises:
        InvalidRequestError: a suppression without reason and end, or these without a suppression.
        UnprocessableError: its end has passed, or is too far away.
        ForbiddenError: it needs `security:admin`.
        ConflictError: INVALID_STATE, it is fixed.
    """
    given, moment = body.model_fields_set, now()
    before = status_at(row.status, row.suppressed_until, moment)
    values: dict[str, Any] = {"note": body.note or None} if "note" in given else {}
    action = "updated"
    if given & {"status", "suppression"}:
        after = _wanted(body, before)
        check_triage(before, after)
        values |= _suppressed(principal, row, body) if after is TriageStatus.SUPPRESSED else _counting(after)
        values |= {"triaged_by": principal.subject, "triaged_at": moment}
        action = VERBS[after]
    await audited_writes.change(session, row, values, action=action, reason=body.note or None, rule=row.rule)


def _wanted(body: VulnerabilityPatch, before: VulnerabilityStatus) -> TriageStatus:
    given = body.model_fields_set
    if "status" not in given and before is VulnerabilityStatus.SUPPRESSED:
        wanted = TriageStatus.SUPPRESSED  # another reason or end of what is suppressed anyway
    elif "status" in given:
        wanted = body.status
    else:
        raise InvalidRequestError(
            "status", "must be suppressed, when suppression is given", code="suppression_without_status"
        )
    if wanted is TriageStatus.SUPPRESSED and body.suppression is None:
        raise InvalidRequestError(
            "suppression", "must be given with status suppressed: its reason and expires_at", code="suppression_missing"
        )
    if wanted is not TriageStatus.SUPPRESSED and body.suppression is not None:
        raise InvalidRequestError("suppression", "goes with status suppressed only", code="suppression_without_status")
    return wanted


def _suppressed(principal: Principal, row: Vulnerability, body: VulnerabilityPatch) -> dict[str, Any]:
    order = body.suppression
    assert order is not None  # noqa: S101 - `_wanted` has seen to it
    check_suppression(
        severity=SEVERITY_OF_RANK[row.severity_rank],
        expires_at=order.expires_at,
        moment=now(),
        is_admin=principal.may(Scope.SECURITY_ADMIN),
    )
    return {
        "status": VulnerabilityStatus.SUPPRESSED,
        "suppression_reason": order.reason,
        "suppressed_until": order.expires_at,
    }


def _counting(after: TriageStatus) -> dict[str, Any]:
    return {"status": VulnerabilityStatus(after), "suppression_reason": None, "suppressed_until": None}
