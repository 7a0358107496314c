"""Making an artifact of a commit, in a workspace on one build worker.

Build-and-deploy begins with it, and so does the deployment of a build that was made elsewhere.
"""

from typing import Protocol
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutType
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from contracts.builds import (
    ATTEST_BUILD,
    CLOSE_WORKSPACE,
    FETCH_SOURCE,
    OPEN_WORKSPACE,
    PACKAGE_ARTIFACT,
    RUN_BUILD,
    RUN_SCAN,
    RUN_TESTS,
    AttestBuild,
    CloseWorkspace,
    FetchedSource,
    FetchSource,
    OpenWorkspace,
    PackageArtifact,
    PackagedArtifact,
    RunBuild,
    RunScan,
    RunTests,
    ScanOutcome,
    TestOutcome,
)
from contracts.names import BUILD_QUEUE
from contracts.operations import BuildSource, OperationContext
from contracts.policies import WORKSPACE_PICKUP
from contracts.stubs import ActivityStub, Request, Result
from domain.errors import ErrorCode
from domain.lifecycle import StepName
from workflows.activity_calls import call, to_operation_error, was_cancelled
from workflows.cancellation import Cancellation
from workflows.progress_tracker import ProgressTracker

# A worker that dies with the workspace costs a new start elsewhere; three lost workers in a row are no accident.
MAX_WORKSPACES = 3

# Histories from before it: the wait for a build slot was not shown.
SLOT_WAIT_PATCH = "told-wait-for-slot"

# Histories from before it: nothing was scanned, nothing signed.
SCANS_PATCH = "scans-and-attests"


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


class BuildSteps:
    """The steps from source to attest; after `make_artifact`, however it ended, comes `close_workspace`.

    `made_elsewhere`: the build that was made and tested elsewhere; only its artifact is to be made.
    """

    def __init__(
        self,
        context: OperationContext,
        progress: ProgressTracker,
        cancellation: Cancellation,
        *,
        made_elsewhere: UUID | None = None,
    ) -> None:
        self._context = context
        self._progress = progress
        self._cancellation = cancellation
        self._made_elsewhere = made_elsewhere
        self._queue = BUILD_QUEUE
        self.source: FetchedSource | None = None
        self.tests: TestOutcome | None = None
        self.scan: ScanOutcome | None = None

    async def make_artifact(self, wanted: Wanted) -> tuple[FetchedSource, PackagedArtifact]:
        """Everything on one worker; a lost worker costs a new start on another one."""
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
                CloseWorkspace(operation_id=self._context.operation_id),
                queue=self._queue,
                pickup=WORKSPACE_PICKUP,
                summary="remove the workspace",
            )
        except ActivityError:
            # Its worker is gone; the sweep of that worker's folder removes it when it comes back.
            workflow.logger.warning("the workspace could not be removed now")

    async def _make_on_one_worker(self, wanted: Wanted) -> tuple[FetchedSource, PackagedArtifact]:
        await self._open_workspace()
        async with self._progress.step(StepName.SOURCE, "Fetching the source"):
            self.source = source = await self._fetch(wanted)
        self._show_source(wanted, source)
        async with self._progress.step(StepName.BUILD, "Building"):
            await self._build(source)
        self.tests = await self._test(source)
        scanned = workflow.patched(SCANS_PATCH)
        if scanned:
            self.scan = await self._scan(source)
        else:
            self._progress.skip_step(StepName.SCAN, "no scanner is installed")
        async with self._progress.step(StepName.PACKAGE, "Packaging the artifact"):
            artifact = await self._package(source)
        if scanned:
            await self._attest(wanted, source, artifact)
        else:
            self._progress.skip_step(StepName.ATTEST, "no signing key is set up")
        return source, artifact

    async def _open_workspace(self) -> None:
        if workflow.patched(SLOT_WAIT_PATCH):
            await self._progress.start_step(StepName.SOURCE, "Waiting for a build slot", waiting=True)
        workspace = await self._cancellation.call(
            OPEN_WORKSPACE,
            OpenWorkspace(
                operation_id=self._context.operation_id,
                organization_id=self._context.organization_id,
                project_id=self._context.project_id,
            ),
            queue=BUILD_QUEUE,
            summary="wait for a build slot, make a workspace",
            for_organization=self._context.organization_id,
        )
        self._progress.end_wait()
        self._queue = workspace.queue

    def _show_source(self, wanted: Wanted, source: FetchedSource) -> None:
        if source.notice:
            self._progress.note(StepName.SOURCE, source.notice)
        self._progress.set_deployment(git_branch=wanted.git_branch or source.branch, git_commit_hash=source.commit)

    async def _at_workspace(self, stub: ActivityStub[Request, Result], request: Request, summary: str) -> Result:
        return await self._cancellation.call(
            stub,
            request,
            queue=self._queue,
            pickup=WORKSPACE_PICKUP,
            summary=summary,
            for_organization=self._context.organization_id,
        )

    async def _fetch(self, wanted: Wanted) -> FetchedSource:
        """Of a build made elsewhere, the branch is often gone once it is merged: its commit may be found without it."""
        try:
            return await self._fetch_commit(wanted)
        except ActivityError as fault:
            branch_is_gone = to_operation_error(fault).code == ErrorCode.SOURCE_REF_NOT_FOUND
            if not self._made_elsewhere or wanted.git_branch is None or not branch_is_gone:
                raise
            try:
                return await self._fetch_commit(_without_branch(wanted))
            except ActivityError as second:
                if was_cancelled(second):
                    raise
                raise fault from fault.__cause__  # the first one names what was asked for

    async def _fetch_commit(self, wanted: Wanted) -> FetchedSource:
        """What a branch stands for is decided once: a new start elsewhere fetches the commit that was found first."""
        found = self.source
        branch, commit = (found.branch, found.commit) if found else (wanted.git_branch, wanted.git_commit_hash)
        request = FetchSource(
            operation_id=self._context.operation_id,
            repository_url=wanted.repository_url,
            git_branch=branch,
            git_commit_hash=commit,
            project_id=self._context.project_id,
            source_path=wanted.source_path,
        )
        what = (commit or "")[:12] or f"the tip of {branch or 'the default branch'}"
        return await self._at_workspace(FETCH_SOURCE, request, f"fetch {what}")

    async def _build(self, source: FetchedSource) -> None:
        operation_id, spec = self._context.operation_id, source.spec.build
        request = RunBuild(operation_id=operation_id, source_path=_folder(source), spec=spec)
        await self._at_workspace(RUN_BUILD, request, "run the build")

    async def _test(self, source: FetchedSource) -> TestOutcome | None:
        if self._made_elsewhere:
            why = "the build was made and tested elsewhere; its results are those that were reported"
            self._progress.skip_step(StepName.TEST, why)
            return None
        if source.spec.test.command is None:
            self._progress.skip_step(StepName.TEST, "delivery.yaml has no test command")
            return None
        operation_id, spec = self._context.operation_id, source.spec.test
        request = RunTests(operation_id=operation_id, source_path=_folder(source), spec=spec)
        async with self._progress.step(StepName.TEST, "Testing"):
            outcome = await self._at_workspace(RUN_TESTS, request, "run the tests")
        if outcome.detail:
            self._progress.note(StepName.TEST, outcome.detail)
        return outcome

    async def _scan(self, source: FetchedSource) -> ScanOutcome:
        request = RunScan(
            operation_id=self._context.operation_id,
            organization_id=self._context.organization_id,
            project_id=self._context.project_id,
            source_path=_folder(source),
            spec=source.spec.scan,
            build_id=self._made_elsewhere,
        )
        await self._progress.start_step(StepName.SCAN, "Running security scans")
        outcome = await self._at_workspace(RUN_SCAN, request, "run the scanners")
        self._progress.settle_step(StepName.SCAN, outcome)
        return outcome

    async def _attest(self, wanted: Wanted, source: FetchedSource, artifact: PackagedArtifact) -> None:
        request = AttestBuild(
            operation_id=self._context.operation_id,
            organization_id=self._context.organization_id,
            project_id=self._context.project_id,
            repository_url=wanted.repository_url,
            source=source,
            artifact=artifact,
            scan=self.scan,
            tests=self.tests,
            build_id=self._made_elsewhere,
        )
        await self._progress.start_step(StepName.ATTEST, "Signing the provenance")
        outcome = await self._cancellation.call(ATTEST_BUILD, request, summary="sign what the artifact was made of")
        self._progress.settle_step(StepName.ATTEST, outcome)

    async def _package(self, source: FetchedSource) -> PackagedArtifact:
        request = PackageArtifact(
            operation_id=self._context.operation_id,
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


def _without_branch(wanted: Wanted) -> BuildSource:
    return BuildSource(
        repository_url=wanted.repository_url,
        git_commit_hash=wanted.git_commit_hash or "",
        source_path=wanted.source_path,
    )
