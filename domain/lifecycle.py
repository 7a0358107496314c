"""States, and one table of transitions for each kind of resource."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from domain.errors import ConflictError, ErrorCode


class ScanStatus(StrEnum):
    """The contract's results of a security scan."""

    PASSED = "passed"
    FAILED = "failed"
    WARNINGS = "warnings"


class EnvironmentName(StrEnum):
    """The contract's environments."""

    DEV = "dev"
    STAGING = "staging"
    PRODUCTION = "production"


class Strategy(StrEnum):
    """How traffic moves to a new version."""

    BLUE_GREEN = "blue_green"
    CANARY = "canary"
    ROLLING = "rolling"
    RAMP = "ramp"


class OperationStatus(StrEnum):
    """Lifecycle of an asynchronous operation, as `/operations/{id}` shows it."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OperationKind(StrEnum):
    """The kind of an operation."""

    BUILD_AND_DEPLOY = "build_and_deploy"
    DEPLOY = "deploy"
    ROLLBACK = "rollback"


class StepName(StrEnum):
    """The steps of a build-and-deploy, in order."""

    SOURCE = "source"
    BUILD = "build"
    TEST = "test"
    SCAN = "scan"
    PACKAGE = "package"
    ATTEST = "attest"
    RECORD = "record"
    ROLLOUT = "rollout"


class StepStatus(StrEnum):
    """Lifecycle of a step. `skipped`: not carried out."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeploymentStatus(StrEnum):
    """Lifecycle of a deployment (resolutions, Delivery)."""

    PENDING = "pending"
    QUEUED = "queued"
    AWAITING_APPROVAL = "awaiting_approval"
    IN_PROGRESS = "in_progress"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    SUCCESS = "success"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class HealthStatus(StrEnum):
    """Health of a deployment's release; null before the first probe."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


class BuildStatus(StrEnum):
    """Lifecycle of a build."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINISHED_BUILDS = frozenset({BuildStatus.SUCCESS, BuildStatus.FAILED, BuildStatus.CANCELLED})


class BuildProvenance(StrEnum):
    """Who made a build: an external reporter, or this engine."""

    REPORTED = "reported"
    EXECUTED = "executed"


class ReleaseState(StrEnum):
    """Lifecycle of a release: one build deployed into one environment by one deployment."""

    STARTING = "starting"
    ACTIVE = "active"
    RETIRED = "retired"
    STOPPED = "stopped"
    FAILED = "failed"


_O, _D, _R = OperationStatus, DeploymentStatus, ReleaseState

OPERATION_TRANSITIONS: Mapping[OperationStatus, frozenset[OperationStatus]] = {
    _O.PENDING: frozenset({_O.IN_PROGRESS, _O.CANCELLING, _O.CANCELLED, _O.FAILED}),
    _O.IN_PROGRESS: frozenset({_O.CANCELLING, _O.COMPLETED, _O.FAILED, _O.CANCELLED}),
    _O.CANCELLING: frozenset({_O.CANCELLED, _O.COMPLETED, _O.FAILED}),
    _O.COMPLETED: frozenset(),
    _O.FAILED: frozenset(),
    _O.CANCELLED: frozenset(),
}

DEPLOYMENT_TRANSITIONS: Mapping[DeploymentStatus, frozenset[DeploymentStatus]] = {
    _D.PENDING: frozenset({_D.QUEUED, _D.AWAITING_APPROVAL, _D.IN_PROGRESS, _D.FAILED, _D.CANCELLED, _D.SUPERSEDED}),
    _D.QUEUED: frozenset({_D.AWAITING_APPROVAL, _D.IN_PROGRESS, _D.FAILED, _D.CANCELLED, _D.SUPERSEDED}),
    _D.AWAITING_APPROVAL: frozenset({_D.QUEUED, _D.IN_PROGRESS, _D.FAILED, _D.CANCELLED, _D.SUPERSEDED}),
    _D.IN_PROGRESS: frozenset(
        {_D.PAUSED, _D.ROLLING_BACK, _D.SUCCESS, _D.FAILED, _D.CANCELLED, _D.SUPERSEDED, _D.ROLLED_BACK}
    ),
    # Also transitions to an end that skip the state in between: a record of an intermediate state may be lost.
    _D.PAUSED: frozenset(
        {_D.IN_PROGRESS, _D.ROLLING_BACK, _D.SUCCESS, _D.FAILED, _D.CANCELLED, _D.SUPERSEDED, _D.ROLLED_BACK}
    ),
    _D.ROLLING_BACK: frozenset({_D.ROLLED_BACK, _D.FAILED, _D.CANCELLED, _D.SUPERSEDED, _D.SUCCESS}),
    # A successful deployment can still be rolled back by hand; the other ends are final.
    _D.SUCCESS: frozenset({_D.ROLLING_BACK, _D.ROLLED_BACK}),
    _D.FAILED: frozenset(),
    _D.ROLLED_BACK: frozenset(),
    _D.CANCELLED: frozenset(),
    _D.SUPERSEDED: frozenset(),
}

RELEASE_TRANSITIONS: Mapping[ReleaseState, frozenset[ReleaseState]] = {
    _R.STARTING: frozenset({_R.ACTIVE, _R.FAILED, _R.STOPPED}),
    _R.ACTIVE: frozenset({_R.RETIRED, _R.FAILED, _R.STOPPED}),
    _R.RETIRED: frozenset({_R.ACTIVE, _R.STARTING, _R.STOPPED}),
    _R.STOPPED: frozenset({_R.STARTING}),
    _R.FAILED: frozenset(),
}

FINISHED_OPERATIONS = frozenset(s for s, after in OPERATION_TRANSITIONS.items() if not after)
FINISHED_DEPLOYMENTS = frozenset({_D.SUCCESS, _D.FAILED, _D.ROLLED_BACK, _D.CANCELLED, _D.SUPERSEDED})


S = TypeVar("S", bound=StrEnum)


def check_transition(table: Mapping[S, frozenset[S]], before: S, after: S) -> None:
    """Raise `ConflictError(INVALID_STATE)`, naming the state and its successors, unless the transition is legal.

    Staying in a state counts as legal: every writer is idempotent.
    """
    if before == after or after in table[before]:
        return
    allowed = ", ".join(sorted(table[before])) or "nothing: it is finished"
    raise ConflictError(
        f"cannot go from {before} to {after}; allowed: {allowed}",
        code=ErrorCode.INVALID_STATE,
        details={"state": before, "asked": after, "allowed": sorted(table[before])},
    )
