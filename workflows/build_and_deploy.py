"""A commit goes from git to live traffic."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from contracts.builds import (
    RECORD_BUILD,
    RECORD_BUILD_FAILURE,
    FetchedSource,
    LoadedBuild,
    PackagedArtifact,
    RecordBuild,
    RecordBuildFailure,
)
from contracts.names import WorkflowName
from contracts.operations import BuildAndDeployInput, OperationResult
from contracts.payload import bounded
from domain.lifecycle import OperationKind, StepName
from workflows.activity_calls import call, run_to_completion, to_operation_error
from workflows.build_steps import BuildSteps
from workflows.operation import OperationWorkflow, guarded
from workflows.orders import plan_for


@workflow.defn(name=WorkflowName.BUILD_AND_DEPLOY)
class BuildAndDeployWorkflow(OperationWorkflow):
    """source -> build -> test -> scan -> package -> attest -> record -> rollout."""

    @workflow.init
    def __init__(self, order: BuildAndDeployInput) -> None:
        super().__init__(order, OperationKind.BUILD_AND_DEPLOY, StepName)
        self.build_steps = BuildSteps(self.context, self.progress, self.cancellation)

    @workflow.run
    @guarded
    async def run(self, order: BuildAndDeployInput) -> OperationResult:
        build = await self._make_build(order)
        async with self.progress.step(StepName.ROLLOUT, "Preparing the rollout", waiting=True):
            await self.controls.await_approval()
            await self.lock.take()
            opened = await self.rollout.open(build)
            await self.rollout.run(plan_for(order, build.spec, opened))
        return self.result(build.build_id)

    async def _make_build(self, order: BuildAndDeployInput) -> LoadedBuild:
        try:
            source, artifact = await self.build_steps.make_artifact(order)
            async with self.progress.step(StepName.RECORD, "Recording the build"):
                return await self._record_build(order, source, artifact)
        except ActivityError as fault:
            await run_to_completion(self._record_failure(order, fault))
            raise
        finally:
            await run_to_completion(self.build_steps.close_workspace())

    async def _record_build(
        self, order: BuildAndDeployInput, source: FetchedSource, artifact: PackagedArtifact
    ) -> LoadedBuild:
        names = self._build_names(order, source)
        tests, scan = self.build_steps.tests, self.build_steps.scan
        status = scan.status if scan else None
        request = RecordBuild(**names, spec=source.spec, artifact=artifact, tests=tests, scan_status=status)
        summary = f"record build {order.version_tag}"
        build = await self.cancellation.call(RECORD_BUILD, request, summary=summary)
        self.progress.set_deployment(build_id=build.build_id)
        return LoadedBuild(build_id=build.build_id, artifact_digest=artifact.digest, spec=source.spec)

    async def _record_failure(self, order: BuildAndDeployInput, fault: ActivityError) -> None:
        """A build that failed has a row too, so that its logs and its fault can be found."""
        source = self.build_steps.source
        if source is None or self.progress.deployment.build_id is not None:
            return
        message = bounded(to_operation_error(fault).message)
        request = RecordBuildFailure(**self._build_names(order, source), message=message)
        failed = await call(RECORD_BUILD_FAILURE, request, summary="record the failed build")
        self.progress.set_deployment(build_id=failed.build_id)

    def _build_names(self, order: BuildAndDeployInput, source: FetchedSource) -> dict[str, object]:
        context = self.context
        return {
            "operation_id": context.operation_id,
            "organization_id": context.organization_id,
            "project_id": context.project_id,
            "feature_id": order.feature_id,
            "deployment_id": context.deployment_id,
            "version_tag": order.version_tag,
            "commit": source.commit,
            "branch": source.branch,
        }
