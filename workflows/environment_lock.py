"""The client side of the environment's lock; `EnvironmentWorkflow` grants it.

Signal and payload names in histories call the lock "turn".
"""

from datetime import timedelta

from temporalio import workflow

from contracts.rollouts import (
    REQUEST_TURN,
    RETURN_TURN,
    LockGrant,
    LockQueued,
    LockRelease,
    LockRequest,
    LockSuperseded,
    RetiredRelease,
)
from domain.approvals import Phase
from domain.lifecycle import DeploymentStatus
from workflows.activity_calls import call
from workflows.cancellation import Cancellation
from workflows.progress_tracker import ProgressTracker
from workflows.ui_details import queue_message

# The entity answers at once; asking again covers a lost answer. The interval grows: a freeze may take weeks, and the
# history must stay small.
FIRST_REMINDER = timedelta(seconds=30)
LAST_REMINDER = timedelta(hours=6)


class EnvironmentLock:
    """Asks until the lock is granted; releases it at the end, and names the releases to be stopped later."""

    def __init__(self, request: LockRequest, progress: ProgressTracker, cancellation: Cancellation) -> None:
        self._request = request
        self._progress = progress
        self._cancellation = cancellation
        self._granted = False
        self._to_give_back = False
        self._position: LockQueued | None = None
        self._recorded_position: LockQueued | None = None
        self._retired: list[RetiredRelease] = []

    def granted(self, grant: LockGrant) -> None:
        self._granted = grant.environment_id == self._request.environment_id

    def queued(self, position: LockQueued) -> None:
        """Another operation has the lock."""
        self._position = position

    def superseded(self, by: LockSuperseded) -> None:
        """A newer deployment replaces this one; a rollback is never replaced."""
        if not self._request.urgent:
            self._cancellation.supersede(by)

    def retire(self, release: RetiredRelease) -> None:
        """Have a release stopped when it is due, after the lock was released."""
        self._retired.append(release)

    def mark_taken(self) -> None:
        """An activity took the lock for us: release it at the end."""
        self._to_give_back = True

    async def take(self) -> None:
        """Wait for the environment: one rollout at a time, none in a freeze."""
        self._progress.phase = Phase.QUEUED
        self._to_give_back = True
        pause = FIRST_REMINDER
        while not self._granted:
            summary = f"ask for the turn of {self._request.environment}"
            await self._cancellation.call(REQUEST_TURN, self._request, summary=summary)
            try:
                await self._wait(pause)
            except TimeoutError:
                pause = min(2 * pause, LAST_REMINDER)
        self._progress.set_deployment(next_open=None)
        self._progress.end_wait()
        self._cancellation.check()

    async def give_back(self) -> None:
        """Release the lock. Does nothing if it was never asked for."""
        if not self._to_give_back:
            return
        self._to_give_back = False
        request = self._request
        release = LockRelease(
            environment_id=request.environment_id,
            workflow_id=request.workflow_id,
            deployment_id=request.deployment_id,
            retired=tuple(self._retired),
            organization_slug=request.organization_slug,
            project_slug=request.project_slug,
            environment=request.environment,
        )
        await call(RETURN_TURN, release, summary=f"give back the turn of {request.environment}")

    async def _wait(self, pause: timedelta) -> None:
        """Wait for the grant and record each new position; raises `TimeoutError` when it is time to ask again."""
        while not self._granted:
            await workflow.wait_condition(self._has_news, timeout=pause, timeout_summary="until asking again")
            if not self._granted and self._position:
                await self._record_position(self._position)

    def _has_news(self) -> bool:
        return self._granted or self._position != self._recorded_position

    async def _record_position(self, position: LockQueued) -> None:
        self._recorded_position = position
        # A rollback keeps the status `rolling_back`, which the API gave it.
        status = self._progress.deployment.status if self._request.urgent else DeploymentStatus.QUEUED
        self._progress.set_deployment(next_open=position.next_open, status=status)
        await self._progress.set_step(queue_message(self._request.environment, position), fraction=0)
