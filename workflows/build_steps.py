"""Making an artifact of a commit, in a workspace on one build worker.

Build-and-deploy begins with it, and so does the deployment of a build that was made elsewhere.
"""

from typing import Protocol

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from contracts.builds import (
    CLOSE_WORKSPACE,
    FETCH_SOURCE,
    OPEN_WORKSPACE,
    PACKAGE_ARTIFACT,
    RUN_BUILD,
    RUN_TESTS,
    CloseWorkspace,
    FetchedSource,
    FetchSource,
    OpenWorkspace,
    PackageArtifact,
    PackagedArtifact,
    RunBuild,
    RunTests,
    TestOutcome,
)
from contracts.names import BUILD_QUEUE
from contracts.policies import WORKSPACE_PICKUP
from contracts.stubs import ActivityStub, Request, Result
from domain.lifecycle import StepName
from workflows.activity_calls import call
from workflows.release_steps import DeliveringWorkflow

# A worker that dies with the workspace costs a new start elsewhere; three lost workers in a row are no accident.
MAX_WORKSPACES = 3


class Wanted(Protocol):
    """Which commit: without an id the tip of the branch, without a branch that of the default one."""

    @property
    def repository_url(self) -> str: ...
    @property
    def git_branch(self) -> str | None: ...
    @property
    def git_commit_hash(self) -> str | None: ...
    @property
    def source_path(self) -> str: ...


class MakingWorkflow(DeliveringWorkflow):
    """Base of the workflows that make an artifact before they deliver it; `_prepare_making` in `@workflow.init`.

    Whoever calls `make_artifact` calls `close_workspace` after it, whatever happened.
    """

    def _prepare_making(self) -> None:
        self._queue = BUILD_QUEUE
        self._source: FetchedSource | None = None
        self._tests: TestOutcome | None = None

    async def make_artifact(self, wanted: Wanted) -> tuple[FetchedSource, PackagedArtifact]:
        """The steps from source to attest; a lost worker costs a new start on another one."""
        for attempt in range(1, MAX_WORKSPACES + 1):
            try:
                return await self._make_on_one_worker(wanted)
            except ActivityError as fault:
                if attempt == MAX_WORKSPACES or not _worker_is_gone(fault):
                    raise
                workflow.logger.warning("the worker holding the workspace is gone; starting again elsewhere")
        raise ApplicationError("unreachable", non_retryable=True)

    async def close_workspace(self) -> None:
        """Remove the workspace, or leave that to the sweep of its worker."""
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

    async def _make_on_one_worker(self, wanted: Wanted) -> tuple[FetchedSource, PackagedArtifact]:
        if workflow.patched("told-wait-for-slot"):
            self.ledger.start_step(StepName.SOURCE, "Waiting for a build slot", workflow.now(), waiting=True)
            await self.record()
        workspace = await self.call(
            OPEN_WORKSPACE,
            OpenWorkspace(
                operation_id=self.place.operation_id,
                organization_id=self.place.organization_id,
                project_id=self.place.project_id,
            ),
            queue=BUILD_QUEUE,
            summary="wait for a build slot, make a workspace",
            for_organization=self.place.organization_id,
        )
        self.ledger.end_wait(workflow.now())
        self._queue = workspace.queue
        self._source = source = await self.step(StepName.SOURCE, "Fetching the source", self._fetch(wanted))
        if source.notice:
            self.ledger.note(StepName.SOURCE, source.notice)
        known = {"git_branch": wanted.git_branch or source.branch, "git_commit_hash": source.commit}
        self.deployment = self.deployment.model_copy(update=known)
        await self.step(StepName.BUILD, "Building", self._build(source))
        self._tests = await self._test(source)
        self.skip(StepName.SCAN, "no scanner is installed")
        artifact = await self.step(StepName.PACKAGE, "Packaging the artifact", self._package(source))
        self.skip(StepName.ATTEST, "no signing key is set up")
        return source, artifact

    async def _at_workspace(self, stub: ActivityStub[Request, Result], request: Request, summary: str) -> Result:
        return await self.call(
            stub,
            request,
            queue=self._queue,
            pickup=WORKSPACE_PICKUP,
            summary=summary,
            for_organization=self.place.organization_id,
        )

    async def _fetch(self, wanted: Wanted) -> FetchedSource:
        """What a branch stands for is decided once: a new start elsewhere fetches the commit that was found first."""
        found = self._source
        branch, commit = (found.branch, found.commit) if found else (wanted.git_branch, wanted.git_commit_hash)
        request = FetchSource(
            operation_id=self.place.operation_id,
            repository_url=wanted.repository_url,
            git_branch=branch,
            git_commit_hash=commit,
            project_id=self.place.project_id,
            source_path=wanted.source_path,
        )
        words = (commit or "")[:12] or f"the tip of {branch or 'the default branch'}"
        return await self._at_workspace(FETCH_SOURCE, request, f"fetch {words}")

    async def _build(self, source: FetchedSource) -> None:
        request = RunBuild(operation_id=self.place.operation_id, source_path=_folder(source), spec=source.spec.build)
        await self._at_workspace(RUN_BUILD, request, "run the build")

    async def _test(self, source: FetchedSource) -> TestOutcome | None:
        if source.spec.test.command is None:
            self.skip(StepName.TEST, "delivery.yaml has no test command")
            return None
        request = RunTests(operation_id=self.place.operation_id, source_path=_folder(source), spec=source.spec.test)
        return await self.step(StepName.TEST, "Testing", self._at_workspace(RUN_TESTS, request, "run the tests"))

    async def _package(self, source: FetchedSource) -> PackagedArtifact:
        request = PackageArtifact(
            operation_id=self.place.operation_id,
            source_path=_folder(source),
            output_path=source.spec.build.output,
        )
        return await self._at_workspace(PACKAGE_ARTIFACT, request, "store the artifact")


def _folder(source: FetchedSource) -> str:
    """Of the service, below the repository's root."""
    return source.spec.source.path if source.folder is None else source.folder


def _worker_is_gone(fault: ActivityError) -> bool:
    cause = fault.__cause__
    return isinstance(cause, TemporalTimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START
