"""What people may do to a rollout, and when: one table, read by validators, the API and the docs."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import ConflictError, ErrorCode, ForbiddenError


class Action(StrEnum):
    """What a person asks of a deployment under way."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"


class Phase(StrEnum):
    """Where a deployment is, as far as people are concerned."""

    PREPARING = "preparing"
    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    ROLLING_OUT = "rolling_out"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHING = "finishing"
    FINISHED = "finished"


_A = Action
ALLOWED: Mapping[Phase, frozenset[Action]] = {
    Phase.PREPARING: frozenset({_A.ABORT}),
    Phase.AWAITING_APPROVAL: frozenset({_A.APPROVE, _A.REJECT, _A.ABORT}),
    Phase.QUEUED: frozenset({_A.ABORT}),
    Phase.ROLLING_OUT: frozenset({_A.PAUSE, _A.PROMOTE, _A.ABORT}),
    Phase.PAUSED: frozenset({_A.RESUME, _A.PROMOTE, _A.ABORT}),
    Phase.STOPPING: frozenset(),
    Phase.FINISHING: frozenset(),
    Phase.FINISHED: frozenset(),
}

_WHY_NOTHING: Mapping[Phase, str] = {
    Phase.STOPPING: "it is being stopped already",
    Phase.FINISHING: "it is past its final switch; roll the deployment back instead",
    Phase.FINISHED: "it is finished; retry makes a new one, rollback takes it back",
}


def check_action(phase: Phase, action: Action) -> None:
    """Raise `ConflictError(INVALID_STATE)` naming state and allowed actions unless the action is one of them."""
    allowed = sorted(ALLOWED[phase])
    if action in ALLOWED[phase]:
        return
    hint = _WHY_NOTHING.get(phase) or f"allowed now: {', '.join(allowed)}"
    raise ConflictError(
        f"cannot {action} while it is {phase}: {hint}",
        code=ErrorCode.INVALID_STATE,
        details={"state": str(phase), "action": str(action), "allowed": allowed},
    )


class ApprovalPolicy(BaseModel):
    """Who must say yes. `four_eyes`: the one who asked for the deployment does not count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_approvals: int = Field(default=1, ge=1, le=10)
    four_eyes: bool = True


def check_approver(policy: ApprovalPolicy, *, requested_by: str, approved_by: Sequence[str], actor: str) -> None:
    """Whether this person's approval counts.

    Raises:
        ForbiddenError: four eyes, and it is the requester.
        ConflictError: this person approved already.
    """
    if policy.four_eyes and actor == requested_by:
        raise ForbiddenError("whoever asked for a deployment cannot approve it; ask somebody else (four eyes)")
    if actor in approved_by:
        raise ConflictError(
            f"{actor} approved it already; {policy.min_approvals} different people must", code=ErrorCode.INVALID_STATE
        )


def is_approved(policy: ApprovalPolicy, approved_by: Sequence[str]) -> bool:
    """Whether enough different people said yes."""
    return len(set(approved_by)) >= policy.min_approvals
