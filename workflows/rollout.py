"""Carrying out a rollout plan. Up to the final switch people may hold it, and any fault undoes it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.analysis import AnalysisReport
from contracts.builds import LoadedBuild
from contracts.operations import OperationContext
from contracts.rollouts import OPEN_RELEASE, REOPEN_RELEASE, OpenedRelease, OpenRelease, ReopenRelease, RetiredRelease
from domain.delivery_spec import DeliverySpec
from domain.errors import ErrorCode
from domain.lifecycle import DeploymentStatus, HealthStatus, StepName
from domain.rollout import FULL, PlanStep, RolloutPlan, StepKind, with_processes
from workflows.activity_calls import call, cancel_when, run_to_completion, within_deadline
from workflows.cancellation import Cancellation
from workflows.manual_controls import ManualControls
from workflows.process_types import has_processes, process_names
from workflows.progress_tracker import ProgressTracker
from workflows.release_analysis import ReleaseAnalysis
from workflows.release_steps import ReleaseSteps
from workflows.rollout_undo import RolloutUndo

RELEASE_COMMAND_PATCH = "release-command"


class Rollout:
    """One release on its way to all of the traffic: `open` or `reopen` it, then `run`."""

    _release: ReleaseSteps
    _analysis: ReleaseAnalysis
    _undo: RolloutUndo

    def __init__(
        self,
        context: OperationContext,
        progress: ProgressTracker,
        controls: ManualControls,
        cancellation: Cancellation,
        retire: Callable[[RetiredRelease], None],
    ) -> None:
        self._context = context
        self._progress = progress
        self._controls = controls
        self._cancellation = cancellation
        self._retire = retire
        self._passed_early = ""  # what the next step says of the analysis before it

    async def open(self, build: LoadedBuild) -> OpenedRelease:
        """A new release of this build. It takes up nothing before `run`, which also cleans it away."""
        environment = self._context.environment
        request = OpenRelease(
            place=self._context,
            build_id=build.build_id,
            artifact_digest=build.artifact_digest,
            service=build.spec.service_for(environment),
            processes=build.spec.processes_for(environment),
        )
        # Stopped meanwhile or not: what was opened has to be undone by `run`, so its answer is waited for.
        opened = await run_to_completion(call(OPEN_RELEASE, request, summary="open the release"))
        self._prepare(opened, build.spec, taking_back=False)
        return opened

    async def reopen(self) -> OpenedRelease:
        """The release before, to be brought back; the one of this deployment is the stable one until then."""
        request = ReopenRelease(place=self._context)
        # Stopped meanwhile or not: `run` undoes it.
        opened = await run_to_completion(call(REOPEN_RELEASE, request, summary="find the previous release"))
        self._prepare(opened, DeliverySpec(), taking_back=True)
        return opened

    def _prepare(self, opened: OpenedRelease, spec: DeliverySpec, *, taking_back: bool) -> None:
        if opened.notice:
            self._progress.note(StepName.ROLLOUT, opened.notice)
        self._release = release = ReleaseSteps(
            self._context,
            opened,
            spec,
            taking_back=taking_back,
            progress=self._progress,
            cancellation=self._cancellation,
            retire=self._retire,
        )
        self._analysis = ReleaseAnalysis(self._context.deployment_id, release, self._controls, self._cancellation)
        self._undo = RolloutUndo(release, self._progress, self._cancellation)

    async def run(self, plan: RolloutPlan) -> None:
        """Follow the plan; on any fault before the release is promoted undo it, then raise the fault."""
        release = self._release
        under_way = DeploymentStatus.ROLLING_BACK if release.taking_back else DeploymentStatus.IN_PROGRESS
        self._progress.set_status(under_way)
        if has_processes(release.new):
            uptimes = [each.min_uptime for each in release.new.processes.values()]
            plan = with_processes(plan, good=release.was_good, seconds=max(uptimes))
        steps = plan.steps
        switch = next((i for i, step in enumerate(steps) if step.kind is StepKind.PROMOTE), len(steps))
        try:
            await self._run_release_command()
            await self._advance(steps, switch)
            self._cancellation.check()
            self._cancellation.close()
        except (asyncio.CancelledError, ActivityError, ApplicationError):
            await run_to_completion(self._undo.run())
            raise
        # Past the final switch nothing stops it: the record and the traffic must agree.
        await run_to_completion(self._finish(steps, switch))
        self._progress.set_status(DeploymentStatus.SUCCESS, health=HealthStatus.HEALTHY)

    async def _run_release_command(self) -> None:
        """Before anything of the new version starts. One that was good before has had its own."""
        command = self._release.spec.release.command
        if command is None or self._release.was_good or not workflow.patched(RELEASE_COMMAND_PATCH):
            return
        await self._controls.gate(fraction=0)
        await self._progress.set_step("Running the release command", fraction=0)
        await self._release.run_command(command)

    async def _advance(self, steps: tuple[PlanStep, ...], switch: int) -> None:
        """Up to the final switch: people may hold between two steps, or ask to skip what is left."""
        for index, step in enumerate(steps[:switch]):
            fraction = index / len(steps)
            await self._controls.gate(fraction=fraction)
            if self._controls.promoted() and _left_out_when_promoted(step):
                continue
            await self._progress.set_step(self._message(step), fraction=fraction)
            if step.kind is StepKind.PAUSE:
                await self._pause(step, fraction)
            elif step.kind is StepKind.ANALYSE:
                await self._analyse(step, index, fraction)
            elif step.kind is StepKind.VERIFY:
                await self._watch(step, fraction)
            else:
                await self._do_within_deadline(step)
        # A pause during the last step holds the final switch.
        await self._controls.gate(fraction=switch / len(steps))

    async def _finish(self, steps: tuple[PlanStep, ...], switch: int) -> None:
        """From the final switch on. No deadline: a promotion that a dead database holds up must still be made."""
        for index, step in enumerate(steps[switch:], switch):
            await self._progress.set_step(self._message(step), fraction=index / len(steps))
            await self._release.do(step)

    async def _pause(self, step: PlanStep, fraction: float) -> None:
        """Hold for a time, or until a person says so; promoting ends both."""
        if step.seconds is None:
            why = "the plan holds here until somebody resumes it"
            await self._controls.pause_for_people(why, fraction=fraction)
            return
        left = step.seconds
        while left > 0 and not self._controls.promoted():
            begun = workflow.now()
            with self._controls.only_watching(), suppress(TimeoutError):
                await workflow.wait_condition(self._controls.interrupted, timeout=left, timeout_summary=step.describe())
            if not self._controls.held():
                return
            left -= (workflow.now() - begun).total_seconds()
            await self._controls.hold(fraction=fraction)

    async def _analyse(self, step: PlanStep, index: int, fraction: float) -> None:
        seconds = step.seconds or self._release.spec.analysis.duration
        report = await self._analysis.run(index, seconds, fraction)
        self._passed_early = _passed_early(report, seconds)

    async def _watch(self, step: PlanStep, fraction: float) -> None:
        """A pause holds here; the observation begins anew afterwards."""
        while True:
            with self._controls.only_watching():
                watched = await cancel_when(self._controls.held, self._do_within_deadline(step))
            if watched:
                return
            await self._controls.hold(fraction=fraction)

    async def _do_within_deadline(self, step: PlanStep) -> bool:
        """True: it is done (`cancel_when` says None for what it cancelled)."""
        limit = self._release.spec.rollout.progress_deadline + (step.seconds or 0)
        if not await within_deadline(self._release.do(step), limit, f"limit of: {step.describe()}"):
            raise ApplicationError(
                f"no progress for {limit:g} s while: {step.describe()}",
                type=ErrorCode.PROGRESS_DEADLINE_EXCEEDED,
                non_retryable=True,
            )
        return True

    def _message(self, step: PlanStep) -> str:
        """The step for people: how long is watched, and whether the analysis before it passed before its time."""
        passed_early, self._passed_early = self._passed_early, ""
        message = step.describe()
        if step.kind is StepKind.PROCESSES:
            message = f"Starting {process_names(self._release.new)} beside the service"
        if step.kind is StepKind.ANALYSE:
            analysis = self._release.spec.analysis
            message += f" for {step.seconds or analysis.duration:g} s"
            message += ", or until it passes early" if analysis.pass_early else ""
            message += "" if analysis.tells_client_errors else " (4xx are not judged)"
        return message + passed_early


def _passed_early(report: AnalysisReport | None, seconds: float) -> str:
    if report is None or report.passed_early_after is None:
        return ""
    return f"; the analysis passed early, after {report.passed_early_after:g} of {seconds:g} s"


def _left_out_when_promoted(step: PlanStep) -> bool:
    """Pauses, analysis, the weights on the way, and shrinking the old side while it still has the traffic.

    The preview is opened all the same: a check that is not left out asks there.
    """
    on_the_way = step.kind is StepKind.SHIFT and step.weight not in (0, FULL)
    return on_the_way or step.kind in (StepKind.PAUSE, StepKind.ANALYSE, StepKind.SHRINK)
