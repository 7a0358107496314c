"""A build that exists goes live; one made elsewhere is made from its commit first, unless its artifact is here."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.builds import FIND_ARTIFACT, KEEP_ARTIFACT, LOAD_BUILD, KeepArtifact, LoadBuild, LoadedBuild
from contracts.names import WorkflowName
from contracts.operations import BuildSource, DeployInput, OperationResult
from contracts.payload import bounded
from domain.errors import ErrorCode
from domain.lifecycle import OperationKind, StepName
from workflows.activity_calls import run_to_completion, to_operation_error, was_cancelled
from workflows.build_steps import BuildSteps
from workflows.operation import OperationWorkflow, guarded
from workflows.orders import plan_for

BUILD_STEPS = tuple(step for step in StepName if step is not StepName.ROLLOUT)


@workflow.defn(name=WorkflowName.DEPLOY)
class DeployWorkflow(OperationWorkflow):
    """The rollout of a build-and-deploy, without the build; with it (but for the tests) when the order has a source."""

    @workflow.init
    def __init__(self, order: DeployInput) -> None:
        super().__init__(order, OperationKind.DEPLOY, StepName if order.source else [StepName.ROLLOUT])
        self.build_steps = BuildSteps(self.context, self.progress, self.cancellation, made_elsewhere=order.build_id)

    @workflow.run
    @guarded
    async def run(self, order: DeployInput) -> OperationResult:
        build = await self._find_or_make(order, order.source) if order.source else None
        async with self.progress.step(StepName.ROLLOUT, "Preparing the rollout", waiting=True):
            build = build or await self._load(order)
            await self.controls.await_approval()
            await self.lock.take()
            opened = await self.rollout.open(build)
            await self.rollout.run(plan_for(order, build.spec, opened))
        return self.result(order.build_id)

    async def _load(self, order: DeployInput) -> LoadedBuild:
        request = LoadBuild(build_id=order.build_id)
        return await self.cancellation.call(LOAD_BUILD, request, summary=f"load build {order.version_tag}")

    async def _find_or_make(self, order: DeployInput, source: BuildSource) -> LoadedBuild:
        """The build with its artifact: another deployment of it may have made that meanwhile."""
        request = LoadBuild(build_id=order.build_id)
        summary = f"is the artifact of {order.version_tag} here?"
        found = await self.cancellation.call(FIND_ARTIFACT, request, summary=summary)
        if found.build is None:
            return await self._make(order, source)
        for name in BUILD_STEPS:
            self.progress.skip_step(name, "the artifact was made by an earlier deployment of this build")
        return found.build

    async def _make(self, order: DeployInput, source: BuildSource) -> LoadedBuild:
        """Of two deployments that make it at once, the first one's artifact is the build's: both deliver that."""
        try:
            fetched, artifact = await self.build_steps.make_artifact(source)
            async with self.progress.step(StepName.RECORD, "Recording the artifact"):
                request = KeepArtifact(build_id=order.build_id, artifact=artifact, spec=fetched.spec)
                summary = f"record the artifact of {order.version_tag}"
                return await self.cancellation.call(KEEP_ARTIFACT, request, summary=summary)
        except ActivityError as fault:
            if was_cancelled(fault):
                raise
            raise _unavailable(order, source, fault) from fault
        finally:
            await run_to_completion(self.build_steps.close_workspace())


def _unavailable(order: DeployInput, source: BuildSource, fault: ActivityError) -> ApplicationError:
    why = to_operation_error(fault)
    commit = source.git_commit_hash
    return ApplicationError(
        bounded(
            f"the artifact of version {order.version_tag}, which was built elsewhere, is not here and could "
            f"not be made from {source.repository_url} at {commit}: {why.message}"
        ),
        {**why.details, "cause": why.code, "build_id": str(order.build_id), "git_commit_hash": commit},
        type=ErrorCode.ARTIFACT_UNAVAILABLE,
        non_retryable=True,
    )
