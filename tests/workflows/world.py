"""A world for workflow tests: every activity stub implemented in memory, recording what was done.

Workflows are what is tested here; the real activities run in tests/activities and tests/e2e.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from contracts import builds as b
from contracts import rollouts as r
from contracts.analysis import ANALYSE_RELEASE, AnalyseRelease, AnalysisReport
from contracts.names import SignalName, WorkflowName, environment_workflow_id
from contracts.operations import (
    ORDERS,
    RECORD_PROGRESS,
    BuildAndDeployInput,
    BuildSource,
    DeployInput,
    OperationContext,
    Progress,
    RecordProgress,
    RollbackInput,
)
from contracts.payload import Nothing
from contracts.rescans import RESCAN_PAGE, RescannedPage, RescanPage
from contracts.signatures import CHECK_START, StartClaim
from contracts.stubs import implements
from contracts.webhooks import ATTEMPT_WEBHOOK, WebhookAttempt, WebhookOrder, WebhookOutcome
from domain.canary.verdict import Verdict
from domain.delivery_spec import DeliverySpec, ProcessSpec, RolloutSpec, ServiceSpec, TestSpec
from domain.deployment_lock import TurnPolicy
from domain.lifecycle import EnvironmentName, ScanStatus, Strategy
from domain.rollout_options import RolloutOptions
from runtime.ids import now
from tests.support.signing import SIGNATURES

SPEC = DeliverySpec(
    test=TestSpec(command="run-tests"),
    service=ServiceSpec(command="serve", replicas=2),
    rollout=RolloutSpec(scale_down_delay=30, verify_seconds=1, progress_deadline=60),
)


def place(environment_id: UUID | None = None) -> OperationContext:
    return OperationContext(
        operation_id=uuid4(),
        deployment_id=uuid4(),
        organization_id=uuid4(),
        project_id=uuid4(),
        environment_id=environment_id or uuid4(),
        environment=EnvironmentName.DEV,
        host="dev.shop.acme.localhost",
        organization_slug="acme",
        project_slug="shop",
        requested_by="ann",
    )


def order(
    where: OperationContext | None = None, strategy: Strategy = Strategy.BLUE_GREEN, **chosen: Any
) -> BuildAndDeployInput:
    return BuildAndDeployInput(
        place=where or place(),
        feature_id=uuid4(),
        repository_url="file:///repo",
        version_tag="1.0.0",
        git_branch="main",
        options=RolloutOptions(strategy=strategy, **chosen),
    )


def deploy(
    where: OperationContext | None = None, strategy: Strategy = Strategy.BLUE_GREEN, **chosen: Any
) -> DeployInput:
    options = RolloutOptions(strategy=strategy, **chosen)
    return DeployInput(place=where or place(), build_id=uuid4(), version_tag="1.0.0", options=options)


def reported(where: OperationContext | None = None) -> DeployInput:
    """A build that was made elsewhere, so that its artifact may have to be made first."""
    source = BuildSource(repository_url="file:///repo", git_commit_hash="c" * 40, git_branch="main")
    return deploy(where).model_copy(update={"source": source})


def webhook_order() -> WebhookOrder:
    return WebhookOrder(
        delivery_id=uuid4(),
        endpoint_id=uuid4(),
        event="deployment.completed",
        host="https://example.com",
        organization_slug="acme",
        attempts=1,
        next_attempt_at=now(),
    )


def rollback(where: OperationContext) -> RollbackInput:
    return RollbackInput(place=where, reason="errors")


class World:
    """`done` lists what happened, in order. `faults` maps an activity's name to an error code it always fails with."""

    def __init__(self, client: Client, queue: str) -> None:
        self._client = client
        self._queue = queue
        self.done: list[str] = []
        self.records: list[RecordProgress] = []
        self.faults: dict[str, str] = {}
        self.fault_details: dict[str, dict[str, int]] = {}
        self.measured: r.TrafficReport | None = None  # of a version that gives its traffic back
        self.holds: dict[str, asyncio.Event] = {}
        self.reached: dict[str, asyncio.Event] = {}
        self.stable: r.ReleaseRef | None = None
        self.spec = SPEC
        self.turn_is_free = True
        self.use_entity = False
        self.policy = TurnPolicy.QUEUE
        self.window = r.WindowAnswer(open=True)
        self.overriding: set[UUID] = set()  # deployments that no freeze holds
        self.verdicts: list[Verdict] = []
        self.early_after: float | None = None  # seconds after which analyses pass before their time
        self.still_runs = False
        self.deaf: set[str] = set()
        self.refused_routes: dict[str, str] = {}
        self.away: dict[str, int] = {}  # how many attempts at a route, or to take back, find the router away
        self.delivered: list[str] = []  # last digits of the digests that were rolled out
        self.artifact_is_here = False  # of a build that was made elsewhere
        self.branch_is_gone = False
        self.fetched: list[b.FetchSource] = []
        self.scanned: list[b.RunScan] = []
        self.scan_outcome = b.ScanOutcome(status=ScanStatus.PASSED)
        self.attested: list[b.AttestBuild] = []
        self.notice: str | None = None  # about the provenance of what is opened
        self.folder: str | None = None  # of the service in the repository
        self.notice: str | None = None  # what people must know of the source
        self.built_in: list[str] = []
        self.workspace_queues: list[str] = []  # of the next workspaces; then this world's own
        self.analyses: list[AnalyseRelease] = []  # that were asked for
        self.cancelled: list[str] = []  # held activities that were cancelled
        self.webhook_attempts = 3  # the last of them arrives
        self.rescanned: list[RescannedPage] = []  # what the next pages say

    @property
    def last(self) -> RecordProgress:
        return self.records[-1]

    @property
    def progress(self) -> Progress:
        return self.last.progress

    def hold(self, name: str) -> asyncio.Event:
        """Let the activity wait until the event is set (or it is cancelled)."""
        self.reached[name] = asyncio.Event()
        self.holds[name] = asyncio.Event()
        return self.holds[name]

    def old_release(self, replicas: int = 2, processes: Mapping[str, ProcessSpec] | None = None) -> r.ReleaseRef:
        self.stable = r.ReleaseRef(
            release_id=uuid4(),
            build_id=uuid4(),
            replicas=replicas,
            service=ServiceSpec(command="old"),
            processes=dict(processes or {}),
        )
        return self.stable

    async def _do(self, words: str) -> None:
        name = activity.info().activity_type
        if name in self.faults:
            raise ApplicationError(
                f"{name} failed", self.fault_details.get(name, {}), type=self.faults[name], non_retryable=True
            )
        if name in self.holds:
            self.reached[name].set()
            try:
                await self._wait(self.holds[name], deaf=name in self.deaf)
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
        self.done.append(words)

    @staticmethod
    async def _wait(event: asyncio.Event, *, deaf: bool) -> None:
        while not event.is_set():
            if activity.info().heartbeat_timeout and not deaf:
                activity.heartbeat()
            await asyncio.sleep(0.02)

    @implements(CHECK_START)
    async def check_start(self, claim: StartClaim) -> Nothing:
        order = ORDERS[claim.kind].model_validate(claim.order)
        if fault := SIGNATURES.start_fault(claim.workflow_id, claim.kind, order):
            raise ApplicationError(fault.message, type=str(fault.code), non_retryable=True)
        return Nothing()

    @implements(RECORD_PROGRESS)
    async def record(self, request: RecordProgress) -> Nothing:
        self.records.append(request)
        return Nothing()

    @implements(b.OPEN_WORKSPACE)
    async def open_workspace(self, request: b.OpenWorkspace) -> b.Workspace:
        await self._do("workspace")
        queue = self.workspace_queues.pop(0) if self.workspace_queues else self._queue
        return b.Workspace(operation_id=request.operation_id, queue=queue)

    @implements(b.CLOSE_WORKSPACE)
    async def close_workspace(self, request: b.CloseWorkspace) -> Nothing:
        await self._do("close")
        return Nothing()

    @implements(b.FETCH_SOURCE)
    async def fetch(self, request: b.FetchSource) -> b.FetchedSource:
        if self.branch_is_gone and request.git_branch:
            raise ApplicationError("no such branch", {}, type="SOURCE_REF_NOT_FOUND", non_retryable=True)
        self.fetched.append(request)
        await self._do("fetch")
        return b.FetchedSource(
            commit="c" * 40, branch="main", size_bytes=1, spec=self.spec, folder=self.folder, notice=self.notice
        )

    @implements(b.RUN_BUILD)
    async def build(self, request: b.RunBuild) -> b.BuildOutcome:
        await self._do("build")
        self.built_in.append(request.source_path)
        return b.BuildOutcome(duration_ms=1, steps_run=0)

    @implements(b.RUN_TESTS)
    async def test(self, request: b.RunTests) -> b.TestOutcome:
        await self._do("test")
        return b.TestOutcome(duration_ms=1, passed=3, failed=0, skipped=0)

    @implements(b.RUN_SCAN)
    async def scan(self, request: b.RunScan) -> b.ScanOutcome:
        await self._do("scan")
        self.scanned.append(request)
        return self.scan_outcome

    @implements(b.ATTEST_BUILD)
    async def attest(self, request: b.AttestBuild) -> b.Attested:
        await self._do("attest")
        self.attested.append(request)
        return b.Attested(digest="sha256:" + "9" * 64)

    @implements(b.PACKAGE_ARTIFACT)
    async def package(self, request: b.PackageArtifact) -> b.PackagedArtifact:
        await self._do("package")
        self.built_in.append(request.source_path)
        return b.PackagedArtifact(digest="sha256:" + "0" * 64, size_bytes=1, file_count=1)

    @implements(b.RECORD_BUILD)
    async def record_build(self, request: b.RecordBuild) -> b.RecordedBuild:
        await self._do("record build")
        return b.RecordedBuild(build_id=uuid4(), build_number=1)

    @implements(b.RECORD_BUILD_FAILURE)
    async def record_build_failure(self, request: b.RecordBuildFailure) -> b.RecordedBuild:
        await self._do("record failed build")
        return b.RecordedBuild(build_id=uuid4(), build_number=1)

    @implements(b.LOAD_BUILD)
    async def load_build(self, request: b.LoadBuild) -> b.LoadedBuild:
        await self._do("load build")
        return b.LoadedBuild(build_id=request.build_id, artifact_digest="sha256:" + "0" * 64, spec=self.spec)

    @implements(b.FIND_ARTIFACT)
    async def find_artifact(self, request: b.LoadBuild) -> b.FoundArtifact:
        await self._do("find artifact")
        return b.FoundArtifact(build=self._build(request.build_id, "1") if self.artifact_is_here else None)

    @implements(b.KEEP_ARTIFACT)
    async def keep_artifact(self, request: b.KeepArtifact) -> b.LoadedBuild:
        await self._do(f"keep artifact {request.artifact.digest[-1]}")
        return self._build(request.build_id, "2")

    def _build(self, build_id: UUID, digit: str) -> b.LoadedBuild:
        return b.LoadedBuild(build_id=build_id, artifact_digest="sha256:" + digit * 64, spec=self.spec)

    @implements(r.REQUEST_TURN)
    async def request_turn(self, request: r.LockRequest) -> Nothing:
        if self.use_entity:
            override = request.override_freeze or request.deployment_id in self.overriding
            changes = {"policy": self.policy, "override_freeze": override}
            await self._tell_entity(SignalName.REQUEST_TURN, request.model_copy(update=changes))
        await self._do("ask turn")  # last: whoever reads of it finds the entity told
        if not self.use_entity and self.turn_is_free:
            handle = self._client.get_workflow_handle(request.workflow_id)
            grant = r.LockGrant(environment_id=request.environment_id, workflow_id=request.workflow_id)
            await handle.signal(SignalName.TURN_GRANTED, grant)
        return Nothing()

    @implements(r.RETURN_TURN)
    async def return_turn(self, request: r.LockRelease) -> Nothing:
        if self.use_entity:
            await self._tell_entity(SignalName.RETURN_TURN, request)
        await self._do("return turn")
        return Nothing()

    async def _tell_entity(self, signal: SignalName, message: r.LockRequest | r.LockRelease) -> None:
        await self._client.start_workflow(
            WorkflowName.ENVIRONMENT,
            r.EnvironmentState(environment_id=message.environment_id),
            id=environment_workflow_id(message.environment_id),
            task_queue=self._queue,
            start_signal=signal,
            start_signal_args=[message],
        )

    @implements(r.CHECK_WINDOW)
    async def check_window(self, request: r.WindowQuery) -> r.WindowAnswer:
        await self._do("ask window")
        return self.window

    @implements(r.CHECK_HOLDER)
    async def check_holder(self, request: r.HolderCheck) -> r.HolderState:
        await self._do("check holder")
        return r.HolderState(running=False)

    @implements(r.OPEN_RELEASE)
    async def open_release(self, request: r.OpenRelease) -> r.OpenedRelease:
        await self._do("open release")
        self.delivered.append(request.artifact_digest[-1])
        release = r.ReleaseRef(
            release_id=request.place.deployment_id,
            build_id=request.build_id,
            replicas=request.service.replicas,
            service=request.service,
            processes=request.processes,
        )
        return r.OpenedRelease(release=release, stable=self.stable, returning=self.still_runs, notice=self.notice)

    @implements(r.REOPEN_RELEASE)
    async def reopen_release(self, request: r.ReopenRelease) -> r.OpenedRelease:
        await self._do("reopen release")
        bad = r.ReleaseRef(
            release_id=request.place.deployment_id, build_id=uuid4(), replicas=2, service=ServiceSpec(command="bad")
        )
        assert self.stable
        return r.OpenedRelease(release=self.stable, stable=bad)

    @implements(r.TAKE_BACK)
    async def take_back(self, request: r.TakeBack) -> r.TakenBack:
        if not self.still_runs:
            return r.TakenBack()
        self._reach_router("take back")
        await self._do("take back")
        return r.TakenBack(release=self.stable, bad_release_id=request.place.deployment_id)

    @implements(r.CHECK_PREVIEW)
    async def check_preview(self, request: r.CheckPreview) -> Nothing:
        await self._do(f"check {' '.join(('preview', *request.paths))}")
        return Nothing()

    @implements(r.PROMOTE_RELEASE)
    async def promote(self, request: r.PromoteRelease) -> Nothing:
        await self._do(f"promote {self._side(request.release_id)}")
        return Nothing()

    @implements(r.RETIRE_RELEASE)
    async def retire(self, request: r.RetireRelease) -> r.RetiredRelease:
        await self._do(f"retire {self._side(request.release_id)}")
        return r.RetiredRelease(
            release_id=request.release_id, stop_after=now() + timedelta(seconds=request.keep_seconds)
        )

    @implements(r.STOP_RELEASE)
    async def stop_release(self, request: r.StopRelease) -> Nothing:
        await self._do(f"stop {self._side(request.release_id)}")
        return Nothing()

    @implements(r.RUN_RELEASE_COMMAND)
    async def run_release_command(self, request: r.RunReleaseCommand) -> r.ReleaseCommandOutcome:
        await self._do(f"release command {request.command}")
        return r.ReleaseCommandOutcome(runs=1)

    @implements(r.START_INSTANCES)
    async def start(self, request: r.StartInstances) -> Nothing:
        await self._do(f"start {self._side(request.release_id)} {request.count}")
        return Nothing()

    @implements(r.AWAIT_HEALTHY)
    async def await_healthy(self, request: r.AwaitHealthy) -> r.HealthReport:
        await self._do(f"healthy {self._side(request.release_id)} {request.count}")
        return r.HealthReport(count=request.count, seconds=0.1)

    @implements(r.START_PROCESSES)
    async def start_processes(self, request: r.StartProcesses) -> Nothing:
        await self._do(f"processes {self._side(request.release_id)}{' judged' if request.judged else ''}")
        return Nothing()

    @implements(r.STOP_PROCESSES)
    async def stop_processes(self, request: r.StopProcesses) -> Nothing:
        await self._do(f"end processes {self._side(request.release_id)}")
        return Nothing()

    @implements(r.SHRINK_RELEASE)
    async def shrink(self, request: r.ShrinkRelease) -> Nothing:
        await self._do(f"shrink {self._side(request.release_id)} {request.keep}")
        return Nothing()

    @implements(r.SHIFT_TRAFFIC)
    async def shift(self, request: r.ShiftTraffic) -> r.AppliedRoute:
        shares = [f"{self._side(s.release_id)} {s.weight}" for s in request.shares]
        routed = {s.release_id for s in request.shares}
        shares += [f"preview {self._side(release)}" for release in request.previews if release not in routed]
        words = ", ".join(shares) or "nobody"
        self._reach_router(words)
        moved = any(done.startswith("route new") for done in self.done)
        if words in self.refused_routes and moved:
            raise ApplicationError(f"{words} is refused", {}, type=self.refused_routes[words], non_retryable=True)
        await self._do(f"route {words}")
        return r.AppliedRoute(generation=1, measured=self.measured if request.keeps else None)

    @implements(ANALYSE_RELEASE)
    async def judge(self, request: AnalyseRelease) -> AnalysisReport:
        self.analyses.append(request)
        await self._do(f"judge {request.key}")
        verdict = self.verdicts.pop(0) if self.verdicts else Verdict.PASS
        return AnalysisReport(verdict=verdict, reasons=(f"it is {verdict}",), passed_early_after=self.early_after)

    @implements(r.VERIFY_TRAFFIC)
    async def verify(self, request: r.VerifyTraffic) -> r.TrafficReport:
        await self._do("verify")
        return r.TrafficReport(probes=3, requests=100, error_rate_percent=0.0, p95_response_time_ms=4.0)

    @implements(RESCAN_PAGE)
    async def rescan_page(self, request: RescanPage) -> RescannedPage:
        await self._do(f"page after {request.after}")
        return self.rescanned.pop(0)

    @implements(ATTEMPT_WEBHOOK)
    async def attempt_webhook(self, request: WebhookAttempt) -> WebhookOutcome:
        await self._do(f"attempt {request.number}")
        again = now() + timedelta(seconds=1) if request.number < self.webhook_attempts else None
        status = "failed" if again else "succeeded"
        return WebhookOutcome(status=status, attempts=request.number, next_attempt_at=again, answer=status)

    def _reach_router(self, words: str) -> None:
        if self.away.get(words):
            self.away[words] -= 1
            raise ApplicationError("the router is away", {}, type="DEPENDENCY_UNAVAILABLE")

    def _side(self, release_id: UUID) -> str:
        return "old" if self.stable and release_id == self.stable.release_id else "new"

    def activities(self) -> list[Callable[..., Any]]:
        names = [name for name, member in vars(type(self)).items() if hasattr(member, "__temporal_activity_definition")]
        return [getattr(self, name) for name in names]
