"""What each step of a rollout plan does to a release, and the state of the release because of it."""

from collections.abc import Callable
from contextlib import suppress

from temporalio.exceptions import ActivityError, ApplicationError

from contracts.operations import OperationContext
from contracts.rollouts import (
    AWAIT_HEALTHY,
    CHECK_PREVIEW,
    PROMOTE_RELEASE,
    RETIRE_RELEASE,
    RUN_RELEASE_COMMAND,
    SHIFT_TRAFFIC,
    SHRINK_RELEASE,
    START_INSTANCES,
    START_PROCESSES,
    STOP_PROCESSES,
    VERIFY_TRAFFIC,
    AwaitHealthy,
    CheckPreview,
    OpenedRelease,
    PromoteRelease,
    RetiredRelease,
    RetireRelease,
    RunReleaseCommand,
    ShiftTraffic,
    ShrinkRelease,
    StartInstances,
    StartProcesses,
    StopProcesses,
    TrafficShare,
    VerifyTraffic,
)
from domain.delivery_spec import DeliverySpec
from domain.rollout import FULL, PlanStep, StepKind
from workflows.activity_calls import call, to_operation_error
from workflows.cancellation import Cancellation
from workflows.process_types import has_processes, process_names, start_again
from workflows.progress_tracker import ProgressTracker


class ReleaseSteps:
    """One release that is rolled out beside the stable one (None: the first deployment).

    `taking_back`: the release was the stable one before, and a rollback brings it back. `retire` gets an old version
    that is to be stopped later.
    """

    def __init__(
        self,
        context: OperationContext,
        opened: OpenedRelease,
        spec: DeliverySpec,
        *,
        taking_back: bool,
        progress: ProgressTracker,
        cancellation: Cancellation,
        retire: Callable[[RetiredRelease], None],
    ) -> None:
        self._context = context
        self._progress = progress
        self._cancellation = cancellation
        self._retire = retire
        self.new = opened.release
        self.stable = opened.stable
        self.spec = spec
        self.taking_back = taking_back
        self.was_good = taking_back or opened.returning
        self.weight = 0  # percent of the traffic
        self.routed = False  # whether any route leads to the new version, also a preview
        self.shrunk = False  # whether the stable side lost instances
        self.started = 0
        self._probes = 0  # our own requests to the new version
        self._failed_probes = 0

    async def do(self, step: PlanStep) -> None:
        """Do a step of any kind but analyses and pauses, which people may end early."""
        match step.kind:
            case StepKind.START:
                await self._start(step.count or self.new.replicas)
            case StepKind.PROCESSES:
                await self._start_processes()
            case StepKind.SHIFT:
                await self._shift(step.weight or 0)
            case StepKind.CHECK:
                await self._check_preview(step.paths)
            case StepKind.VERIFY:
                await self._verify(step.seconds or 0)
            case StepKind.SHRINK:
                await self._shrink(step.count or 0)
            case StepKind.PROMOTE:
                await self.promote()
            case StepKind.RETIRE:
                await self.retire(step.seconds or 0)
            case StepKind.ANALYSE | StepKind.PAUSE:
                raise ApplicationError(f"{step.kind} comes before the final switch", non_retryable=True)

    async def run_command(self, command: str) -> None:
        """Run the release command, before anything of the new version starts."""
        request = RunReleaseCommand(
            operation_id=self._context.operation_id,
            release_id=self.new.release_id,
            command=command,
            timeout=self.spec.release.timeout,
        )
        await self._cancellation.call(RUN_RELEASE_COMMAND, request, summary="run the release command")

    async def _start(self, count: int) -> None:
        self.started = count
        release_id, instances = self.new.release_id, f"{count} instance{'s' if count != 1 else ''}"
        start = StartInstances(release_id=release_id, count=count)
        await self._cancellation.call(START_INSTANCES, start, summary=f"start {instances}")
        healthy = AwaitHealthy(release_id=release_id, count=count)
        summary = f"wait until {instances} {'is' if count == 1 else 'are'} healthy"
        await self._cancellation.call(AWAIT_HEALTHY, healthy, summary=summary)

    async def _start_processes(self) -> None:
        if self.was_good:
            await start_again(self.new)
            return
        request = StartProcesses(release_id=self.new.release_id)
        await self._cancellation.call(START_PROCESSES, request, summary=f"start {process_names(self.new)}")

    async def _shift(self, weight: int) -> None:
        # Set before the call: if it fails half-way, the undo must assume that traffic has moved.
        self.weight = weight
        self.routed = True
        self._progress.traffic_moved = self._progress.traffic_moved or weight > 0
        await self._cancellation.call(SHIFT_TRAFFIC, self.route(weight), summary=f"{weight} % to the new version")

    def route(self, weight: int) -> ShiftTraffic:
        """`weight` percent to the new version, the rest to the stable one."""
        shares = [TrafficShare(release_id=self.new.release_id, weight=weight)] if weight else []
        if self.stable and weight < FULL:
            shares.append(TrafficShare(release_id=self.stable.release_id, weight=FULL - weight))
        return ShiftTraffic(
            environment_id=self._context.environment_id,
            host=self._context.host,
            shares=tuple(shares),
            previews=(self.new.release_id,) if weight < FULL else (),
            sticky=self.spec.rollout.sticky if 0 < weight < FULL else None,
        )

    def route_back(self) -> ShiftTraffic:
        """All traffic to the stable version; without one, no route."""
        shares = (TrafficShare(release_id=self.stable.release_id, weight=FULL),) if self.stable else ()
        return ShiftTraffic(
            environment_id=self._context.environment_id,
            host=self._context.host,
            shares=shares,
            keeps=self.new.release_id,
            probes=self._probes,
            failed_probes=self._failed_probes,
        )

    async def _check_preview(self, paths: tuple[str, ...]) -> None:
        request = CheckPreview(
            environment_id=self._context.environment_id,
            host=self._context.host,
            release_id=self.new.release_id,
            paths=paths,
        )
        await self._cancellation.call(CHECK_PREVIEW, request, summary="check it on its preview", only_looks=True)
        self._probes += 1 + len(paths)

    async def _verify(self, seconds: float) -> None:
        request = VerifyTraffic(
            environment_id=self._context.environment_id,
            host=self._context.host,
            release_id=self.new.release_id,
            seconds=seconds,
        )
        summary = f"watch the traffic for {seconds:g} s"
        try:
            report = await self._cancellation.call(VERIFY_TRAFFIC, request, summary=summary, only_looks=True)
        except ActivityError as fault:
            details = to_operation_error(fault).details
            self._probes += details.get("probes", 0)
            self._failed_probes += details.get("failed_probes", 0)
            raise
        self._probes += report.probes
        self._progress.set_measured(report)

    async def _shrink(self, keep: int) -> None:
        if self.stable is None:
            return
        self.shrunk = True
        request = ShrinkRelease(release_id=self.stable.release_id, keep=keep)
        await self._cancellation.call(SHRINK_RELEASE, request, summary=f"drain the old version down to {keep}")

    async def promote(self) -> None:
        """The new version becomes the stable one. Like `retire` it is not stopped half-way."""
        request = PromoteRelease(
            environment_id=self._context.environment_id,
            release_id=self.new.release_id,
            deployment_id=None if self.taking_back else self._context.deployment_id,
        )
        await call(PROMOTE_RELEASE, request, summary="make it the stable version")

    async def retire(self, keep: float) -> None:
        """The old version is kept for so many seconds, for a quick rollback."""
        if self.stable is None:
            return
        request = RetireRelease(release_id=self.stable.release_id, keep_seconds=keep)
        self._retire(await call(RETIRE_RELEASE, request, summary=f"keep the old version for {keep:g} s"))
        if has_processes(self.stable):
            with suppress(ActivityError):  # the reconciler of instances ends them, too
                stop = StopProcesses(release_id=self.stable.release_id)
                await call(STOP_PROCESSES, stop, summary=f"end the old version's {process_names(self.stable)}")
