"""Operations: what starts them, how they tell their progress, how they end."""

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
    """Whose operation it is and where it goes; slugs are for people in the Temporal UI.

    `named_workflow_id`: the id that its workflow has; None: an order of an older release; read `workflow_id`.
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
        """Of the operation's workflow."""
        return self.named_workflow_id or bare_workflow_id(self.operation_id)


class DeploymentInput(Signed):
    """What both ways of bringing a version into an environment are told."""

    place: OperationContext
    version_tag: str
    options: RolloutOptions | None = None  # None: an order of an older release, which has them flat; read `chosen`
    approval: ApprovalPolicy | None = None  # None: nobody has to say yes (any more)
    approved_by: tuple[str, ...] = ()  # who said yes with the request itself
    requester: Person | None = None  # who asked, with the humans behind; None: known by `place.requested_by` only
    approvers: tuple[Person, ...] | None = None  # those of `approved_by`, whole; None: an order of an older release
    # The options as they stood before there was `options`: in saved histories, and in starts on their way during an
    # upgrade, whose signature covers them. Nobody writes them any more, and new options are not added here.
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
    """The options of an order as it is kept as JSON, nested or flat; the defaults for one that has none."""
    nested = order.get("options")
    return RolloutOptions.model_validate(order if nested is None else nested)


class BuildAndDeployInput(DeploymentInput):
    """Input of the BuildAndDeploy workflow."""

    feature_id: UUID
    repository_url: str
    git_branch: str | None = None
    git_commit_hash: str | None = None
    source_path: str = "."  # the project's folder of the repository


class BuildSource(Payload):
    """Where a build that was made elsewhere comes from."""

    repository_url: str
    git_commit_hash: str
    git_branch: str | None = None
    source_path: str = "."


class DeployInput(DeploymentInput):
    """Input of the Deploy workflow: a build that exists. `source`: made elsewhere, so its artifact may be missing."""

    build_id: UUID
    source: BuildSource | None = None


class RollbackInput(Signed):
    """Input of the Rollback workflow: `place.deployment_id` is the deployment that is taken back."""

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
    """One step as `/operations/{id}` shows it. Waiting for the lock or for people is told apart from work.

    `people_seconds`: of the waited ones, for people (approval, pause); None: nobody knows, of an older workflow.
    `waits_for_people`: the present wait is one.
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
    """Where an operation is. `version` grows with every change, so that an older one never overwrites a newer."""

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
    """Versions of an operation's progress: what its workflow has come to, and what it was told is in the row."""

    known: int
    recorded: int


class DeploymentProgress(Payload):
    """What a workflow knows of its deployment; None means: leave as it is."""

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
    git_commit_hash: str | None = None  # what the branch stood for when it was fetched


class RecordProgress(Payload):
    """Write the projection rows of an operation and its deployment, and the events their changes cause."""

    progress: Progress
    deployment: DeploymentProgress | None = None


class OperationResult(Payload):
    """How an operation ended well."""

    operation_id: UUID
    deployment_id: UUID
    build_id: UUID | None = None


class ActionRequest(Signed):
    """Somebody decides something about a deployment under way.

    `humans`, `vouched_by`, `unknown`: who is behind the actor (`domain.approvals.Person`). `rule`: what the environment
    demands at the time of an approval; the stricter of it and of what was demanded at the request decides.
    """

    actor: str
    reason: BoundedText = ""
    humans: tuple[str, ...] = ()
    vouched_by: tuple[str, ...] = ()
    unknown: bool = False
    rule: ApprovalPolicy | None = None

    @property
    def person(self) -> Person:
        """Who it is, for counting."""
        return Person(actor=self.actor, humans=self.humans, vouched_by=self.vouched_by, unknown=self.unknown)

    @classmethod
    def of(cls, person: Person, *, reason: str = "", rule: ApprovalPolicy | None = None) -> Self:
        """A person's, with who is behind."""
        return cls(
            actor=person.actor,
            reason=reason,
            humans=person.humans,
            vouched_by=person.vouched_by,
            unknown=person.unknown,
            rule=rule,
        )


class AbortRequest(Signed):
    """Somebody wants a rollout under way to go back."""

    actor: str
    reason: BoundedText


RECORD_PROGRESS = ActivityStub("operations.record_progress", RecordProgress, Nothing, MUST_HAPPEN)
