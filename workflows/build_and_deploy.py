"""A commit goes from git to live traffic."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

from contracts.builds import (
    RECORD_BUILD,
    RECORD_BUILD_FAILURE,
    FetchedSource,
    PackagedArtifact,
    RecordBuild,
    RecordBuildFailure,
    RecordedBuild,
)
from contracts.names import WorkflowName
from contracts.operations import BuildAndDeployInput, OperationResult
from contracts.payload import bounded
from domain.lifecycle import OperationKind, StepName
from workflows.activity_calls import call, run_to_completion, to_operation_error
from workflows.build_steps import MakingWorkflow


@workflow.defn(name=WorkflowName.BUILD_AND_DEPLOY)
class BuildAndDeployWorkflow(MakingWorkflow):
    """source -> build -> test -> scan -> package -> attest -> record -> rollout."""

    @workflow.init
    def __init__(self, order: BuildAndDeployInput) -> None:
        self._order = order
        self._built: RecordedBuild | None = None
        self._prepare_making()
        self._prepare_delivery(order, OperationKind.BUILD_AND_DEPLOY, list(StepName))

    @workflow.run
    async def run(self, _order: BuildAndDeployInput) -> OperationResult:
        return await self._guard(self._deliver())

    async def _deliver(self) -> OperationResult:
        try:
            source, artifact = await self.make_artifact(self._order)
            build = await self.step(StepName.RECORD, "Recording the build", self._record_build(source, artifact))
        except ActivityError as fault:
            await run_to_completion(self._record_failure(fault))
            raise
        finally:
            await run_to_completion(self.close_workspace())
        rollout = self._roll_out(build.build_id, artifact.digest, source.spec)
        await self.step(StepName.ROLLOUT, "Preparing the rollout", rollout, waiting=True)
        return OperationResult(
            operation_id=self.place.operation_id, deployment_id=self.place.deployment_id, build_id=build.build_id
        )

    async def _record_build(self, source: FetchedSource, artifact: PackagedArtifact) -> RecordedBuild:
        request = RecordBuild(
            **self._build_names(source), spec=source.spec, artifact=artifact, tests=self._tests, scan_status=None
        )
        self._built = await self.call(RECORD_BUILD, request, summary=f"record build {self._order.version_tag}")
        self.deployment = self.deployment.model_copy(update={"build_id": self._built.build_id})
        return self._built

    async def _record_failure(self, fault: ActivityError) -> None:
        """A build that failed has a row too, so that its logs and its fault can be found."""
        if self._source is None or self._built is not None:
            return
        message = bounded(to_operation_error(fault).message)
        request = RecordBuildFailure(**self._build_names(self._source), message=message)
        failed = await call(RECORD_BUILD_FAILURE, request, summary="record the failed build")
        self.deployment = self.deployment.model_copy(update={"build_id": failed.build_id})

    def _build_names(self, source: FetchedSource) -> dict[str, object]:
        return {
            "operation_id": self.place.operation_id,
            "organization_id": self.place.organization_id,
            "project_id": self.place.project_id,
            "feature_id": self._order.feature_id,
            "deployment_id": self.place.deployment_id,
            "version_tag": self._order.version_tag,
            "commit": source.commit,
            "branch": source.branch,
        }
