"""Rolls a finished deployment back: the previous healthy release gets the traffic again.

While that release still runs (`scale_down_delay`), one activity moves the traffic and the records at once, without the
environment's lock. Later it must be started first: a short blue-green rollout, with the lock.
"""

from uuid import UUID

from temporalio import workflow

from contracts.names import WorkflowName
from contracts.operations import OperationResult, RollbackInput
from contracts.rollouts import STOP_RELEASE, TAKE_BACK, ReleaseRef, StopRelease, TakeBack, TakenBack
from domain.lifecycle import DeploymentStatus, OperationKind, StepName
from domain.rollout import plan_rollback
from workflows.activity_calls import call, run_to_completion
from workflows.operation import OperationWorkflow, guarded
from workflows.process_types import has_processes, start_again


@workflow.defn(name=WorkflowName.ROLLBACK)
class RollbackWorkflow(OperationWorkflow):
    """Moves the traffic to the previous release and stops the bad one."""

    status_if_failed = DeploymentStatus.SUCCESS  # it goes on serving

    @workflow.init
    def __init__(self, order: RollbackInput) -> None:
        super().__init__(order, OperationKind.ROLLBACK, [StepName.ROLLOUT])

    @workflow.run
    @guarded
    async def run(self, order: RollbackInput) -> OperationResult:
        taken = await self._take_back_at_once()
        if taken.release and taken.bad_release_id:
            return await run_to_completion(self._clean_up(order, taken.release, taken.bad_release_id))
        async with self.progress.step(StepName.ROLLOUT, "Rolling back", waiting=True):
            await self.lock.take()
            opened = await self.rollout.reopen()
            await self.rollout.run(plan_rollback(replicas=opened.release.replicas, old_replicas=1))
        self._set_taken_back(order, opened.release)
        return self.result(opened.release.build_id)

    async def _take_back_at_once(self) -> TakenBack:
        """Move the traffic first, before anything is recorded about it."""
        request = TakeBack(place=self.context)
        return await run_to_completion(call(TAKE_BACK, request, summary="give the traffic back at once"))

    async def _clean_up(self, order: RollbackInput, release: ReleaseRef, bad_release_id: UUID) -> OperationResult:
        """After the traffic has moved: drain and stop the bad version."""
        self.cancellation.close()
        self.lock.mark_taken()  # the activity marked the environment's row
        self._set_taken_back(order, release)
        async with self.progress.step(StepName.ROLLOUT, "Stopping the version that was taken back"):
            if has_processes(release):
                await start_again(release)
            stop = StopRelease(release_id=bad_release_id)
            await call(STOP_RELEASE, stop, summary="drain and stop the bad version")
        return self.result(release.build_id)

    def _set_taken_back(self, order: RollbackInput, release: ReleaseRef) -> None:
        self.progress.set_deployment(
            status=DeploymentStatus.ROLLED_BACK,
            rollback_reason=order.reason,
            rolled_back_to_build_id=release.build_id,
        )
