"""What is brought into an environment: a commit that is built first, or a build that exists."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from api.rollbacks import invalid_state
from api.terms import Consent, Terms
from contracts.operations import BuildAndDeployInput, DeployInput, Place
from domain.lifecycle import BuildStatus, OperationKind, StepName
from storage.models import Build


class Cargo(Protocol):
    """What is brought: `kind` and `steps` are those of its operation."""

    @property
    def kind(self) -> OperationKind: ...
    @property
    def steps(self) -> tuple[StepName, ...]: ...
    @property
    def feature_id(self) -> UUID | None: ...
    @property
    def build_id(self) -> UUID | None: ...

    def order(self, place: Place, terms: Terms, consent: Consent) -> BuildAndDeployInput | DeployInput:
        """The input of the workflow that brings it."""


@dataclass(frozen=True)
class NewVersion:
    """A commit that is built first."""

    feature_id: UUID
    repository_url: str
    version_tag: str
    git_branch: str | None
    git_commit_hash: str | None
    kind = OperationKind.BUILD_AND_DEPLOY
    steps = tuple(StepName)
    build_id = None

    def order(self, place: Place, terms: Terms, consent: Consent) -> BuildAndDeployInput:
        """The input of BuildAndDeploy."""
        return BuildAndDeployInput(
            place=place,
            feature_id=self.feature_id,
            repository_url=self.repository_url,
            version_tag=self.version_tag,
            git_branch=self.git_branch,
            git_commit_hash=self.git_commit_hash,
            strategy=terms.strategy,
            canary_percentage=terms.canary_percentage,
            approval=consent.policy,
            approved_by=consent.approved_by,
            skip_analysis=terms.skip_analysis,
            override_freeze=terms.override_freeze,
        )


@dataclass(frozen=True)
class MadeBuild:
    """A build that exists."""

    build_id: UUID
    version_tag: str
    feature_id: UUID
    kind = OperationKind.DEPLOY
    steps = (StepName.ROLLOUT,)

    def order(self, place: Place, terms: Terms, consent: Consent) -> DeployInput:
        """The input of Deploy."""
        return DeployInput(
            place=place,
            build_id=self.build_id,
            version_tag=self.version_tag,
            strategy=terms.strategy,
            canary_percentage=terms.canary_percentage,
            approval=consent.policy,
            approved_by=consent.approved_by,
            skip_analysis=terms.skip_analysis,
            override_freeze=terms.override_freeze,
        )


def is_deployable(build: Build) -> bool:
    """Whether a build went well and its artifact is here."""
    return build.status == BuildStatus.SUCCESS and build.artifact_digest is not None


def check_deployable(build: Build) -> None:
    """Raise `ConflictError(INVALID_STATE)` unless the build went well and its artifact is here."""
    if build.status != BuildStatus.SUCCESS:
        raise invalid_state(f"the build is {build.status}; only a successful one can be deployed", build.status)
    if not is_deployable(build):
        raise invalid_state(
            "the build has no artifact here, so there is nothing to start; build the version with build-and-deploy",
            build.status,
        )
