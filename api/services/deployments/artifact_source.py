"""What is brought into an environment: a commit that is built first, or a build that exists."""

from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from api.services.deployments.options import RequiredApproval
from api.services.deployments.rollback import invalid_state
from contracts.operations import BuildAndDeployInput, BuildSource, DeployInput, OperationContext
from domain.errors import UnprocessableError
from domain.lifecycle import BuildProvenance, BuildStatus, OperationKind, StepName
from domain.projects import ONLY_GIT, RepositoryType
from domain.rollout_options import RolloutOptions
from storage.models import Build, Project


class ArtifactSource(Protocol):
    """What is brought: `kind` and `steps` are those of its operation; version, branch and commit as asked for."""

    @property
    def kind(self) -> OperationKind: ...
    @property
    def steps(self) -> tuple[StepName, ...]: ...
    @property
    def feature_id(self) -> UUID | None: ...
    @property
    def build_id(self) -> UUID | None: ...
    @property
    def version_tag(self) -> str: ...
    @property
    def git_branch(self) -> str | None: ...
    @property
    def git_commit_hash(self) -> str | None: ...

    def order(
        self, place: OperationContext, options: RolloutOptions, approval: RequiredApproval
    ) -> BuildAndDeployInput | DeployInput:
        """The input of the workflow that brings it."""


@dataclass(frozen=True)
class NewVersion:
    """A commit that is built first."""

    feature_id: UUID
    repository_url: str
    version_tag: str
    git_branch: str | None
    git_commit_hash: str | None
    source_path: str = "."
    kind = OperationKind.BUILD_AND_DEPLOY
    steps = tuple(StepName)
    build_id = None

    def order(
        self, place: OperationContext, options: RolloutOptions, approval: RequiredApproval
    ) -> BuildAndDeployInput:
        """The input of BuildAndDeploy."""
        return BuildAndDeployInput(
            place=place,
            feature_id=self.feature_id,
            repository_url=self.repository_url,
            version_tag=self.version_tag,
            git_branch=self.git_branch,
            git_commit_hash=self.git_commit_hash,
            options=options,
            approval=approval.policy,
            approved_by=approval.approved_by,
            approvers=approval.approvers,
            requester=approval.requester,
            source_path=self.source_path,
        )


@dataclass(frozen=True)
class MadeBuild:
    """A build that exists. `source`: its artifact is not here, so it is made from there first."""

    build_id: UUID
    version_tag: str
    git_branch: str | None
    git_commit_hash: str | None
    feature_id: UUID
    source: BuildSource | None = None
    kind = OperationKind.DEPLOY

    @property
    def steps(self) -> tuple[StepName, ...]:
        """The rollout, or everything."""
        return tuple(StepName) if self.source else (StepName.ROLLOUT,)

    def order(self, place: OperationContext, options: RolloutOptions, approval: RequiredApproval) -> DeployInput:
        """The input of Deploy."""
        return DeployInput(
            place=place,
            build_id=self.build_id,
            version_tag=self.version_tag,
            options=options,
            approval=approval.policy,
            approved_by=approval.approved_by,
            approvers=approval.approvers,
            requester=approval.requester,
            source=self.source,
        )


def source_of(build: Build, project: Project) -> MadeBuild:
    """A deployable build; one without an artifact is made from the project's repository.

    Raises:
        UnprocessableError: it would have to be made, and the repository is none that we can build.
    """
    made = MadeBuild(build.id, build.version_tag, build.git_branch, build.git_commit_hash, build.feature_id)
    if build.artifact_digest is not None:
        return made
    check_buildable(project)
    source = BuildSource(
        repository_url=project.repository_url,
        git_commit_hash=build.git_commit_hash,
        git_branch=build.git_branch,
        source_path=project.source_path,
    )
    return replace(made, source=source)


def check_buildable(project: Project) -> None:
    """Raise `UnprocessableError` for repositories that we cannot fetch."""
    if project.repository_type != RepositoryType.GIT:
        raise UnprocessableError(ONLY_GIT)


def is_deployable(build: Build) -> bool:
    """Whether a build went well, and its artifact is here or can be made: that of a build made elsewhere can."""
    at_hand = build.artifact_digest is not None or build.provenance == BuildProvenance.REPORTED
    return build.status == BuildStatus.SUCCESS and at_hand


def check_deployable(build: Build) -> None:
    """Raise `ConflictError(INVALID_STATE)` unless the build went well and its artifact is here or can be made."""
    if build.status != BuildStatus.SUCCESS:
        raise invalid_state(f"the build is {build.status}; only a successful one can be deployed", build.status)
    if not is_deployable(build):
        raise invalid_state(
            "the build has no artifact here, so there is nothing to start; build the version with build-and-deploy",
            build.status,
        )
