"""Environments, builds, operations, deployments, releases, instances, routes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    cast,
    func,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column

from domain.lifecycle import Strategy
from domain.procfile import WEB
from domain.rollout_options import RolloutOptions
from runtime.tracing import traceparent
from storage.models.base import Base, Identified, Timestamped


class Environment(Identified, Timestamped, Base):
    """One environment of a project; created on first use. `host` is `{name}.{project}.{organization}.localhost`.

    `degraded_release_id`: the release whose degradation was last reported.
    """

    __tablename__ = "environments"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(16))
    host: Mapped[str] = mapped_column(String(255), unique=True)
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    current_release_id: Mapped[UUID | None]
    previous_release_id: Mapped[UUID | None]
    holder_deployment_id: Mapped[UUID | None]
    degraded_release_id: Mapped[UUID | None]


class GuardChange(Identified, Timestamped, Base):
    """A change that weakens a protected environment's guards, and waits for the approvals of its present rule.

    `changes`: the settings' fields to set. `weakens`: those that weaken a guard. `rule`: the approval rule at the
    request. `requester`, `approvals`: `domain.approvals.Person` as JSON. `status`: "pending", "applied" or "rejected".
    """

    __tablename__ = "guard_changes"
    __table_args__ = (Index("ix_guard_changes_environment_id_created_at_id", "environment_id", "created_at", "id"),)

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    environment_id: Mapped[UUID] = mapped_column(ForeignKey("environments.id"))
    changes: Mapped[dict[str, Any]]
    weakens: Mapped[list[Any]]
    rule: Mapped[dict[str, Any]]
    requester: Mapped[dict[str, Any]]
    approvals: Mapped[list[Any]]
    status: Mapped[str] = mapped_column(String(16))
    requested_by: Mapped[str] = mapped_column(String(255))
    decided_by: Mapped[str | None] = mapped_column(String(255))
    decided_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]


class Build(Identified, Timestamped, Base):
    """A version of a project. `digest` names the artifact; logs are files named by `log_ref`.

    `vulnerabilities`: how many of each severity its last scan found, and under `tools` what ran; None: none ran yet.
    `attested_digest`: of the artifact that its signed provenance is about; None: it has none, which is in order for
    those that are `before_provenance`.
    """

    __tablename__ = "builds"
    __table_args__ = (
        UniqueConstraint("project_id", "build_number"),
        # A failed version may be built again under the same tag.
        Index(
            "uq_builds_project_id_version_tag_good",
            "project_id",
            "version_tag",
            unique=True,
            postgresql_where=text("status NOT IN ('failed', 'cancelled')"),
        ),
        UniqueConstraint("operation_id"),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"))
    feature_id: Mapped[UUID] = mapped_column(ForeignKey("features.id"), index=True)
    operation_id: Mapped[UUID | None]
    provenance: Mapped[str] = mapped_column(String(16))
    build_number: Mapped[int]
    version_tag: Mapped[str] = mapped_column(String(255))
    git_commit_hash: Mapped[str] = mapped_column(String(64))
    git_branch: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(16))
    docker_image_url: Mapped[str | None] = mapped_column(String(2048))
    docker_image_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    artifact_digest: Mapped[str | None] = mapped_column(String(128))
    artifact_size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    spec: Mapped[dict[str, Any] | None]
    tests_passed: Mapped[int | None]
    tests_failed: Mapped[int | None]
    tests_skipped: Mapped[int | None]
    code_coverage_percent: Mapped[float | None] = mapped_column(Float)
    security_scan_status: Mapped[str | None] = mapped_column(String(16))
    vulnerabilities: Mapped[dict[str, Any] | None]
    attested_digest: Mapped[str | None] = mapped_column(String(128))
    before_provenance: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    committed_at: Mapped[datetime | None]  # the commit's own timestamp
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


class BuildDocument(Timestamped, Base):
    """A document of a build: its dependencies, SBOM, provenance or reports.

    `kind`: a `domain.build_documents.DocumentKind`. `digest`: `sha256:<hex>` of the text, whose length is `size_bytes`;
    `content` is that text compressed by zlib.
    """

    __tablename__ = "build_documents"

    build_id: Mapped[UUID] = mapped_column(ForeignKey("builds.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    digest: Mapped[str] = mapped_column(String(71))
    size_bytes: Mapped[int]
    content: Mapped[bytes]


class Operation(Identified, Timestamped, Base):
    """The record of an asynchronous operation.

    `named_workflow_id`: the id of its workflow; None: created by an older release. Read `workflow_id`. `traceparent`:
    of the request, in W3C Trace Context format; None: not traced.
    """

    __tablename__ = "operations"
    __table_args__ = (
        Index("ix_operations_open", "status", postgresql_where=text("completed_at IS NULL")),
        Index("ix_operations_organization_id_id", "organization_id", "id"),
        Index(
            "ix_operations_learned",
            "project_id",
            "environment",
            "kind",
            "completed_at",
            postgresql_where=text("status = 'completed'"),
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"))
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), index=True)
    environment: Mapped[str | None] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(16), default="pending")
    resource_type: Mapped[str] = mapped_column(String(32), default="deployment")
    resource_id: Mapped[UUID]
    progress_percent: Mapped[int] = mapped_column(default=0)
    current_step: Mapped[str | None] = mapped_column(Text)
    steps: Mapped[list[Any]] = mapped_column(default=list)
    error: Mapped[dict[str, Any] | None]
    input: Mapped[dict[str, Any]] = mapped_column(default=dict)
    version: Mapped[int] = mapped_column(default=0)
    requested_by: Mapped[str] = mapped_column(String(255))
    traceparent: Mapped[str | None] = mapped_column(String(55), default=traceparent)
    workflow_started_at: Mapped[datetime | None]
    named_workflow_id: Mapped[str | None] = mapped_column("workflow_id", String(255))
    workflow_run_id: Mapped[UUID | None]  # the first run, the only one that may carry the operation out
    cancel_requested_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    @hybrid_property
    def workflow_id(self) -> str:
        """The id of its workflow: the stored one, or the derived one of older operations."""
        return self.named_workflow_id or str(self.id)

    @workflow_id.inplace.expression
    @classmethod
    def _workflow_id(cls) -> ColumnElement[str]:
        return func.coalesce(cls.named_workflow_id, cast(cls.id, String))


class Deployment(Identified, Timestamped, Base):
    """The deployment of a build into an environment; version, branch and commit as requested, even before a build.

    `live_at`: when it first became the stable one.
    """

    __tablename__ = "deployments"
    __table_args__ = (
        Index(
            "ix_deployments_organization_id_live_at",
            "organization_id",
            "live_at",
            postgresql_where=text("live_at IS NOT NULL"),
        ),
        Index(
            "ix_deployments_organization_id_rolled_back_at",
            "organization_id",
            "rolled_back_at",
            postgresql_where=text("rolled_back_at IS NOT NULL"),
        ),
        Index(
            "ix_deployments_live_commits",
            "environment_id",
            "git_commit_hash",
            "live_at",
            postgresql_where=text("live_at IS NOT NULL"),
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id"), index=True)
    environment_id: Mapped[UUID] = mapped_column(ForeignKey("environments.id"), index=True)
    feature_id: Mapped[UUID | None] = mapped_column(ForeignKey("features.id"), index=True)
    build_id: Mapped[UUID | None] = mapped_column(ForeignKey("builds.id"), index=True)
    operation_id: Mapped[UUID] = mapped_column(ForeignKey("operations.id"), index=True)
    environment: Mapped[str] = mapped_column(String(16))
    deployment_strategy: Mapped[str] = mapped_column(String(16))
    canary_percentage: Mapped[int | None]
    approval_notes: Mapped[str | None] = mapped_column(Text)
    request_approval: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str | None] = mapped_column(Text)
    version_tag: Mapped[str | None] = mapped_column(String(255))
    git_branch: Mapped[str | None] = mapped_column(String(255))
    git_commit_hash: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(32), default="pending")
    health_check_status: Mapped[str | None] = mapped_column(String(16))
    error_rate_percent: Mapped[float | None] = mapped_column(Float)
    performance_metrics: Mapped[dict[str, Any] | None]
    analysis: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    retry_of: Mapped[UUID | None]
    skip_analysis: Mapped[bool] = mapped_column(default=False)
    override_freeze: Mapped[bool] = mapped_column(default=False)
    options: Mapped[dict[str, Any] | None]
    superseded_by: Mapped[UUID | None]
    next_open: Mapped[datetime | None]
    requested_by: Mapped[str] = mapped_column(String(255))
    rollback_operation_id: Mapped[UUID | None]
    rollback_reason: Mapped[str | None] = mapped_column(Text)
    rolled_back_to_build_id: Mapped[UUID | None]
    rolled_back_at: Mapped[datetime | None]
    live_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    @property
    def rollout_options(self) -> RolloutOptions:
        """The requested options of its rollout."""
        return RolloutOptions(
            strategy=Strategy(self.deployment_strategy),
            canary_percentage=self.canary_percentage,
            skip_analysis=self.skip_analysis,
            override_freeze=self.override_freeze,
            **(self.options or {}),
        )

    @rollout_options.setter
    def rollout_options(self, chosen: RolloutOptions) -> None:
        rest = chosen.model_dump(mode="json")
        self.deployment_strategy = rest.pop("strategy")
        self.canary_percentage = rest.pop("canary_percentage")
        self.skip_analysis = rest.pop("skip_analysis")
        self.override_freeze = rest.pop("override_freeze")
        if rest:
            self.options = rest


class Release(Identified, Timestamped, Base):
    """A deployment's release: the artifact and the service section it was deployed with.

    `secrets`: references [{name, id, version}] to the project's secrets at its creation, without values. `processes`:
    the types that run beside the service, {name: section of delivery.yaml}.
    """

    __tablename__ = "releases"
    __table_args__ = (
        Index("ix_releases_environment_id_promoted_at", "environment_id", "promoted_at"),
        Index("ix_releases_state", "state"),
        Index("ix_releases_live_builds", "build_id", postgresql_where=text("state = 'active'")),
    )

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    environment_id: Mapped[UUID] = mapped_column(ForeignKey("environments.id"), index=True)
    deployment_id: Mapped[UUID] = mapped_column(ForeignKey("deployments.id"), index=True)
    build_id: Mapped[UUID] = mapped_column(ForeignKey("builds.id"))
    artifact_digest: Mapped[str] = mapped_column(String(128))
    service: Mapped[dict[str, Any]]
    secrets: Mapped[list[Any]] = mapped_column(default=list, server_default=text("'[]'"))
    processes: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    replicas: Mapped[int]
    state: Mapped[str] = mapped_column(String(16), default="starting")
    was_healthy: Mapped[bool] = mapped_column(default=False)
    promoted_at: Mapped[datetime | None]
    preview_token: Mapped[str | None] = mapped_column(String(64))
    stop_after: Mapped[datetime | None]


class Instance(Timestamped, Base):
    """One instance of a release; id is `{release_id}-{index}`. `in_rotation`: the router may send it traffic.

    `closes_idle`: it closes connections shortly after a response without announcing it. `type`: other types than `web`
    have no port, never get traffic, and have the type in their id: `{release_id}-{type}-{index}`.
    """

    __tablename__ = "instances"
    __table_args__ = (UniqueConstraint("release_id", "type", "index"),)

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    release_id: Mapped[UUID] = mapped_column(ForeignKey("releases.id"), index=True)
    type: Mapped[str] = mapped_column(String(63), default=WEB, server_default=WEB)
    index: Mapped[int]
    address: Mapped[str] = mapped_column(String(255))
    port: Mapped[int]
    in_rotation: Mapped[bool] = mapped_column(default=False)
    closes_idle: Mapped[bool] = mapped_column(default=False)


class Route(Timestamped, Base):
    """The desired route of an environment: `targets` is [{release_id, weight, preview?}], `sticky` {cookie, ttl}."""

    __tablename__ = "routes"

    environment_id: Mapped[UUID] = mapped_column(ForeignKey("environments.id"), primary_key=True)
    host: Mapped[str] = mapped_column(String(255), unique=True)
    targets: Mapped[list[Any]] = mapped_column(default=list)
    sticky: Mapped[dict[str, Any] | None]
    generation: Mapped[int] = mapped_column(BigInteger)


class RoutingGeneration(Base):
    """One row: the newest generation of the whole table. Its writers take an advisory lock (`RoutingRepository`)."""

    __tablename__ = "routing_generation"

    id: Mapped[int] = mapped_column(primary_key=True)
    generation: Mapped[int] = mapped_column(BigInteger, default=0)
