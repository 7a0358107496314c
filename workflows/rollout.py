"""Carrying out a rollout plan, and undoing it: traffic to the stable side first, then the new side goes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, RetryState
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from contracts.analysis import ANALYSE_RELEASE, AnalyseRelease, AnalysisReport
from contracts.payload import bounded
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
    STOP_RELEASE,
    VERIFY_TRAFFIC,
    AwaitHealthy,
    CheckPreview,
    OpenedRelease,
    PromoteRelease,
    ReleaseRef,
    RetireRelease,
    RunReleaseCommand,
    ShiftTraffic,
    ShrinkRelease,
    StartInstances,
    StartProcesses,
    StopProcesses,
    StopRelease,
    TrafficShare,
    VerifyTraffic,
)
from domain.analysis import effective_policy
from domain.canary.policy import AnalysisPolicy
from domain.canary.verdict import Verdict
from domain.delivery_spec import DeliverySpec
from domain.errors import ErrorCode
from domain.lifecycle import DeploymentStatus, HealthStatus
from domain.rollout import FULL, PlanStep, RolloutPlan, StepKind, with_processes
from workflows.activity_calls import call, cancel_when, run_to_completion, to_operation_error, within_deadline

if TYPE_CHECKING:
    from workflows.operation import OperationWorkflow

RELEASE_COMMAND_PATCH = "release-command"
PROCESSES_PATCH = "process-types"


class Rollout:
    """One release on its way to all of the traffic. `run` ends with it promoted, or with everything as before."""

    def __init__(
        self,
        flow: "OperationWorkflow",
        opened: OpenedRelease,
        plan: RolloutPlan,
        spec: DeliverySpec,
        *,
        taking_back: bool = False,
    ) -> None:
        self._taking_back = taking_back
        self._flow = flow
        self._new = opened.release
        self._stable = opened.stable
        self._plan = plan
        self._spec = spec
        self._was_good = taking_back or opened.returning
        self._weight = 0
        self._opened = False  # whether any route leads to the new version, a preview or more
        self._shrunk = False
        self._started = 0
        self._probes = 0  # our own requests that the new version met
        self._failed_probes = 0
        self._told_early = ""

    async def run(self) -> None:
        """Follow the plan; on any fault before the release is promoted undo it, then raise the fault."""
        self._flow.set_status(DeploymentStatus.ROLLING_BACK if self._taking_back else DeploymentStatus.IN_PROGRESS)
        if has_processes(self._new):
            uptimes = [each.min_uptime for each in self._new.processes.values()]
            self._plan = with_processes(self._plan, good=self._was_good, seconds=max(uptimes))
        steps = self._plan.steps
        switch = next((i for i, step in enumerate(steps) if step.kind is StepKind.PROMOTE), len(steps))
        try:
            await self._run_release_command()
            await self._advance(switch)
            self._flow.close_to_abort()
        except (asyncio.CancelledError, ActivityError, ApplicationError):
            await run_to_completion(self._undo())
            raise
        # Past the final switch nothing stops it: the record and the traffic must agree.
        await run_to_completion(self._follow(switch, len(steps)))
        self._flow.set_status(DeploymentStatus.SUCCESS, health=HealthStatus.HEALTHY)

    async def _run_release_command(self) -> None:
        """Before anything of the new version starts. One that was good before has had its own."""
        command = self._spec.release.command
        if command is None or self._was_good or not workflow.patched(RELEASE_COMMAND_PATCH):
            return
        await self._flow.gate(fraction=0)
        await self._flow.set_step("Running the release command", fraction=0)
        request = RunReleaseCommand(
            operation_id=self._flow.place.operation_id,
            release_id=self._new.release_id,
            command=command,
            timeout=self._spec.release.timeout,
        )
        await self._flow.call(RUN_RELEASE_COMMAND, request, summary="run the release command")

    async def _follow(self, first: int, end: int) -> None:
        """From the final switch on. No deadline: a promotion that a dead database holds up must still be made."""
        for index, step in enumerate(self._plan.steps[first:end], first):
            await self._flow.set_step(self._words(step), fraction=index / len(self._plan.steps))
            await self._do(step)

    async def _advance(self, end: int) -> None:
        """The steps up to the final switch: people may hold between two of them, or ask to skip what is left."""
        for index, step in enumerate(self._plan.steps[:end]):
            fraction = index / len(self._plan.steps)
            await self._flow.gate(fraction=fraction)
            if self._flow.promoted() and _left_out_when_promoted(step):
                continue
            await self._flow.set_step(self._words(step), fraction=fraction)
            if step.kind is StepKind.PAUSE:
                await self._pause(step, fraction)
            elif step.kind is StepKind.ANALYSE:
                await self._analyse(index, step.seconds or self._spec.analysis.duration, fraction)
            elif step.kind is StepKind.VERIFY:
                await self._watch(step, fraction)
            else:
                await self._within_deadline(step)
        # Whoever paused during the last step holds the final switch.
        await self._flow.gate(fraction=end / len(self._plan.steps))

    def _words(self, step: PlanStep) -> str:
        """The step for people: how long is watched, and whether the analysis before it passed before its time."""
        told, self._told_early = self._told_early, ""
        words = step.describe()
        if step.kind is StepKind.PROCESSES:
            words = f"Starting {_types(self._new)} beside the service"
        if step.kind is StepKind.ANALYSE:
            seconds = step.seconds or self._spec.analysis.duration
            words += f" for {seconds:g} s" + (", or until it passes early" if self._spec.analysis.pass_early else "")
            words += "" if self._spec.analysis.tells_client_errors else " (4xx are not judged)"
        return words + told

    async def _pause(self, step: PlanStep, fraction: float) -> None:
        """Hold for a time, or until a person says so; promoting ends both."""
        if step.seconds is None:
            await self._flow.pause_for_people("the plan holds here until somebody resumes it", fraction=fraction)
            return
        left = step.seconds
        while left > 0 and not self._flow.promoted():
            begun = workflow.now()
            with self._only_watching(), suppress(TimeoutError):
                await workflow.wait_condition(self._interrupted, timeout=left, timeout_summary=step.describe())
            if not self._flow.held():
                return
            left -= (workflow.now() - begun).total_seconds()
            await self._hold(fraction)

    async def _watch(self, step: PlanStep, fraction: float) -> None:
        """Whoever pauses it holds here; watching begins anew afterwards."""
        while True:
            with self._only_watching():
                watched = await cancel_when(self._flow.held, self._in_time(step))
            if watched:
                return
            await self._hold(fraction)

    async def _in_time(self, step: PlanStep) -> bool:
        await self._within_deadline(step)
        return True

    @contextmanager
    def _only_watching(self) -> Iterator[None]:
        """Around what a pause ends at once."""
        self._flow.only_watches = True
        try:
            yield
        finally:
            self._flow.only_watches = False

    def _interrupted(self) -> bool:
        return self._flow.promoted() or self._flow.held()

    async def _hold(self, fraction: float) -> float:
        """Until somebody lets it go on; for how many seconds."""
        begun = workflow.now()
        await self._flow.gate(fraction=fraction)
        return (workflow.now() - begun).total_seconds()

    async def _within_deadline(self, step: PlanStep) -> None:
        limit = self._spec.rollout.progress_deadline + (step.seconds or 0)
        if not await within_deadline(self._do(step), limit, f"limit of: {step.describe()}"):
            raise ApplicationError(
                f"no progress for {limit:g} s while: {step.describe()}",
                type=ErrorCode.PROGRESS_DEADLINE_EXCEEDED,
                non_retryable=True,
            )

    async def _do(self, step: PlanStep) -> None:
        match step.kind:
            case StepKind.START:
                self._started = step.count or self._new.replicas
                await self._start(self._new, self._started)
            case StepKind.PROCESSES:
                await self._start_processes()
            case StepKind.SHIFT:
                await self._shift(step.weight or 0)
            case StepKind.CHECK:
                await self._check(step.paths)
            case StepKind.VERIFY:
                await self._verify(step.seconds or 0)
            case StepKind.SHRINK:
                await self._shrink(step.count or 0)
            case StepKind.PROMOTE:
                await self._promote()
            case StepKind.RETIRE:
                await self._retire(step.seconds or 0)
            case StepKind.ANALYSE | StepKind.PAUSE:
                raise ApplicationError(f"{step.kind} comes before the final switch", non_retryable=True)

    async def _analyse(self, index: int, seconds: float, fraction: float) -> None:
        """Until the judge has decided. Undecided, a person decides: resume looks again, promote goes on, abort back."""
        policy = effective_policy(self._spec).model_copy(update={"duration": seconds})
        attempt = 0
        while not self._flow.promoted():
            attempt += 1
            report = await self._judge(policy, f"step-{index}-{attempt}", fraction)
            self._told_early = _early_words(report, seconds)
            if report is None or report.verdict is Verdict.PASS:
                return
            if report.verdict is Verdict.FAIL or policy.on_inconclusive == "fail":
                raise ApplicationError(
                    bounded(f"analysis {report.verdict}: {'; '.join(report.reasons)}"),
                    {"verdict": report.verdict, "reasons": list(report.reasons)},
                    type=ErrorCode.ANALYSIS_FAILED,
                    non_retryable=True,
                )
            if policy.on_inconclusive == "pass":
                return
            await self._flow.pause_for_people(f"analysis inconclusive: {'; '.join(report.reasons)}", fraction=fraction)

    async def _judge(self, policy: AnalysisPolicy, key: str, fraction: float) -> AnalysisReport | None:
        """One analysis; None when somebody promoted the release meanwhile. A pause is no part of it."""
        held = 0.0
        while True:
            with self._only_watching():
                report = await cancel_when(self._interrupted, self._analysis(policy, key, held))
            if report is not None or not self._flow.held():
                return report
            held += await self._hold(fraction)
            if self._flow.promoted():
                return None

    async def _analysis(self, policy: AnalysisPolicy, key: str, held: float) -> AnalysisReport:
        request = AnalyseRelease(
            deployment_id=self._flow.place.deployment_id,
            release_id=self._new.release_id,
            # With all of the traffic on the new version there is nothing beside it to compare with.
            stable_id=self._stable.release_id if self._stable and self._weight < FULL else None,
            key=key,
            policy=policy,
            held_seconds=held,
            weight=self._weight,
        )
        return await self._flow.call(
            ANALYSE_RELEASE, request, summary=f"judge for at most {policy.duration:g} s", only_looks=True
        )

    async def _start(self, release: ReleaseRef, count: int) -> None:
        words = f"{count} instance{'s' if count != 1 else ''}"
        await self._flow.call(
            START_INSTANCES, StartInstances(release_id=release.release_id, count=count), summary=f"start {words}"
        )
        await self._flow.call(
            AWAIT_HEALTHY,
            AwaitHealthy(release_id=release.release_id, count=count),
            summary=f"wait until {words} {'is' if count == 1 else 'are'} healthy",
        )

    async def _start_processes(self) -> None:
        if self._was_good:
            await start_again(self._new)
            return
        request = StartProcesses(release_id=self._new.release_id)
        await self._flow.call(START_PROCESSES, request, summary=f"start {_types(self._new)}")

    async def _shift(self, weight: int) -> None:
        # Set before the call: should it fail half-way, the undo must assume that traffic has moved.
        self._weight = weight
        self._flow.moved = self._flow.moved or weight > 0
        self._opened = True
        await self._flow.call(SHIFT_TRAFFIC, self._route(weight), summary=f"{weight} % to the new version")

    def _route(self, weight: int) -> ShiftTraffic:
        shares = [TrafficShare(release_id=self._new.release_id, weight=weight)] if weight else []
        if self._stable and weight < FULL:
            shares.append(TrafficShare(release_id=self._stable.release_id, weight=FULL - weight))
        place = self._flow.place
        return ShiftTraffic(
            environment_id=place.environment_id,
            host=place.host,
            shares=tuple(shares),
            previews=(self._new.release_id,) if weight < FULL else (),
            sticky=self._spec.rollout.sticky if 0 < weight < FULL else None,
        )

    def _route_back(self) -> ShiftTraffic:
        """All to the stable version; without one, nothing at all."""
        shares = (TrafficShare(release_id=self._stable.release_id, weight=FULL),) if self._stable else ()
        place = self._flow.place
        return ShiftTraffic(
            environment_id=place.environment_id,
            host=place.host,
            shares=shares,
            keeps=self._new.release_id,
            probes=self._probes,
            failed_probes=self._failed_probes,
        )

    async def _check(self, paths: tuple[str, ...]) -> None:
        place = self._flow.place
        request = CheckPreview(
            environment_id=place.environment_id, host=place.host, release_id=self._new.release_id, paths=paths
        )
        await self._flow.call(CHECK_PREVIEW, request, summary="check it on its preview", only_looks=True)
        self._probes += 1 + len(paths)

    async def _verify(self, seconds: float) -> None:
        place = self._flow.place
        request = VerifyTraffic(
            environment_id=place.environment_id, host=place.host, release_id=self._new.release_id, seconds=seconds
        )
        try:
            report = await self._flow.call(
                VERIFY_TRAFFIC, request, summary=f"watch the traffic for {seconds:g} s", only_looks=True
            )
        except ActivityError as fault:
            details = to_operation_error(fault).details
            self._probes += details.get("probes", 0)
            self._failed_probes += details.get("failed_probes", 0)
            raise
        self._probes += report.probes
        self._flow.tell_measured(report)

    async def _shrink(self, keep: int) -> None:
        if self._stable is None:
            return
        self._shrunk = True
        request = ShrinkRelease(release_id=self._stable.release_id, keep=keep)
        await self._flow.call(SHRINK_RELEASE, request, summary=f"drain the old version down to {keep}")

    async def _promote(self) -> None:
        place = self._flow.place
        request = PromoteRelease(
            environment_id=place.environment_id,
            release_id=self._new.release_id,
            deployment_id=None if self._taking_back else place.deployment_id,
        )
        await call(PROMOTE_RELEASE, request, summary="make it the stable version")

    async def _retire(self, keep: float) -> None:
        if self._stable is None:
            return
        request = RetireRelease(release_id=self._stable.release_id, keep_seconds=keep)
        self._flow.retired.append(await call(RETIRE_RELEASE, request, summary=f"keep the old version for {keep:g} s"))
        if has_processes(self._stable):
            with suppress(ActivityError):  # the keeper ends them, too
                stop = StopProcesses(release_id=self._stable.release_id)
                await call(STOP_PROCESSES, stop, summary=f"end the old version's {_types(self._stable)}")

    async def _undo(self) -> None:
        """Traffic first: users must not wait for what is written about it."""
        moved = self._weight > 0
        if moved:
            self._flow.set_status(DeploymentStatus.ROLLING_BACK, health=HealthStatus.UNHEALTHY)
        if self._opened and not await self._traffic_back():
            await self._keep_new()
            return
        await self._flow.set_step("Stopping the new version", fraction=1)
        await call(
            STOP_RELEASE,
            StopRelease(release_id=self._new.release_id, failed=not self._was_good),
            summary="drain and stop the new version",
        )
        if self._taking_back:
            self._flow.set_status(DeploymentStatus.SUCCESS, health=HealthStatus.DEGRADED)
        elif moved and self._stable:
            self._flow.tell_rolled_back(self._stable)

    async def _traffic_back(self) -> bool:
        """Give the traffic back; False when the stable side cannot take it and the new one therefore keeps it.

        That the engine's own parts are away (router, database, workers) says nothing about the stable side: a bad
        version must not get everything because of it, so the way back is tried until it can be gone.
        """
        while True:
            try:
                await self._go_back()
            except ActivityError as fault:
                if self._weight == 0 or self._stable is None:
                    raise
                if fault.retry_state is RetryState.TIMEOUT or isinstance(fault.__cause__, TemporalTimeoutError):
                    workflow.logger.warning("the traffic could not go back yet; trying on")
                    continue
                if (
                    fault.activity_type == SHIFT_TRAFFIC.name
                    and to_operation_error(fault).code != ErrorCode.STABLE_UNHEALTHY
                ):
                    raise
                workflow.logger.warning("the stable side is unhealthy; the new one keeps the traffic")
                return False
            return True

    async def _go_back(self) -> None:
        if self._stable and self._shrunk:
            await self._flow.set_step("Starting the stable version's instances again", fraction=1)
            await self._bring_up(self._stable, "the stable version again")
        applied = await call(SHIFT_TRAFFIC, self._route_back(), summary="all traffic to the stable version")
        if applied.measured:
            self._flow.tell_measured(applied.measured)

    async def _keep_new(self) -> None:
        """Traffic never moves onto a broken side: the new version stays, as the stable one, and the run fails."""
        await self._flow.set_step("The stable version is unhealthy: the new one keeps the traffic", fraction=1)
        await call(SHIFT_TRAFFIC, self._route(FULL), summary="all traffic to the new version, which is healthy")
        if self._started < self._new.replicas:  # between two batches: the rest has to come, as far as it can
            with suppress(ActivityError):
                await self._bring_up(self._new, "the rest of the new version")
        await self._promote()
        if has_processes(self._new):
            await start_again(self._new)
        if self._stable:
            await self._retire(0)
        self._flow.set_status(DeploymentStatus.FAILED, health=HealthStatus.DEGRADED)

    async def _bring_up(self, release: ReleaseRef, words: str) -> None:
        """All of its instances, whoever wants to stop it meanwhile."""
        size = release.replicas
        start = StartInstances(release_id=release.release_id, count=size)
        await call(START_INSTANCES, start, summary=f"start {words}")
        healthy = AwaitHealthy(release_id=release.release_id, count=size)
        await call(AWAIT_HEALTHY, healthy, summary="wait until it is healthy")


def has_processes(release: ReleaseRef) -> bool:
    """Whether something runs beside its service that is ours to start and to stop."""
    return bool(release.processes) and workflow.patched(PROCESSES_PATCH)


async def start_again(release: ReleaseRef) -> None:
    """The processes beside a service that has the traffic already. What cannot be started now, the keeper tries on."""
    request = StartProcesses(release_id=release.release_id, judged=False)
    with suppress(ActivityError):
        await call(START_PROCESSES, request, summary=f"start {_types(release)}")


def _types(release: ReleaseRef) -> str:
    return ", ".join(f"{name} ({each.count})" for name, each in release.processes.items())


def _early_words(report: AnalysisReport | None, seconds: float) -> str:
    if report is None or report.passed_early_after is None:
        return ""
    return f"; the analysis passed early, after {report.passed_early_after:g} of {seconds:g} s"


def _left_out_when_promoted(step: PlanStep) -> bool:
    """Pauses, analysis, the weights on the way, and shrinking the old side while it still has the traffic.

    The preview is opened all the same: a check that is not left out asks there.
    """
    on_the_way = step.kind is StepKind.SHIFT and step.weight not in (0, FULL)
    return on_the_way or step.kind in (StepKind.PAUSE, StepKind.ANALYSE, StepKind.SHRINK)
