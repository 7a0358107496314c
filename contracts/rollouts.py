"""The rollout side: releases, instances, traffic, the environment's lock."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from contracts.operations import OperationContext
from contracts.payload import Nothing, Payload
from contracts.policies import MUST_HAPPEN, RELEASE_COMMAND, SHORT, TRAFFIC, TRAFFIC_BACK, WATCH
from contracts.stubs import ActivityStub
from domain.delivery_spec import ProcessSpec, ServiceSpec, StickySpec
from domain.deployment_lock import TurnPolicy


class ReleaseRef(Payload):
    """A release and what a rollout must know of it. `processes`: the types that run beside its service."""

    release_id: UUID
    build_id: UUID
    replicas: int
    service: ServiceSpec
    processes: dict[str, ProcessSpec] = Field(default_factory=dict)


class OpenRelease(Payload):
    """Make the release of a deployment (its id is the deployment's id)."""

    place: OperationContext
    build_id: UUID
    artifact_digest: str
    service: ServiceSpec
    processes: dict[str, ProcessSpec] = Field(default_factory=dict)


class ReopenRelease(Payload):
    """Find the release that a rollback of `place.deployment_id` goes to, and take it back into service."""

    place: OperationContext


class TakeBack(Payload):
    """Give the traffic of `place.deployment_id` to the release before it, at once, if that one still runs healthy."""

    place: OperationContext


class TakenBack(Payload):
    """`release` has the traffic now; None: it is not running, or somebody holds the lock, so it takes a rollout."""

    release: ReleaseRef | None = None
    bad_release_id: UUID | None = None


class OpenedRelease(Payload):
    """The release to bring up, and the stable one it replaces (None: first deployment).

    `returning`: it was stable before and its instances still run, so that it needs one switch and no analysis.
    """

    release: ReleaseRef
    stable: ReleaseRef | None = None
    returning: bool = False


class RunReleaseCommand(Payload):
    """Run a release's command once: one that ended is not run again, one that still runs is waited for.

    `operation_id`: whose log its output becomes. `timeout` in seconds.
    """

    operation_id: UUID
    release_id: UUID
    command: str
    timeout: float


class ReleaseCommandOutcome(Payload):
    """It ended well. `runs`: how often it was begun, more than once only if its process was killed from outside."""

    runs: int


class StartInstances(Payload):
    """Have instances 0 .. count-1 of a release running; those that run already stay."""

    release_id: UUID
    count: int = Field(ge=1)


class AwaitHealthy(Payload):
    """Wait until instances 0 .. count-1 listen on their ports and are healthy, then put them in rotation."""

    release_id: UUID
    count: int = Field(ge=1)


class HealthReport(Payload):
    """All asked for are healthy; the slowest took so many seconds."""

    count: int
    seconds: float


class StartProcesses(Payload):
    """Have the process types of a release running that are beside its service.

    `judged`: wait until each has stayed up for its `min_uptime`; a release that was good before is not judged again.
    """

    release_id: UUID
    judged: bool = True


class StopProcesses(Payload):
    """End them while the release itself is kept for a return; whoever takes it back starts them again."""

    release_id: UUID


class TrafficShare(Payload):
    """Percent of an environment's traffic for one release."""

    release_id: UUID
    weight: int = Field(ge=0, le=100)


class ShiftTraffic(Payload):
    """Make the environment's route be these shares (adding up to 100; none: no route at all).

    `previews`: releases that are also reached by their preview token, whatever their share. `sticky`: users stay with
    the release they met; the first of the shares is the one whose users are kept while its weight grows. `probes`:
    requests of our own that the release which gives its traffic back has met, no clients'; so many of them failed.
    """

    environment_id: UUID
    host: str
    shares: tuple[TrafficShare, ...]
    previews: tuple[UUID, ...] = ()
    sticky: StickySpec | None = None
    keeps: UUID | None = None  # traffic goes back: who keeps it should the stable release turn out to be unhealthy
    probes: int = 0
    failed_probes: int = 0


class VerifyTraffic(Payload):
    """Watch a release through the router for some seconds: it answers, its instances stay healthy."""

    environment_id: UUID
    host: str
    release_id: UUID
    seconds: float


class TrafficReport(Payload):
    """What was seen while watching; None where nothing was measured."""

    probes: int
    requests: int
    error_rate_percent: float | None = None
    p95_response_time_ms: float | None = None
    throughput_rps: float | None = None


class AppliedRoute(Payload):
    """The generation that the router confirmed; `measured`: of the version that gave its traffic back."""

    generation: int
    measured: TrafficReport | None = None


class CheckPreview(Payload):
    """Ask a release by its preview, through the router: its health path and the `paths` must answer 2xx or 3xx."""

    environment_id: UUID
    host: str
    release_id: UUID
    paths: tuple[str, ...] = ()


class ShrinkRelease(Payload):
    """Drain and stop the instances of a release from index `keep` on."""

    release_id: UUID
    keep: int = Field(ge=0)


class PromoteRelease(Payload):
    """Make a release the environment's stable one.

    `deployment_id`: whose release it is from then on; None: it stays its own deployment's (a rollback's target).
    """

    environment_id: UUID
    release_id: UUID
    deployment_id: UUID | None = None


class RetireRelease(Payload):
    """Keep a release without traffic until its time has come."""

    release_id: UUID
    keep_seconds: float


class RetiredRelease(Payload):
    """When a retired release shall be stopped."""

    release_id: UUID
    stop_after: datetime


class StopRelease(Payload):
    """Drain and stop a whole release. `only_if_retired`: unless somebody took it back into service."""

    release_id: UUID
    failed: bool = False
    only_if_retired: bool = False


class EnvironmentNames(Payload):
    """What people call an environment; empty in messages of older workflows."""

    organization_slug: str = ""
    project_slug: str = ""
    environment: str = ""

    @property
    def label(self) -> str:
        """`acme/shop/production`, for people; empty when not known."""
        names = (self.organization_slug, self.project_slug, self.environment)
        return "/".join(names) if all(names) else ""


class ReleaseName(Payload):
    """A release, for people."""

    release_id: UUID
    version: str = ""


class LockRequest(EnvironmentNames):
    """A workflow asks for its environment's lock. `purpose`: for people, such as `1.4.0` or `rollback`.

    `policy`: the environment's at that moment; the activity that carries the request fills it in.
    """

    environment_id: UUID
    workflow_id: str
    deployment_id: UUID
    urgent: bool = False  # a rollback goes before everything that waits
    purpose: str = ""
    override_freeze: bool = False  # a closed window does not hold it
    policy: TurnPolicy = TurnPolicy.QUEUE


class LockQueued(Payload):
    """Told to a waiting workflow whenever its place changes: 1 is the next; and who holds the lock now.

    `reason`: what holds everybody (a window), as the object of "held by", until `next_open` (None: not known).
    """

    position: int = Field(ge=1)
    holder_deployment_id: UUID | None = None
    reason: str | None = None
    next_open: datetime | None = None


class LockSuperseded(Payload):
    """Told to a workflow whose place a newer deployment takes: it ends, unless it is past its final switch."""

    workflow_id: str
    deployment_id: UUID  # the newer one
    version: str = ""


class LockGrant(Payload):
    """Told to a workflow when the lock is its own."""

    environment_id: UUID
    workflow_id: str


class LockRelease(EnvironmentNames):
    """A workflow gives the turn back, with a release that is to be stopped later.

    `current`, `previous`: what runs then; the activity that carries the message fills them in.
    """

    environment_id: UUID
    workflow_id: str
    deployment_id: UUID
    retired: tuple[RetiredRelease, ...] = ()
    current: ReleaseName | None = None
    previous: ReleaseName | None = None


class SettingsChanged(EnvironmentNames):
    """Somebody changed the environment's settings; who is held asks again."""

    environment_id: UUID
    policy: TurnPolicy = TurnPolicy.QUEUE


class WindowQuery(Payload):
    """Is deploying possible now?"""

    environment_id: UUID


class WindowAnswer(Payload):
    """Whether deploying is possible; else what holds it (the object of "held by") and until when (None: not known)."""

    open: bool
    reason: str | None = None
    next_open: datetime | None = None
    policy: TurnPolicy = TurnPolicy.QUEUE


class HolderCheck(Payload):
    """Is this workflow still running?"""

    workflow_id: str


class HolderState(Payload):
    """Whether a holder of the lock is alive."""

    running: bool


class EnvironmentState(EnvironmentNames):
    """Everything the entity workflow of an environment carries over when it continues as new.

    `newest`: the newest deployment that asked for the lock. `superseded`: who is still to be told so. `window`: what
    holds those who wait; None: nothing, or not asked yet.
    """

    environment_id: UUID
    holder: LockRequest | None = None
    waiting: tuple[LockRequest, ...] = ()
    retired: tuple[RetiredRelease, ...] = ()
    policy: TurnPolicy = TurnPolicy.QUEUE
    newest: LockRequest | None = None
    superseded: tuple[LockSuperseded, ...] = ()
    window: WindowAnswer | None = None
    current: ReleaseName | None = None
    previous: ReleaseName | None = None


OPEN_RELEASE = ActivityStub("releases.open", OpenRelease, OpenedRelease, SHORT)
REOPEN_RELEASE = ActivityStub("releases.reopen", ReopenRelease, OpenedRelease, SHORT)
PROMOTE_RELEASE = ActivityStub("releases.promote", PromoteRelease, Nothing, MUST_HAPPEN)
RETIRE_RELEASE = ActivityStub("releases.retire", RetireRelease, RetiredRelease, MUST_HAPPEN)
STOP_RELEASE = ActivityStub("releases.stop", StopRelease, Nothing, WATCH)
RUN_RELEASE_COMMAND = ActivityStub("releases.run_command", RunReleaseCommand, ReleaseCommandOutcome, RELEASE_COMMAND)
START_INSTANCES = ActivityStub("instances.start", StartInstances, Nothing, WATCH)
AWAIT_HEALTHY = ActivityStub("instances.await_healthy", AwaitHealthy, HealthReport, WATCH)
SHRINK_RELEASE = ActivityStub("instances.shrink", ShrinkRelease, Nothing, WATCH)
START_PROCESSES = ActivityStub("processes.start", StartProcesses, Nothing, WATCH)
STOP_PROCESSES = ActivityStub("processes.stop", StopProcesses, Nothing, WATCH)
SHIFT_TRAFFIC = ActivityStub("traffic.shift", ShiftTraffic, AppliedRoute, TRAFFIC)
VERIFY_TRAFFIC = ActivityStub("traffic.verify", VerifyTraffic, TrafficReport, WATCH)
TAKE_BACK = ActivityStub("traffic.take_back", TakeBack, TakenBack, TRAFFIC_BACK)
CHECK_PREVIEW = ActivityStub("traffic.check_preview", CheckPreview, Nothing, WATCH)
REQUEST_TURN = ActivityStub("environment.request_turn", LockRequest, Nothing, SHORT)
RETURN_TURN = ActivityStub("environment.return_turn", LockRelease, Nothing, MUST_HAPPEN)
CHECK_WINDOW = ActivityStub("environment.window", WindowQuery, WindowAnswer, SHORT)
CHECK_HOLDER = ActivityStub("environment.check_holder", HolderCheck, HolderState, SHORT)
