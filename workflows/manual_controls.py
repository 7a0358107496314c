"""What people decide about a rollout: approve, reject, pause, resume, promote, abort.

A refused update writes nothing to the history; an accepted one is in it with actor and reason. An update is answered
when its effect is in the rows, so the caller reads the state after the decision, not the one before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from contracts.operations import AbortRequest, ActionRequest
from contracts.payload import bounded
from domain.approvals import Action, Phase, check_action
from domain.errors import DeliveryError
from domain.lifecycle import DeploymentStatus
from workflows.approval import Approval
from workflows.cancellation import Cancellation
from workflows.progress_tracker import ProgressTracker
from workflows.signatures import DecisionSignatures

# In older histories a pause took effect at the next step only, and updates were answered before the rows were written.
RECORDED_AT_ONCE = "decisions-are-told-at-once"


class ManualControls:
    """`check` is for validators and the verbs are for update handlers. The workflow waits for their effects."""

    def __init__(
        self,
        progress: ProgressTracker,
        cancellation: Cancellation,
        approval: Approval,
        *,
        promoted_by: ActionRequest | None = None,
    ) -> None:
        self._progress = progress
        self._cancellation = cancellation
        self._approval = approval
        self._promoted_by = promoted_by
        self._paused_by: ActionRequest | None = None
        self._pauses_at_once = False
        self._only_watching = False
        self._signatures = DecisionSignatures()

    # ---- what may be decided

    def phase(self) -> Phase:
        """The phase of the deployment, which decides what people may do."""
        if self._progress.finished:
            return Phase.FINISHED
        if self._cancellation.requested is not None:
            return Phase.STOPPING
        if self._cancellation.closed:
            return Phase.FINISHING
        if self._paused_by and self._progress.phase is Phase.ROLLING_OUT:
            return Phase.PAUSED
        return self._progress.phase

    def check(self, action: Action, request: ActionRequest | AbortRequest) -> None:
        """Raise `ApplicationError`, which refuses the update, if it is not allowed now or not for this person."""
        try:
            self._signatures.check(action, request)
            check_action(self.phase(), action)
            if action is Action.APPROVE and isinstance(request, ActionRequest):
                self._approval.check(request)
        except DeliveryError as error:
            _refuse(error)

    # ---- what was decided

    async def approve(self, request: ActionRequest) -> None:
        """Add an approval; after the last one the deployment asks for the environment's lock."""
        self._signatures.remember(request)
        self._approval.add(request)
        if not workflow.patched(RECORDED_AT_ONCE):
            return
        if not self._approval.complete():
            await self._progress.set_step(self._approval.summary(), fraction=0)
            return
        self._progress.phase = Phase.QUEUED
        self._progress.set_status(DeploymentStatus.QUEUED)
        await self._progress.set_step(f"Approved by {request.actor}: asking for its turn", fraction=0)

    async def pause(self, request: ActionRequest) -> None:
        """Hold now, or before the next step. The traffic does not change."""
        self._signatures.remember(request)
        self._pauses_at_once = workflow.patched(RECORDED_AT_ONCE)
        self._paused_by = request
        step = self._progress.current.current_step or ""
        if not self.held():
            message = f"{step}; {request.actor} paused it: it holds before the next step"
            await self._progress.set_step(message, fraction=0)
            return
        self._progress.set_status(DeploymentStatus.PAUSED)
        first = "" if self._only_watching else f" (first ends what is under way: {step})"
        await self._progress.set_step(bounded(f"{_paused(request)}{first}", 1024), fraction=0)

    async def resume(self, request: ActionRequest) -> None:
        """Continue where it was held."""
        self._signatures.remember(request)
        self._paused_by = None
        await self._record_going_on(request, "Resumed")

    async def promote(self, request: ActionRequest) -> None:
        """Finish the rollout without further pauses or analyses."""
        self._signatures.remember(request)
        self._promoted_by = request
        self._paused_by = None
        await self._record_going_on(request, "Promoted")

    async def abort(self, request: AbortRequest) -> None:
        """Stop the rollout. Traffic that has moved goes back to the stable version; the new one is removed."""
        self._signatures.remember(request)
        self._cancellation.stop(request)
        await self._record_stop(request)

    async def reject(self, request: AbortRequest) -> None:
        """Reject the deployment: it ends before anything was changed."""
        self._signatures.remember(request)
        self._cancellation.stop(request.model_copy(update={"reason": bounded(f"rejected: {request.reason}")}))
        await self._record_stop(request)

    # ---- what the workflow waits on

    async def await_approval(self) -> None:
        """Wait until there are enough approvals. There is no time limit."""
        if self._approval.complete():
            return
        self._progress.phase = Phase.AWAITING_APPROVAL
        self._progress.set_status(DeploymentStatus.AWAITING_APPROVAL)
        self._progress.begin_wait()
        recorded = -1

        def has_news() -> bool:
            return self._approval.complete() or recorded != self._approval.count

        while not self._approval.complete():
            if recorded != self._approval.count:
                recorded = self._approval.count
                await self._progress.set_step(self._approval.summary(), fraction=0)
            await workflow.wait_condition(has_news)
        self._progress.people_came()

    async def gate(self, *, fraction: float) -> None:
        """Between two steps: stop if an abort was asked for, wait while the rollout is paused."""
        self._cancellation.check()
        self._progress.phase = Phase.ROLLING_OUT
        if self._paused_by is None:
            return
        self._progress.set_status(DeploymentStatus.PAUSED)
        self._progress.begin_wait()
        await self._progress.set_step(_paused(self._paused_by), fraction=fraction)
        await workflow.wait_condition(lambda: self._paused_by is None)
        self._progress.end_wait()
        self._progress.set_status(DeploymentStatus.IN_PROGRESS)

    async def pause_for_people(self, why: str, *, fraction: float) -> None:
        """Pause for the plan or an inconclusive analysis, until a person resumes, promotes or aborts."""
        by = self._paused_by or ActionRequest(actor="the plan")  # a person may have paused it meanwhile
        self._paused_by = by.model_copy(update={"reason": bounded("; ".join(filter(None, (by.reason, why))), 1024)})
        await self.gate(fraction=fraction)

    async def hold(self, *, fraction: float) -> float:
        """Wait until it is resumed or promoted; returns the seconds waited."""
        begun = workflow.now()
        await self.gate(fraction=fraction)
        return (workflow.now() - begun).total_seconds()

    def promoted(self) -> bool:
        """Whether it was promoted: no further pauses or analyses."""
        return self._promoted_by is not None

    def held(self) -> bool:
        """Whether it is paused, so that steps which only wait or observe stop early."""
        return self._pauses_at_once and self._paused_by is not None

    def interrupted(self) -> bool:
        """Whether steps that only wait or observe must end: the rollout was paused or promoted."""
        return self.promoted() or self.held()

    @contextmanager
    def only_watching(self) -> Iterator[None]:
        """Around steps that only wait or observe, so that a pause ends them at once."""
        self._only_watching = True
        try:
            yield
        finally:
            self._only_watching = False

    # ---- what the rows say of it

    async def _record_going_on(self, request: ActionRequest, what: str) -> None:
        if not workflow.patched(RECORDED_AT_ONCE):
            return
        if self._progress.deployment.status is DeploymentStatus.PAUSED:
            self._progress.set_status(DeploymentStatus.IN_PROGRESS)
        await self._progress.set_step(f"{what} by {request.actor}", fraction=0)

    async def _record_stop(self, request: AbortRequest) -> None:
        """Show the stop: not paused any more, and rolling back if users already got the new version."""
        if not workflow.patched(RECORDED_AT_ONCE):
            return
        status = self._progress.deployment.status
        if self._progress.traffic_moved and status in (DeploymentStatus.IN_PROGRESS, DeploymentStatus.PAUSED):
            self._progress.set_status(DeploymentStatus.ROLLING_BACK)
        elif status is DeploymentStatus.PAUSED:
            self._progress.set_status(DeploymentStatus.IN_PROGRESS)
        message = bounded(f"Stopping for {request.actor}: {request.reason}", 1024)
        await self._progress.set_step(message, fraction=0)


def _paused(request: ActionRequest) -> str:
    return f"Paused by {request.actor}{f': {request.reason}' if request.reason else ''}"


def _refuse(error: DeliveryError) -> NoReturn:
    """Refuse an update with a domain error."""
    raise ApplicationError(error.message, error.details, type=str(error.code), non_retryable=True) from None
