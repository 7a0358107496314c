"""A finished deployment is taken back: the previous healthy release gets the traffic again.

While that one still runs (`scale_down_delay`) one activity moves the traffic and the records at once, without a turn.
Afterwards it has to be started first: a short rollout with the environment's turn.
"""

from uuid import UUID

from temporalio import workflow

from contracts.names import WorkflowName
from contracts.operations import OperationResult, RollbackInput
from contracts.rollouts import (
    REOPEN_RELEASE,
    STOP_RELEASE,
    TAKE_BACK,
    OpenedRelease,
    ReleaseRef,
    ReopenRelease,
    StopRelease,
    TakeBack,
)
from domain.delivery_spec import DeliverySpec
from domain.lifecycle import DeploymentStatus, OperationKind, StepName
from domain.rollout import plan_rollback
from workflows.activity_calls import call, run_to_completion
from workflows.operation import OperationWorkflow
from workflows.progress_tracker import ProgressTracker
from workflows.rollout import Rollout, has_processes, start_again


@workflow.defn(name=WorkflowName.ROLLBACK)
class RollbackWorkflow(OperationWorkflow):
    """The release before becomes the new one of a short blue-green rollout; the bad one is stopped at once."""

    purpose = "rollback"

    @workflow.init
    def __init__(self, order: RollbackInput) -> None:
        self._order = order
        self._prepare(order, ProgressTracker(order.place.operation_id, OperationKind.ROLLBACK, [StepName.ROLLOUT]))
        self._status_if_failed = DeploymentStatus.SUCCESS  # it serves on
        self._status_while_queued = None  # the API told `rolling_back` already
        self._urgent = True

    @workflow.run
    async def run(self, _order: RollbackInput) -> OperationResult:
        return await self._guard(self._take_back())

    async def _take_back(self) -> OperationResult:
        # First of all, before anything is written about it: while the release before still runs, one activity does it.
        taken = await run_to_completion(
            call(TAKE_BACK, TakeBack(place=self.place), summary="give the traffic back at once")
        )
        if taken.release and taken.bad_release_id:
            return await run_to_completion(self._after_the_swap(taken.release, taken.bad_release_id))
        opened = await self.step(StepName.ROLLOUT, "Rolling back", self._roll_back(), waiting=True)
        self._tell_taken_back(opened.release)
        return self._result(opened.release)

    async def _after_the_swap(self, target: ReleaseRef, bad: UUID) -> OperationResult:
        """Told at once; the bad version drains and stops behind it."""
        self._stoppable = False
        self._turn_wanted = True  # its mark in the environment's row is given back at the end
        self._tell_taken_back(target)
        await self.step(StepName.ROLLOUT, "Stopping the version that was taken back", self._clear_up(target, bad))
        return self._result(target)

    async def _clear_up(self, target: ReleaseRef, bad: UUID) -> None:
        if has_processes(target):
            await start_again(target)
        await call(STOP_RELEASE, StopRelease(release_id=bad), summary="drain and stop the bad version")

    def _tell_taken_back(self, target: ReleaseRef) -> None:
        self.deployment = self.deployment.model_copy(
            update={
                "status": DeploymentStatus.ROLLED_BACK,
                "rollback_reason": self._order.reason,
                "rolled_back_to_build_id": target.build_id,
            }
        )

    def _result(self, target: ReleaseRef) -> OperationResult:
        place = self.place
        return OperationResult(
            operation_id=place.operation_id, deployment_id=place.deployment_id, build_id=target.build_id
        )

    async def _roll_back(self) -> OpenedRelease:
        await self.take_turn()
        # Stopped meanwhile or not: the rollout undoes it.
        request = ReopenRelease(place=self.place)
        opened = await run_to_completion(call(REOPEN_RELEASE, request, summary="find the previous release"))
        plan = plan_rollback(replicas=opened.release.replicas, old_replicas=1)
        await Rollout(self, opened, plan, DeliverySpec(), taking_back=True).run()
        return opened
