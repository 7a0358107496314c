"""A build that exists goes live; one made elsewhere is made from its commit first, unless its artifact is here."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.builds import (
    FIND_ARTIFACT,
    KEEP_ARTIFACT,
    LOAD_BUILD,
    FetchedSource,
    KeepArtifact,
    LoadBuild,
    LoadedBuild,
    PackagedArtifact,
    TestOutcome,
)
from contracts.names import WorkflowName
from contracts.operations import BuildSource, DeployInput, OperationResult
from contracts.payload import bounded
from domain.errors import ErrorCode
from domain.lifecycle import OperationKind, StepName
from workflows.activity_calls import run_to_completion, to_operation_error, was_cancelled
from workflows.build_steps import MakingWorkflow, Wanted

MAKING = tuple(step for step in StepName if step is not StepName.ROLLOUT)


@workflow.defn(name=WorkflowName.DEPLOY)
class DeployWorkflow(MakingWorkflow):
    """The rollout of a build-and-deploy, without the build; with it (but for the tests) when the order has a source."""

    @workflow.init
    def __init__(self, order: DeployInput) -> None:
        self._order = order
        self._prepare_making()
        self._prepare_delivery(order, OperationKind.DEPLOY, list(StepName) if order.source else [StepName.ROLLOUT])

    @workflow.run
    async def run(self, _order: DeployInput) -> OperationResult:
        return await self._guard(self._deliver())

    async def _deliver(self) -> OperationResult:
        source = self._order.source
        rollout = self._load_and_roll_out() if source is None else self._roll_out_build(await self._at_hand(source))
        await self.step(StepName.ROLLOUT, "Preparing the rollout", rollout, waiting=True)
        return OperationResult(
            operation_id=self.place.operation_id,
            deployment_id=self.place.deployment_id,
            build_id=self._order.build_id,
        )

    async def _load_and_roll_out(self) -> None:
        request = LoadBuild(build_id=self._order.build_id)
        build = await self.call(LOAD_BUILD, request, summary=f"load build {self._order.version_tag}")
        await self._roll_out_build(build)

    async def _roll_out_build(self, build: LoadedBuild) -> None:
        await self._roll_out(build.build_id, build.artifact_digest, build.spec)

    async def _at_hand(self, source: BuildSource) -> LoadedBuild:
        """The build with its artifact: another deployment of it may have made that meanwhile."""
        request = LoadBuild(build_id=self._order.build_id)
        found = await self.call(FIND_ARTIFACT, request, summary=f"is the artifact of {self._order.version_tag} here?")
        if found.build is None:
            return await self._materialise(source)
        for name in MAKING:
            self.skip(name, "the artifact was made by an earlier deployment of this build")
        return found.build

    async def _materialise(self, source: BuildSource) -> LoadedBuild:
        try:
            made = await self.make_artifact(source)
            return await self.step(StepName.RECORD, "Recording the artifact", self._keep(*made))
        except ActivityError as fault:
            if was_cancelled(fault):
                raise
            raise self._unavailable(source, fault) from fault
        finally:
            await run_to_completion(self.close_workspace())

    async def _keep(self, source: FetchedSource, artifact: PackagedArtifact) -> LoadedBuild:
        """Of two deployments that make it at once, the first one's artifact is the build's: both deliver that."""
        request = KeepArtifact(build_id=self._order.build_id, artifact=artifact, spec=source.spec)
        return await self.call(KEEP_ARTIFACT, request, summary=f"record the artifact of {self._order.version_tag}")

    async def _fetch(self, wanted: Wanted) -> FetchedSource:
        """A branch is often gone once it is merged: its commit may be found without it."""
        try:
            return await super()._fetch(wanted)
        except ActivityError as fault:
            if wanted.git_branch is None or to_operation_error(fault).code != ErrorCode.SOURCE_REF_NOT_FOUND:
                raise
            try:
                return await super()._fetch(_without_branch(wanted))
            except ActivityError as second:
                if was_cancelled(second):
                    raise
                raise fault from fault.__cause__  # the first one names what was asked for

    async def _test(self, source: FetchedSource) -> TestOutcome | None:
        del source
        self.skip(StepName.TEST, "the build was made and tested elsewhere; its results are those that were reported")
        return None

    def _unavailable(self, source: BuildSource, fault: ActivityError) -> ApplicationError:
        why = to_operation_error(fault)
        commit = source.git_commit_hash
        return ApplicationError(
            bounded(
                f"the artifact of version {self._order.version_tag}, which was built elsewhere, is not here and could "
                f"not be made from {source.repository_url} at {commit}: {why.message}"
            ),
            {**why.details, "cause": why.code, "build_id": str(self._order.build_id), "git_commit_hash": commit},
            type=ErrorCode.ARTIFACT_UNAVAILABLE,
            non_retryable=True,
        )


def _without_branch(wanted: Wanted) -> BuildSource:
    return BuildSource(
        repository_url=wanted.repository_url,
        git_commit_hash=wanted.git_commit_hash or "",
        source_path=wanted.source_path,
    )
