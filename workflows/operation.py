"""The base of the workflows whose id is an operation's: their messages, and how they begin and end."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import wraps
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.names import ABORT_UPDATE, PROGRESS_QUERY, STANDING_QUERY
from contracts.operations import AbortRequest, ActionRequest, OperationResult, Order, Progress, Standing
from contracts.rollouts import LockGrant, LockQueued, LockSuperseded
from domain.approvals import Action, Phase
from domain.lifecycle import DeploymentStatus, OperationKind, StepName
from workflows.activity_calls import run_to_completion, was_cancelled
from workflows.cancellation import Cancellation
from workflows.environment_lock import EnvironmentLock
from workflows.manual_controls import ManualControls
from workflows.operation_failure import failure_error, failure_fields
from workflows.orders import approval_for, lock_request_for, promotion_for
from workflows.progress_tracker import ProgressTracker
from workflows.rollout import Rollout
from workflows.signatures import check_start

Flow = TypeVar("Flow", bound="OperationWorkflow")
Input = TypeVar("Input", bound=Order)


def guarded(
    run: Callable[[Flow, Input], Coroutine[Any, Any, OperationResult]],
) -> Callable[[Flow, Input], Awaitable[OperationResult]]:
    """Around `run`: the API must have accepted the start; at any end the rows are written, the lock is released."""

    @wraps(run)
    async def guarded_run(self: Flow, order: Input) -> OperationResult:
        checked = await check_start(self.progress.current.kind, order)
        return await self.carry_out(run(self, order), checked=checked)

    return guarded_run


class OperationWorkflow:
    """Owns the collaborators of an operation and passes messages to them. Subclasses have a `run` that is `guarded`."""

    # The deployment's status when this operation fails; None: failed or cancelled like the operation.
    status_if_failed: ClassVar[DeploymentStatus | None] = None

    def __init__(self, order: Order, kind: OperationKind, steps: Iterable[StepName]) -> None:
        self.context = context = order.place
        self.progress = progress = ProgressTracker(context, kind, steps)
        self.cancellation = cancellation = Cancellation(progress)
        self.lock = EnvironmentLock(lock_request_for(order), progress, cancellation)
        self.controls = ManualControls(progress, cancellation, approval_for(order), promoted_by=promotion_for(order))
        self.rollout = Rollout(context, progress, self.controls, cancellation, self.lock.retire)

    # ---- what it is asked

    @workflow.query(name=PROGRESS_QUERY)
    def answer_progress(self) -> Progress:
        """The progress that is also in the row."""
        return self.progress.recorded

    @workflow.query(name=STANDING_QUERY)
    def answer_standing(self) -> Standing:
        """The progress of the workflow, and the progress in its row."""
        return self.progress.standing

    # ---- what the environment says

    @workflow.signal
    def turn_granted(self, grant: LockGrant) -> None:
        """The environment's lock is ours."""
        self.lock.granted(grant)

    @workflow.signal
    def turn_queued(self, position: LockQueued) -> None:
        """Another operation has the lock; this is our position in the queue."""
        self.lock.queued(position)

    @workflow.signal
    def supersede(self, by: LockSuperseded) -> None:
        """A newer deployment replaces this one, unless this one is past its final switch."""
        if self.controls.phase() not in (Phase.STOPPING, Phase.FINISHING, Phase.FINISHED):
            self.lock.superseded(by)

    # ---- what people decide

    @workflow.update(name=Action.APPROVE)
    async def approve(self, request: ActionRequest) -> None:
        await self.controls.approve(request)

    @workflow.update(name=Action.PAUSE)
    async def pause(self, request: ActionRequest) -> None:
        await self.controls.pause(request)

    @workflow.update(name=Action.RESUME)
    async def resume(self, request: ActionRequest) -> None:
        await self.controls.resume(request)

    @workflow.update(name=Action.PROMOTE)
    async def promote(self, request: ActionRequest) -> None:
        await self.controls.promote(request)

    @workflow.update(name=ABORT_UPDATE)
    async def abort(self, request: AbortRequest) -> None:
        await self.controls.abort(request)

    @workflow.update(name=Action.REJECT)
    async def reject(self, request: AbortRequest) -> None:
        await self.controls.reject(request)

    @approve.validator
    def _may_approve(self, request: ActionRequest) -> None:
        self.controls.check(Action.APPROVE, request)

    @pause.validator
    def _may_pause(self, request: ActionRequest) -> None:
        self.controls.check(Action.PAUSE, request)

    @resume.validator
    def _may_resume(self, request: ActionRequest) -> None:
        self.controls.check(Action.RESUME, request)

    @promote.validator
    def _may_promote(self, request: ActionRequest) -> None:
        self.controls.check(Action.PROMOTE, request)

    @abort.validator
    def _may_abort(self, request: AbortRequest) -> None:
        self.controls.check(Action.ABORT, request)

    @reject.validator
    def _may_reject(self, request: AbortRequest) -> None:
        self.controls.check(Action.REJECT, request)

    # ---- how it begins and ends

    async def carry_out(self, work: Coroutine[Any, Any, OperationResult], *, checked: bool) -> OperationResult:
        """Run the operation. At any end the rows say what happened and the lock is released."""
        self.progress.begin()
        cancelled = checked and workflow.cancellation_reason() is not None
        try:
            result = await self.cancellation.run(work, cancelled=cancelled)
        except (asyncio.CancelledError, ActivityError, ApplicationError) as fault:
            await run_to_completion(self._fail(fault))
            error = self.progress.current.error
            raise ApplicationError(
                error.message if error else str(fault), type=error.code if error else None, non_retryable=True
            ) from fault
        await run_to_completion(self._complete())
        return result

    async def _complete(self) -> None:
        self.progress.complete()
        await self._finish()

    async def _fail(self, fault: BaseException) -> None:
        cancelled = was_cancelled(fault)
        error = failure_error(fault, self.progress, self.cancellation)
        self.progress.fail(error, cancelled=cancelled)
        fields = failure_fields(
            error,
            self.progress.deployment,
            self.cancellation,
            cancelled=cancelled,
            default=self.status_if_failed,
        )
        self.progress.set_deployment(**fields)
        await self._finish()

    async def _finish(self) -> None:
        await self.progress.record(final=True)
        await self.lock.give_back()
        await workflow.wait_condition(workflow.all_handlers_finished)

    def result(self, build_id: UUID) -> OperationResult:
        """What a run returns."""
        context = self.context
        return OperationResult(
            operation_id=context.operation_id, deployment_id=context.deployment_id, build_id=build_id
        )
