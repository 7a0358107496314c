"""The actions that people may take on a rollout, by phase: one table, read by validators, the API and the docs.

And the counting of approvals: by the human behind the approver, not by credential.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import ConflictError, ErrorCode, ForbiddenError
from domain.lifecycle import DeploymentStatus


class Action(StrEnum):
    """A person's action on a deployment. Retry and promote of a finished one create a new deployment."""

    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    ABORT = "abort"
    RETRY = "retry"


# Actions that start or continue a rollout. A suspended organization may only pause, abort and roll back.
GOING_ON = frozenset({Action.APPROVE, Action.RESUME, Action.PROMOTE, Action.RETRY})


class Phase(StrEnum):
    """The phase of a deployment, as far as actions are concerned."""

    PREPARING = "preparing"
    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    ROLLING_OUT = "rolling_out"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHING = "finishing"
    FINISHED = "finished"  # set by a workflow that is about to close; later phases come from the record
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

# The phase of a deployment that accepts no more actions.
UNKNOWN = "unknown"

# The name of a phase for clients: the deployment's status in it.
STATES: Mapping[Phase, str] = {
    Phase.PREPARING: str(_D.PENDING),
    Phase.AWAITING_APPROVAL: str(_D.AWAITING_APPROVAL),
    Phase.QUEUED: str(_D.QUEUED),
    Phase.ROLLING_OUT: str(_D.IN_PROGRESS),
    Phase.PAUSED: str(_D.PAUSED),
    Phase.STOPPING: str(_D.ROLLING_BACK),
    Phase.FINISHING: str(_D.IN_PROGRESS),
}

# The phase as far as a deployment's record shows it.
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
    """Raise `ConflictError(INVALID_STATE)`, naming the state and the allowed actions, unless the action is allowed.

    Args:
        phase: of the deployment.
        action: the requested one.
        state: the deployment's status, if it is known more precisely than the phase.
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
    """`check_action` for a deployment of which only the record is known."""
    check_action(PHASES[status], action, state=str(status))


# One of the humans behind a service account: a program of a foreign issuer, whose responsible human is unknown here.
UNKNOWN_HUMAN = "machine:"


WHO_IS_IT = (
    "nobody here knows which person {} stands for: it belongs to another issuer, whose tokens bring no e-mail address "
    "that was shown to be theirs, so it cannot be told from who asked or approved; approve with an account of this "
    "engine, or have the operator see to it that the issuer's access tokens carry the address (email_claim in "
    "DELIVERY_TRUSTED_ISSUERS), and make keys and service accounts anew after that"
)


class ApprovalPolicy(BaseModel):
    """The required approvals. `four_eyes`: the requester does not count."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    min_approvals: int = Field(default=1, ge=1, le=10)
    four_eyes: bool = True

    def stricter(self, other: "ApprovalPolicy | None") -> "ApprovalPolicy":
        """The combination of both policies."""
        if other is None:
            return self
        return ApprovalPolicy(
            min_approvals=max(self.min_approvals, other.min_approvals), four_eyes=self.four_eyes or other.four_eyes
        )


class Person(BaseModel):
    """A requester or approver, with the humans behind.

    Attributes:
        actor: the user or service account, as the audit log names it.
        humans: the responsible humans: a user themselves; for a service account its creator and everybody who holds its
            secret. Names of any kind; two persons who share one are the same human. Empty: the actor.
        vouched_by: who created a user's account without proof that the user is another person.
        unknown: a human behind it is not known here and may be anybody.
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
        """Whether the other one may be the actor here: the same human, or the creator of this account."""
        return not (self.behind | frozenset(self.vouched_by)).isdisjoint(other.behind)


def same_human(one: Person, other: Person) -> bool:
    """Whether two persons may be the same human, as far as known."""
    return one.made_by(other) or other.made_by(one)


def approvals_needed(policy: ApprovalPolicy, requested_by: Person | None) -> int:
    """The number of different humans who must approve: one more if the requester may be any of them."""
    hidden = policy.four_eyes and requested_by is not None and requested_by.unknown
    return policy.min_approvals + hidden


def check_approver(
    policy: ApprovalPolicy, *, requested_by: Person, approved_by: Sequence[Person], approver: Person
) -> None:
    """Check that this person's approval counts.

    Raises:
        ForbiddenError: four eyes, and it is the requester, or an account of theirs; or different people must approve,
            and the human behind this one is unknown.
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
    """Whether enough different humans approved; with four eyes the requester does not count."""
    counting = approved_by
    if policy.four_eyes and requested_by is not None:
        counting = [one for one in approved_by if not one.unknown and not one.made_by(requested_by)]
    return count_humans(counting) >= approvals_needed(policy, requested_by)


def count_humans(people: Sequence[Person]) -> int:
    """The minimum number of different humans: persons who may be the same human count once."""
    groups: list[list[Person]] = []
    known = [person for person in people if not person.unknown]
    for person in known or people[:1]:  # an unknown human may be any of the others
        same = [group for group in groups if any(same_human(person, one) for one in group)]
        groups = [group for group in groups if group not in same]
        groups.append([person, *(one for group in same for one in group)])
    return len(groups)
