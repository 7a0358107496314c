"""Operations: their inputs, their progress, their results."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from contracts.names import bare_workflow_id
from contracts.payload import BoundedText, Nothing, Payload
from contracts.policies import MUST_HAPPEN
from contracts.signatures import Signed
from contracts.stubs import ActivityStub
from domain.approvals import ApprovalPolicy, Person
from domain.lifecycle import (
    DeploymentStatus,
    EnvironmentName,
    HealthStatus,
    OperationKind,
    OperationStatus,
    StepName,
    StepStatus,
    Strategy,
)
from domain.rollout_options import RolloutOptions


class OperationContext(Payload):
    """The operation's tenant, project and environment. Slugs are for people in the Temporal UI.

    `named_workflow_id`: the id of its workflow; None: an input of an older release. Read `workflow_id`.
    """

    operation_id: UUID
    deployment_id: UUID
    organization_id: UUID
    project_id: UUID
    environment_id: UUID
    environment: EnvironmentName
    host: str
    organization_slug: str
    project_slug: str
    requested_by: str
    named_workflow_id: str | None = Field(default=None, max_length=255)

    @property
    def workflow_id(self) -> str:
        """The id of the operation's workflow."""
        return self.named_workflow_id or bare_workflow_id(self.operation_id)


class DeploymentInput(Signed):
    """Shared input of the two workflows that deploy a version into an environment."""

    place: OperationContext
    version_tag: str
    options: RolloutOptions | None = None  # None: an input of an older release with flat fields; read `chosen`
    approval: ApprovalPolicy | None = None  # None: no approval is required (any more)
    approved_by: tuple[str, ...] = ()  # who approved with the request itself
    requester: Person | None = None  # the requester and the humans behind it; None: only `place.requested_by` is known
    approvers: tuple[Person, ...] | None = None  # the approvers, with humans; None: an input of an older release
    # The options as flat fields, from before `options`: in saved histories, and in workflow starts in flight during an
    # upgrade, whose signature covers them. Nothing writes them any more; do not add new options here.
    strategy: Strategy | None = None
    canary_percentage: int | None = None
    skip_analysis: bool = False
    override_freeze: bool = False

    @model_validator(mode="after")
    def _has_options(self) -> Self:
        if self.options is None and self.strategy is None:
            raise ValueError("options are missing")
        return self

    @property
    def chosen(self) -> RolloutOptions:
        """The options, nested or flat."""
        if self.options is not None:
            return self.options
        return RolloutOptions.model_validate(self, from_attributes=True)


def options_of(order: Mapping[str, Any]) -> RolloutOptions:
    """The options of an input stored as JSON, nested or flat; the defaults if it has none."""
    nested = order.get("options")
    return RolloutOptions.model_validate(order if nested is None else nested)


class BuildAndDeployInput(DeploymentInput):
    """Input of the BuildAndDeploy workflow."""

    feature_id: UUID
    repository_url: str
    git_branch: str | None = None
    git_commit_hash: str | None = None
    source_path: str = "."  # the project's folder in the repository


class BuildSource(Payload):
    """The source of an external build."""

    repository_url: str
    git_commit_hash: str
    git_branch: str | None = None
    source_path: str = "."


class DeployInput(DeploymentInput):
    """Input of the Deploy workflow. `source` is set for an external build, whose artifact may be missing."""

    build_id: UUID
    source: BuildSource | None = None


class RollbackInput(Signed):
    """Input of the Rollback workflow: `place.deployment_id` is the deployment to roll back."""

    place: OperationContext
    reason: BoundedText


Order = BuildAndDeployInput | DeployInput | RollbackInput
ORDERS: Mapping[OperationKind, type[Order]] = {
    OperationKind.BUILD_AND_DEPLOY: BuildAndDeployInput,
    OperationKind.DEPLOY: DeployInput,
    OperationKind.ROLLBACK: RollbackInput,
}


class OperationError(Payload):
    """Why an operation failed."""

    code: str
    message: BoundedText
    details: dict[str, Any] = Field(default_factory=dict)


class StepProgress(Payload):
    """One step as `/operations/{id}` shows it. Waiting for the lock or for people is counted apart from work.

    `people_seconds`: the part of `waited_seconds` spent on people (approval, pause); None: unknown, from an older
    workflow. `waits_for_people`: whether the current wait is one of these.
    """

    name: StepName
    status: StepStatus = StepStatus.PENDING
    started_at: datetime | None = None
    completed_at: datetime | None = None
    detail: BoundedText | None = None
    waited_seconds: float = 0.0
    waiting_since: datetime | None = None
    people_seconds: float | None = None
    waits_for_people: bool = False


class Progress(Payload):
    """An operation's progress. `version` grows with every change, so that an older one never overwrites a newer one."""

    operation_id: UUID
    kind: OperationKind
    status: OperationStatus
    version: int = 0
    progress_percent: int = Field(default=0, ge=0, le=100)
    current_step: str | None = None
    steps: tuple[StepProgress, ...] = ()
    error: OperationError | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


class Standing(Payload):
    """Versions of an operation's progress: the workflow's current one, and the last one it knows to be in the row."""

    known: int
    recorded: int


class DeploymentProgress(Payload):
    """A workflow's update of its deployment. None: leave the field as it is."""

    deployment_id: UUID
    status: DeploymentStatus | None = None
    build_id: UUID | None = None
    health: HealthStatus | None = None
    error: OperationError | None = None
    error_rate_percent: float | None = None
    performance_metrics: dict[str, float] | None = None
    rollback_reason: str | None = None
    rolled_back_to_build_id: UUID | None = None
    superseded_by: UUID | None = None
    next_open: datetime | None = None  # held by a freeze window until then
    git_branch: str | None = None
    git_commit_hash: str | None = None  # the commit that the branch pointed to when it was fetched


class RecordProgress(Payload):
    """Write the projection rows of an operation and its deployment, and the events that their changes cause."""

    progress: Progress
    deployment: DeploymentProgress | None = None


class OperationResult(Payload):
    """The result of a successful operation."""

    operation_id: UUID
    deployment_id: UUID
    build_id: UUID | None = None


class ActionRequest(Signed):
    """A person's action on a deployment in progress.

    `humans`, `vouched_by`, `unknown`: who is behind the actor (`domain.approvals.Person`). `rule`: the environment's
    approval rule at the time of an approval. The stricter of it and of the rule at the request applies.
    """

    actor: str
    reason: BoundedText = ""
    humans: tuple[str, ...] = ()
    vouched_by: tuple[str, ...] = ()
    unknown: bool = False
    rule: ApprovalPolicy | None = None

    @property
    def person(self) -> Person:
        """The person to count as an approver."""
        return Person(actor=self.actor, humans=self.humans, vouched_by=self.vouched_by, unknown=self.unknown)

    @classmethod
    def of(cls, person: Person, *, reason: str = "", rule: ApprovalPolicy | None = None) -> Self:
        """The action of a person, with the humans behind it."""
        return cls(
            actor=person.actor,
            reason=reason,
            humans=person.humans,
            vouched_by=person.vouched_by,
            unknown=person.unknown,
            rule=rule,
        )


class AbortRequest(Signed):
    """A request to abort a rollout in progress."""

    actor: str
    reason: BoundedText


RECORD_PROGRESS = ActivityStub("operations.record_progress", RecordProgress, Nothing, MUST_HAPPEN)
