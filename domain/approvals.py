"""What people may do to a rollout, and when: one table, read by validators, the API and the docs.

And whose yes counts: approvals are counted by the human behind whoever says it, not by what they show.
"""

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


# What starts or carries on: a suspended organization may hold, end and take back what is under way, and no more.
GOING_ON = frozenset({Action.APPROVE, Action.RESUME, Action.PROMOTE, Action.RETRY})


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

# The state of what nobody can ask about any more.
UNKNOWN = "unknown"

# What clients call a phase: the status of the deployment meanwhile.
STATES: Mapping[Phase, str] = {
    Phase.PREPARING: str(_D.PENDING),
    Phase.AWAITING_APPROVAL: str(_D.AWAITING_APPROVAL),
    Phase.QUEUED: str(_D.QUEUED),
    Phase.ROLLING_OUT: str(_D.IN_PROGRESS),
    Phase.PAUSED: str(_D.PAUSED),
    Phase.STOPPING: str(_D.ROLLING_BACK),
    Phase.FINISHING: str(_D.IN_PROGRESS),
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
        state: the deployment's status, where it is known better than from the phase.
    """
    allowed = sorted(ALLOWED[phase])
    if action in ALLOWED[phase]:
        return
    hint = _WHY_NOTHING.get(phase) or f"allowed now: {', '.join(allowed)}"
    raise ConflictError(
        f"cannot {action} while it is {state or STATES.get(phase, phase)}: {hint}",
        code=ErrorCode.INVALID_STATE,
        details={"state": state or STATES.get(phase, str(phase)), "action": str(action), "allowed": allowed},
    )


def check_recorded(status: DeploymentStatus, action: Action) -> None:
    """`check_action` for a deployment that is known by its record only."""
    check_action(PHASES[status], action, state=str(status))


# Among the humans behind a service account: a program of a foreign issuer, for which nobody here knows who answers.
UNKNOWN_HUMAN = "machine:"


WHO_IS_IT = (
    "nobody here knows which person {} stands for: it belongs to another issuer, whose tokens bring no e-mail address "
    "that was shown to be theirs, so it cannot be told from who asked or approved; approve with an account of this "
    "engine, or have the operator see to it that the issuer's access tokens carry the address (email_claim in "
    "DELIVERY_TRUSTED_ISSUERS), and make keys and service accounts anew after that"
)


class ApprovalPolicy(BaseModel):
    """Who must say yes. `four_eyes`: the one who asked for the deployment does not count."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    min_approvals: int = Field(default=1, ge=1, le=10)
    four_eyes: bool = True

    def stricter(self, other: "ApprovalPolicy | None") -> "ApprovalPolicy":
        """What both of them demand."""
        if other is None:
            return self
        return ApprovalPolicy(
            min_approvals=max(self.min_approvals, other.min_approvals), four_eyes=self.four_eyes or other.four_eyes
        )


class Person(BaseModel):
    """Somebody who asks or says yes, and the humans behind.

    Attributes:
        actor: the user or service account, as the audit log names it.
        humans: who is responsible for it: of a user themselves, of a service account whoever made it and whoever holds
            its secret. Names of any kind; two persons who share one are the same human. None given: the actor.
        vouched_by: who made a user's account without proof that the user is somebody else.
        unknown: nobody here knows which human is behind it, or behind a part of it: it may be anybody.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    actor: str
    humans: tuple[str, ...] = ()
    vouched_by: tuple[str, ...] = ()
    unknown: bool = False

    @property
    def behind(self) -> frozenset[str]:
        """The humans, at least the actor."""
        return frozenset(self.humans) or frozenset({self.actor})

    def made_by(self, other: "Person") -> bool:
        """Whether the other one may be who acts here: the same human, or who made this account."""
        return not (self.behind | frozenset(self.vouched_by)).isdisjoint(other.behind)


def same_human(one: Person, other: Person) -> bool:
    """Whether two persons may be one human, for all that is known."""
    return one.made_by(other) or other.made_by(one)


def approvals_needed(policy: ApprovalPolicy, requested_by: Person | None) -> int:
    """How many different humans must say yes: one more where the requester may be any one of them."""
    hidden = policy.four_eyes and requested_by is not None and requested_by.unknown
    return policy.min_approvals + hidden


def check_approver(
    policy: ApprovalPolicy, *, requested_by: Person, approved_by: Sequence[Person], approver: Person
) -> None:
    """Whether this person's approval counts.

    Raises:
        ForbiddenError: four eyes, and it is the requester, or somebody of theirs; or different people have to say yes,
            and nobody knows who this is.
        ConflictError: this human approved already.
    """
    needed = approvals_needed(policy, requested_by)
    if approver.unknown and (policy.four_eyes or needed > 1):
        raise ForbiddenError(WHO_IS_IT.format(approver.actor))
    if policy.four_eyes and approver.made_by(requested_by):
        if approver.actor == requested_by.actor:
            raise ForbiddenError("whoever asked for it cannot approve it; ask somebody else (four eyes)")
        raise ForbiddenError(
            f"{approver.actor} stands for the same person as {requested_by.actor}, who asked for it; ask somebody else "
            "(four eyes count the people behind accounts and keys)"
        )
    known = next((one for one in approved_by if same_human(approver, one)), None)
    if known is None:
        return
    whose = approver.actor if known.actor == approver.actor else f"{known.actor}, for the same person,"
    raise ConflictError(f"{whose} approved it already; {needed} different people must", code=ErrorCode.INVALID_STATE)


def is_approved(policy: ApprovalPolicy, approved_by: Sequence[Person], *, requested_by: Person | None = None) -> bool:
    """Whether enough different humans said yes; with four eyes none of them the requester."""
    counting = approved_by
    if policy.four_eyes and requested_by is not None:
        counting = [one for one in approved_by if not one.unknown and not one.made_by(requested_by)]
    return count_humans(counting) >= approvals_needed(policy, requested_by)


def count_humans(people: Sequence[Person]) -> int:
    """How many different humans there are at least: whoever may be the same one counts once."""
    groups: list[list[Person]] = []
    known = [person for person in people if not person.unknown]
    for person in known or people[:1]:  # who is unknown may be any of the others
        same = [group for group in groups if any(same_human(person, one) for one in group)]
        groups = [group for group in groups if group not in same]
        groups.append([person, *(one for group in same for one in group)])
    return len(groups)
