"""A commit goes from git to live traffic."""

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from contracts.builds import (
    CLOSE_WORKSPACE,
    FETCH_SOURCE,
    OPEN_WORKSPACE,
    PACKAGE_ARTIFACT,
    RECORD_BUILD,
    RECORD_BUILD_FAILURE,
    RUN_BUILD,
    RUN_TESTS,
    CloseWorkspace,
    FetchedSource,
    FetchSource,
    OpenWorkspace,
    PackageArtifact,
    PackagedArtifact,
    RecordBuild,
    RecordBuildFailure,
    RecordedBuild,
    RunBuild,
    RunTests,
    TestOutcome,
)
from contracts.names import BUILD_QUEUE, WorkflowName
from contracts.operations import BuildAndDeployInput, OperationResult
from contracts.payload import bounded
from contracts.policies import WORKSPACE_PICKUP
from contracts.stubs import ActivityStub, Request, Result
from domain.lifecycle import OperationKind, StepName
from workflows.calls import call, explain, to_the_end
from workflows.delivering import DeliveringWorkflow

# A worker that dies with the workspace costs a new start elsewhere; three lost workers in a row are no accident.
MAX_WORKSPACES = 3


@workflow.defn(name=WorkflowName.BUILD_AND_DEPLOY)
class BuildAndDeployWorkflow(DeliveringWorkflow):
    """source -> build -> test -> scan -> package -> attest -> record -> rollout."""

    @workflow.init
    def __init__(self, order: BuildAndDeployInput) -> None:
        self._order = order
        self._queue = BUILD_QUEUE
        self._source: FetchedSource | None = None
        self._tests: TestOutcome | None = None
        self._built: RecordedBuild | None = None
        self._prepare_delivery(order, OperationKind.BUILD_AND_DEPLOY, list(StepName))

    @workflow.run
    async def run(self, _order: BuildAndDeployInput) -> OperationResult:
        return await self._guard(self._deliver())

    async def _deliver(self) -> OperationResult:
        try:
            source, artifact = await self._make_artifact()
            build = await self.step(StepName.RECORD, "Recording the build", self._record_build(source, artifact))
        except ActivityError as fault:
            await to_the_end(self._record_failure(fault))
            raise
        finally:
            await to_the_end(self._close_workspace())
        rollout = self._roll_out(build.build_id, artifact.digest, source.spec)
        await self.step(StepName.ROLLOUT, "Preparing the rollout", rollout, waiting=True)
        return OperationResult(
            operation_id=self.place.operation_id, deployment_id=self.place.deployment_id, build_id=build.build_id
        )

    async def _make_artifact(self) -> tuple[FetchedSource, PackagedArtifact]:
        for attempt in range(1, MAX_WORKSPACES + 1):
            try:
                return await self._make_artifact_on_one_worker()
            except ActivityError as fault:
                if attempt == MAX_WORKSPACES or not _worker_is_gone(fault):
                    raise
                workflow.logger.warning("the worker holding the workspace is gone; starting again elsewhere")
        raise ApplicationError("unreachable", non_retryable=True)

    async def _make_artifact_on_one_worker(self) -> tuple[FetchedSource, PackagedArtifact]:
        workspace = await self.call(
            OPEN_WORKSPACE,
            OpenWorkspace(operation_id=self.place.operation_id),
            queue=BUILD_QUEUE,
            summary="make a workspace",
        )
        self._queue = workspace.queue
        self._source = source = await self.step(StepName.SOURCE, "Fetching the source", self._fetch())
        await self.step(StepName.BUILD, "Building", self._build(source))
        self._tests = await self._test(source)
        self.skip(StepName.SCAN, "no scanner is installed")
        artifact = await self.step(StepName.PACKAGE, "Packaging the artifact", self._package(source))
        self.skip(StepName.ATTEST, "no signing key is set up")
        return source, artifact

    async def _at_workspace(self, stub: ActivityStub[Request, Result], request: Request, summary: str) -> Result:
        return await self.call(stub, request, queue=self._queue, pickup=WORKSPACE_PICKUP, summary=summary)

    async def _fetch(self) -> FetchedSource:
        request = FetchSource(
            operation_id=self.place.operation_id,
            repository_url=self._order.repository_url,
            git_branch=self._order.git_branch,
            git_commit_hash=self._order.git_commit_hash,
        )
        commit = (self._order.git_commit_hash or "")[:12]
        wanted = commit or f"the tip of {self._order.git_branch or 'the default branch'}"
        return await self._at_workspace(FETCH_SOURCE, request, f"fetch {wanted}")

    async def _build(self, source: FetchedSource) -> None:
        request = RunBuild(
            operation_id=self.place.operation_id, source_path=source.spec.source.path, spec=source.spec.build
        )
        await self._at_workspace(RUN_BUILD, request, "run the build")

    async def _test(self, source: FetchedSource) -> TestOutcome | None:
        if source.spec.test.command is None:
            self.skip(StepName.TEST, "delivery.yaml has no test command")
            return None
        request = RunTests(
            operation_id=self.place.operation_id, source_path=source.spec.source.path, spec=source.spec.test
        )
        return await self.step(StepName.TEST, "Testing", self._at_workspace(RUN_TESTS, request, "run the tests"))

    async def _package(self, source: FetchedSource) -> PackagedArtifact:
        request = PackageArtifact(
            operation_id=self.place.operation_id,
            source_path=source.spec.source.path,
            output_path=source.spec.build.output,
        )
        return await self._at_workspace(PACKAGE_ARTIFACT, request, "store the artifact")

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
        message = bounded(explain(fault).message)
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

    async def _close_workspace(self) -> None:
        try:
            await call(
                CLOSE_WORKSPACE,
                CloseWorkspace(operation_id=self.place.operation_id),
                queue=self._queue,
                pickup=WORKSPACE_PICKUP,
                summary="remove the workspace",
            )
        except ActivityError:
            # Its worker is gone; the sweep of that worker's folder removes it when it comes back.
            workflow.logger.warning("the workspace could not be removed now")


def _worker_is_gone(fault: ActivityError) -> bool:
    cause = fault.__cause__
    return isinstance(cause, TemporalTimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START
