"""Deployments in requests and responses."""

from typing import Annotated, Any, Self
from uuid import UUID

import semver
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from api.schemas.base import MAX_LINE, Body, Decimal, Text, Timestamp, View, Whole, many_lines
from contracts.payload import MAX_TEXT
from domain.errors import DeliveryError
from domain.lifecycle import DeploymentStatus, EnvironmentName, HealthStatus, Strategy
from domain.repository_url import check_branch, check_commit
from domain.rollout_options import RolloutOptions
from domain.texts import name_of


def _semver(text: str) -> str:
    if not semver.Version.is_valid(text):
        raise ValueError("must be a semantic version such as 1.2.0")
    return text


def _branch(text: str) -> str:
    try:
        branch = check_branch(text)
    except DeliveryError as error:
        raise ValueError(error.message) from error
    name_of(branch)  # for display and lookup as given: git's names are bytes
    return branch


def _commit(text: str) -> str:
    try:
        return check_commit(text)
    except DeliveryError as error:
        raise ValueError(error.message) from error


VersionTag = Annotated[str, StringConstraints(max_length=MAX_LINE), AfterValidator(_semver)]
Branch = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LINE), AfterValidator(_branch)]
Commit = Annotated[str, StringConstraints(max_length=64), AfterValidator(_commit)]
Percentage = Annotated[Whole, Field(ge=0, le=100)]


class DeliveryRequest(Body):
    """Environment, options and approval of a deployment. `canary_percentage` 0 is a dark launch."""

    environment: EnvironmentName
    deployment_strategy: Strategy = Strategy.ROLLING
    canary_percentage: Percentage | None = None
    approval_notes: Text | None = None
    request_approval: bool = False
    override_freeze: bool = False

    @property
    def options(self) -> RolloutOptions:
        """The rollout options: the fields with the names of options."""
        chosen = self.model_dump(include=set(RolloutOptions.model_fields))
        return RolloutOptions(strategy=self.deployment_strategy, **chosen)


class BuildAndDeployRequest(DeliveryRequest):
    """The version to build and where to deploy it. Without `git_branch`: the repository's default branch."""

    version_tag: VersionTag
    git_branch: Branch | None = None
    git_commit_hash: Commit | None = None


class DeployRequest(DeliveryRequest):
    """Where to deploy a build. `skip_analysis`: as if it were promoted at once."""

    skip_analysis: bool = False


class RollbackRequest(Body):
    """Why a deployment is rolled back."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT), many_lines(1, MAX_TEXT)]


class ReasonRequest(RollbackRequest):
    """Why a deployment is aborted."""


class DecisionRequest(Body):
    """An action on a rollout; the reason is recorded in the audit log."""

    reason: Annotated[str, StringConstraints(max_length=MAX_TEXT), many_lines(0, MAX_TEXT)] = ""


class ApprovalRequest(Body):
    """An approval of a deployment. `approval_notes` and `reason` are two names of the same text, for the audit log."""

    approval_notes: Annotated[str, StringConstraints(max_length=MAX_TEXT), many_lines(0, MAX_TEXT)] = ""
    reason: Annotated[str, StringConstraints(max_length=MAX_TEXT), many_lines(0, MAX_TEXT)] = ""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.approval_notes and self.reason and self.approval_notes != self.reason:
            raise ValueError("approval_notes and reason are two names of the same words: give one of them")
        return self

    @property
    def words(self) -> str:
        """The one that was given."""
        return self.approval_notes or self.reason


class RetryRequest(ReasonRequest):
    """Why a deployment is retried. For production, the reason of a caller who may approve is the approval too."""

    request_approval: bool = False
    override_freeze: bool = False


class PreviewView(View):
    """How to reach a version before it gets traffic: `url` with the header `header: token`."""

    header: str
    token: str
    url: str


class DeploymentView(View):
    """A deployment with full details."""

    id: UUID
    build_id: UUID | None
    project_id: UUID
    feature_id: UUID | None
    operation_id: UUID
    environment: EnvironmentName
    status: DeploymentStatus
    deployment_strategy: Strategy
    canary_percentage: int | None
    approval_notes: str | None
    request_approval: bool
    reason: str | None
    version_tag: str | None
    git_branch: str | None
    git_commit_hash: str | None
    started_at: Timestamp | None
    completed_at: Timestamp | None
    duration_seconds: int | None
    health_check_status: HealthStatus | None
    error_rate_percent: Decimal | None
    performance_metrics: dict[str, Decimal | None] | None
    analysis: dict[str, Any] | None
    error: dict[str, Any] | None
    retry_of: UUID | None
    superseded_by: UUID | None
    skip_analysis: bool
    override_freeze: bool
    next_open: Timestamp | None
    preview: PreviewView | None
    requested_by: str
    rollback_operation_id: UUID | None
    rollback_reason: str | None
    rolled_back_to_build_id: UUID | None
    rolled_back_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp
