"""Undoing a rollout: traffic to the stable side first, then the new side goes."""

from contextlib import suppress

from temporalio import workflow
from temporalio.exceptions import ActivityError, RetryState
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from contracts.rollouts import (
    AWAIT_HEALTHY,
    SHIFT_TRAFFIC,
    START_INSTANCES,
    STOP_RELEASE,
    AwaitHealthy,
    ReleaseRef,
    StartInstances,
    StopRelease,
)
from domain.errors import ErrorCode
from domain.lifecycle import DeploymentStatus, HealthStatus
from domain.rollout import FULL
from workflows.activity_calls import call, to_operation_error
from workflows.cancellation import Cancellation
from workflows.process_types import has_processes, start_again
from workflows.progress_tracker import ProgressTracker
from workflows.release_steps import ReleaseSteps


class RolloutUndo:
    """The way back. Nothing stops it: it ends with everything as before, or with a fault that people must see."""

    def __init__(self, release: ReleaseSteps, progress: ProgressTracker, cancellation: Cancellation) -> None:
        self._release = release
        self._progress = progress
        self._cancellation = cancellation

    async def run(self) -> None:
        """Traffic first: users must not wait for what is written about it."""
        release, moved = self._release, self._release.weight > 0
        if moved:
            self._progress.set_status(DeploymentStatus.ROLLING_BACK, health=HealthStatus.UNHEALTHY)
        if release.routed and not await self._traffic_back():
            await self._keep_new()
            return
        await self._progress.set_step("Stopping the new version", fraction=1)
        await call(
            STOP_RELEASE,
            StopRelease(release_id=release.new.release_id, failed=not release.was_good),
            summary="drain and stop the new version",
        )
        if release.taking_back:
            self._progress.set_status(DeploymentStatus.SUCCESS, health=HealthStatus.DEGRADED)
        elif moved and release.stable:
            self._set_rolled_back(release.stable)

    def _set_rolled_back(self, stable: ReleaseRef) -> None:
        """Superseded is another end than rolled back, and both are final."""
        requested, superseded = self._cancellation.requested, self._cancellation.superseded_by
        self._progress.set_deployment(
            status=DeploymentStatus.ROLLING_BACK if superseded else DeploymentStatus.ROLLED_BACK,
            rolled_back_to_build_id=stable.build_id,
            rollback_reason=requested.reason if requested else None,
        )

    async def _traffic_back(self) -> bool:
        """Give the traffic back; False when the stable side cannot take it and the new one therefore keeps it.

        That the engine's own parts are away (router, database, workers) says nothing about the stable side: a bad
        version must not get everything because of it, so the way back is tried until it can be gone.
        """
        while True:
            try:
                await self._go_back()
            except ActivityError as fault:
                if self._release.weight == 0 or self._release.stable is None:
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
        release = self._release
        if release.stable and release.shrunk:
            await self._progress.set_step("Starting the stable version's instances again", fraction=1)
            await _bring_up(release.stable, "the stable version again")
        applied = await call(SHIFT_TRAFFIC, release.route_back(), summary="all traffic to the stable version")
        if applied.measured:
            self._progress.set_measured(applied.measured)

    async def _keep_new(self) -> None:
        """Traffic never moves onto a broken side: the new version stays, as the stable one, and the run fails."""
        release = self._release
        await self._progress.set_step("The stable version is unhealthy: the new one keeps the traffic", fraction=1)
        await call(SHIFT_TRAFFIC, release.route(FULL), summary="all traffic to the new version, which is healthy")
        if release.started < release.new.replicas:  # between two batches: the rest has to come, as far as it can
            with suppress(ActivityError):
                await _bring_up(release.new, "the rest of the new version")
        await release.promote()
        if has_processes(release.new):
            await start_again(release.new)
        if release.stable:
            await release.retire(0)
        self._progress.set_status(DeploymentStatus.FAILED, health=HealthStatus.DEGRADED)


async def _bring_up(release: ReleaseRef, what: str) -> None:
    """Start all of its instances, also when a stop is asked for meanwhile."""
    size = release.replicas
    start = StartInstances(release_id=release.release_id, count=size)
    await call(START_INSTANCES, start, summary=f"start {what}")
    healthy = AwaitHealthy(release_id=release.release_id, count=size)
    await call(AWAIT_HEALTHY, healthy, summary="wait until it is healthy")
