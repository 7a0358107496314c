"""The rollout side: releases, instances, traffic, the environment's lock."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from contracts.operations import OperationContext
from contracts.payload import BoundedText, Nothing, Payload
from contracts.policies import MUST_HAPPEN, RELEASE_COMMAND, SHORT, TRAFFIC, TRAFFIC_BACK, WATCH
from contracts.stubs import ActivityStub
from domain.delivery_spec import ProcessSpec, ServiceSpec, StickySpec
from domain.deployment_lock import TurnPolicy


class ReleaseRef(Payload):
    """A release as a rollout needs it. `processes`: the process types that run beside its service."""

    release_id: UUID
    build_id: UUID
    replicas: int
    service: ServiceSpec
    processes: dict[str, ProcessSpec] = Field(default_factory=dict)


class OpenRelease(Payload):
    """Create the release of a deployment (its id is the deployment's id)."""

    place: OperationContext
    build_id: UUID
    artifact_digest: str
    service: ServiceSpec
    processes: dict[str, ProcessSpec] = Field(default_factory=dict)


class ReopenRelease(Payload):
    """Find the release to which a rollback of `place.deployment_id` returns, and put it back into service."""

    place: OperationContext


class TakeBack(Payload):
    """Return the traffic of `place.deployment_id` to the previous release at once, if that one still runs healthy."""

    place: OperationContext


class TakenBack(Payload):
    """`release` has the traffic now. None: it is not running, or the lock is held, so a rollout is needed."""

    release: ReleaseRef | None = None
    bad_release_id: UUID | None = None


class OpenedRelease(Payload):
    """The release to bring up, and the stable one that it replaces (None: first deployment).

    `returning`: it was stable before and its instances still run, so one switch without analysis is enough.
    `notice`: what people must know of its provenance.
    """

    release: ReleaseRef
    stable: ReleaseRef | None = None
    returning: bool = False
    notice: BoundedText | None = None


class RunReleaseCommand(Payload):
    """Run a release's command once. If it has ended it is not run again; if it still runs, wait for it.

    `operation_id`: the operation whose log receives the output. `timeout` in seconds.
    """

    operation_id: UUID
    release_id: UUID
    command: str
    timeout: float


class ReleaseCommandOutcome(Payload):
    """The command succeeded. `runs`: number of starts; more than one only if its process was killed from outside."""

    runs: int


class StartInstances(Payload):
    """Start instances 0 .. count-1 of a release. Those that run already stay."""

    release_id: UUID
    count: int = Field(ge=1)


class AwaitHealthy(Payload):
    """Wait until instances 0 .. count-1 listen on their ports and are healthy, then put them in rotation."""

    release_id: UUID
    count: int = Field(ge=1)


class HealthReport(Payload):
    """All requested instances are healthy. The slowest took this many seconds."""

    count: int
    seconds: float


class StartProcesses(Payload):
    """Start the process types of a release that run beside its service.

    `judged`: wait until each has stayed up for its `min_uptime`; skipped for a release that was stable before.
    """

    release_id: UUID
    judged: bool = True


class StopProcesses(Payload):
    """Stop them while the release itself is kept for a rollback, which starts them again."""

    release_id: UUID


class TrafficShare(Payload):
    """One release's share of an environment's traffic, in percent."""

    release_id: UUID
    weight: int = Field(ge=0, le=100)


class ShiftTraffic(Payload):
    """Set the environment's route to these shares (they add up to 100; none: no route at all).

    `previews`: releases that are also reachable by their preview token, whatever their share. `sticky`: users stay with
    the release they met first; users of the first share are kept while its weight grows. `probes`: our own requests
    that the release giving its traffic back received, to be subtracted from its clients'; `failed_probes` of them
    failed.
    """

    environment_id: UUID
    host: str
    shares: tuple[TrafficShare, ...]
    previews: tuple[UUID, ...] = ()
    sticky: StickySpec | None = None
    keeps: UUID | None = None  # traffic returns: who keeps it if the stable release turns out to be unhealthy
    probes: int = 0
    failed_probes: int = 0


class VerifyTraffic(Payload):
    """Probe a release through the router for some seconds: it answers, and its instances stay healthy."""

    environment_id: UUID
    host: str
    release_id: UUID
    seconds: float


class TrafficReport(Payload):
    """Measurements of the watch; None where nothing was measured."""

    probes: int
    requests: int
    error_rate_percent: float | None = None
    p95_response_time_ms: float | None = None
    throughput_rps: float | None = None


class AppliedRoute(Payload):
    """The generation that the router confirmed. `measured`: for the version that gave its traffic back."""

    generation: int
    measured: TrafficReport | None = None


class CheckPreview(Payload):
    """Request a release through the router by its preview: health path and `paths` must answer 2xx or 3xx."""

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

    `deployment_id`: the deployment that owns the release from then on; None: its owner stays (a rollback's target).
    """

    environment_id: UUID
    release_id: UUID
    deployment_id: UUID | None = None


class RetireRelease(Payload):
    """Keep a release without traffic until its retention time is over."""

    release_id: UUID
    keep_seconds: float


class RetiredRelease(Payload):
    """When a retired release is to be stopped."""

    release_id: UUID
    stop_after: datetime


class StopRelease(Payload):
    """Drain and stop a whole release. `only_if_retired`: not if it was put back into service meanwhile."""

    release_id: UUID
    failed: bool = False
    only_if_retired: bool = False


class EnvironmentNames(Payload):
    """The names of an environment for display; empty in messages of older workflows."""

    organization_slug: str = ""
    project_slug: str = ""
    environment: str = ""

    @property
    def label(self) -> str:
        """`acme/shop/production` for display; empty when unknown."""
        names = (self.organization_slug, self.project_slug, self.environment)
        return "/".join(names) if all(names) else ""


class ReleaseName(Payload):
    """The name of a release for display."""

    release_id: UUID
    version: str = ""


class LockRequest(EnvironmentNames):
    """A workflow requests its environment's lock. `purpose`: for display, such as `1.4.0` or `rollback`.

    `policy`: the environment's current one; the activity that sends the request fills it in.
    """

    environment_id: UUID
    workflow_id: str
    deployment_id: UUID
    urgent: bool = False  # a rollback goes ahead of everything in the queue
    purpose: str = ""
    override_freeze: bool = False  # not held by a closed window
    policy: TurnPolicy = TurnPolicy.QUEUE


class LockQueued(Payload):
    """Sent to a waiting workflow when its position changes: 1 is next. It also names the current holder of the lock.

    `reason`: what holds the whole queue (a window), worded as the object of "held by", until `next_open` (None:
    unknown).
    """

    position: int = Field(ge=1)
    holder_deployment_id: UUID | None = None
    reason: str | None = None
    next_open: datetime | None = None


class LockSuperseded(Payload):
    """Sent to a workflow that a newer deployment supersedes: it ends, unless it is past its final switch."""

    workflow_id: str
    deployment_id: UUID  # the newer deployment
    version: str = ""


class LockGrant(Payload):
    """Sent to a workflow when it gets the lock."""

    environment_id: UUID
    workflow_id: str


class LockRelease(EnvironmentNames):
    """A workflow releases the lock, with a release that is to be stopped later.

    `current`, `previous`: the releases that run then; the activity that sends the message fills them in.
    """

    environment_id: UUID
    workflow_id: str
    deployment_id: UUID
    retired: tuple[RetiredRelease, ...] = ()
    current: ReleaseName | None = None
    previous: ReleaseName | None = None


class SettingsChanged(EnvironmentNames):
    """The environment's settings changed: workflows held by a window check again."""

    environment_id: UUID
    policy: TurnPolicy = TurnPolicy.QUEUE


class WindowQuery(Payload):
    """Whether a deployment may start now."""

    environment_id: UUID


class WindowAnswer(Payload):
    """Whether a deployment may start; else what holds it (the object of "held by") and until when (None: unknown)."""

    open: bool
    reason: str | None = None
    next_open: datetime | None = None
    policy: TurnPolicy = TurnPolicy.QUEUE


class HolderCheck(Payload):
    """Whether this workflow is still running."""

    workflow_id: str


class HolderState(Payload):
    """Whether the lock's holder is still running."""

    running: bool


class EnvironmentState(EnvironmentNames):
    """The state of an environment's entity workflow, carried over on continue-as-new.

    `newest`: the newest deployment that requested the lock. `superseded`: workflows still to be notified. `window`:
    what holds the queue; None: nothing, or not checked yet.
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
