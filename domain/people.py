"""What people may do to a rollout, and when: one table, read by validators, the API and the docs."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import ConflictError, ErrorCode, ForbiddenError
from domain.lifecycle import DeploymentStatus


class Action(StrEnum):
    """What a person asks of a deployment; of a finished one retry and promote make a new one."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    RETRY = "retry"


class Phase(StrEnum):
    """Where a deployment is, as far as people are concerned."""

    PREPARING = "preparing"
    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    ROLLING_OUT = "rolling_out"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHING = "finishing"
    FINISHED = "finished"  # told by a workflow that is about to close; the next ones are told by the record
    SUCCEEDED = "succeeded"
    ENDED_BADLY = "ended_badly"
    REPLACED = "replaced"


_A, _D = Action, DeploymentStatus
ALLOWED: Mapping[Phase, frozenset[Action]] = {
    Phase.PREPARING: frozenset({_A.ABORT}),
    Phase.AWAITING_APPROVAL: frozenset({_A.APPROVE, _A.REJECT, _A.ABORT}),
    Phase.QUEUED: frozenset({_A.ABORT}),
    Phase.ROLLING_OUT: frozenset({_A.PAUSE, _A.PROMOTE, _A.ABORT}),
    Phase.PAUSED: frozenset({_A.RESUME, _A.PROMOTE, _A.ABORT}),
    Phase.STOPPING: frozenset(),
    Phase.FINISHING: frozenset(),
    Phase.FINISHED: frozenset(),
    Phase.SUCCEEDED: frozenset(),
    Phase.ENDED_BADLY: frozenset({_A.RETRY, _A.PROMOTE}),
    Phase.REPLACED: frozenset({_A.RETRY}),
}

# What the record of a deployment tells of its phase.
PHASES: Mapping[DeploymentStatus, Phase] = {
    _D.PENDING: Phase.PREPARING,
    _D.QUEUED: Phase.QUEUED,
    _D.AWAITING_APPROVAL: Phase.AWAITING_APPROVAL,
    _D.IN_PROGRESS: Phase.ROLLING_OUT,
    _D.PAUSED: Phase.PAUSED,
    _D.ROLLING_BACK: Phase.STOPPING,
    _D.SUCCESS: Phase.SUCCEEDED,
    _D.FAILED: Phase.ENDED_BADLY,
    _D.ROLLED_BACK: Phase.ENDED_BADLY,
    _D.CANCELLED: Phase.ENDED_BADLY,
    _D.SUPERSEDED: Phase.REPLACED,
}

_WHY_NOTHING: Mapping[Phase, str] = {
    Phase.STOPPING: "it is being stopped already",
    Phase.FINISHING: "it is past its final switch; roll the deployment back instead",
    Phase.FINISHED: "it is finished; retry makes a new one, rollback takes it back",
    Phase.SUCCEEDED: "it is finished; rollback takes it back, deploying its build makes a new one",
}


def check_action(phase: Phase, action: Action, *, state: str | None = None) -> None:
    """Raise `ConflictError(INVALID_STATE)` naming state and allowed actions unless the action is one of them.

    Args:
        phase: where the deployment is.
        action: what is asked of it.
        state: what clients call the phase, where they have another word for it.
    """
    allowed = sorted(ALLOWED[phase])
    if action in ALLOWED[phase]:
        return
    hint = _WHY_NOTHING.get(phase) or f"allowed now: {', '.join(allowed)}"
    raise ConflictError(
        f"cannot {action} while it is {state or phase}: {hint}",
        code=ErrorCode.INVALID_STATE,
        details={"state": state or str(phase), "action": str(action), "allowed": allowed},
    )


def check_recorded(status: DeploymentStatus, action: Action) -> None:
    """`check_action` for a deployment that is known by its record only."""
    check_action(PHASES[status], action, state=str(status))


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
