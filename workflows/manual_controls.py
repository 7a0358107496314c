"""What people decide about a rollout: approve, reject, pause, resume, promote, abort.

A refused update writes nothing to the history; an accepted one stands there with actor and reason. It is answered when
the rows have what came of it, so that whoever decided reads the state after the decision and not the one before.
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

# Histories from before it: a pause held at the next step only, and answers came before the rows had the decision.
RECORDED_AT_ONCE = "decisions-are-told-at-once"


class ManualControls:
    """`check` is for validators, the verbs are for update handlers; the workflow waits on what was decided."""

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
        """Where the deployment is, as far as people are concerned."""
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
        """Raises `ApplicationError`, which refuses the update, for what may not be done now or not by this person."""
        try:
            self._signatures.check(action, request)
            check_action(self.phase(), action)
            if action is Action.APPROVE and isinstance(request, ActionRequest):
                self._approval.check(request)
        except DeliveryError as error:
            _refuse(error)

    # ---- what was decided

    async def approve(self, request: ActionRequest) -> None:
        """One more yes; with the last one it asks for the environment's lock."""
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
        """Hold here, or before the next step; the traffic stays as it is."""
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
        """Go on where it was held."""
        self._signatures.remember(request)
        self._paused_by = None
        await self._record_going_on(request, "Resumed")

    async def promote(self, request: ActionRequest) -> None:
        """Go to the end without further pauses or analysis."""
        self._signatures.remember(request)
        self._promoted_by = request
        self._paused_by = None
        await self._record_going_on(request, "Promoted")

    async def abort(self, request: AbortRequest) -> None:
        """Stop: before traffic moved everything is cleaned away, after it the traffic goes back."""
        self._signatures.remember(request)
        self._cancellation.stop(request)
        await self._record_stop(request)

    async def reject(self, request: AbortRequest) -> None:
        """Somebody says no: it ends before anything was touched."""
        self._signatures.remember(request)
        self._cancellation.stop(request.model_copy(update={"reason": bounded(f"rejected: {request.reason}")}))
        await self._record_stop(request)

    # ---- what the workflow waits on

    async def await_approval(self) -> None:
        """Until enough people said yes, for as long as it takes."""
        if self._approval.complete():
            return
        self._progress.phase = Phase.AWAITING_APPROVAL
        self._progress.set_status(DeploymentStatus.AWAITING_APPROVAL)
        recorded = -1

        def has_news() -> bool:
            return self._approval.complete() or recorded != self._approval.count

        while not self._approval.complete():
            if recorded != self._approval.count:
                recorded = self._approval.count
                await self._progress.set_step(self._approval.summary(), fraction=0)
            await workflow.wait_condition(has_news)

    async def gate(self, *, fraction: float) -> None:
        """Between two steps: stop here if somebody asked for it, wait here while somebody has paused it."""
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
        """The plan or an inconclusive analysis asks a person: resume or promote, or abort."""
        by = self._paused_by or ActionRequest(actor="the plan")  # somebody may have asked for it meanwhile
        self._paused_by = by.model_copy(update={"reason": bounded("; ".join(filter(None, (by.reason, why))), 1024)})
        await self.gate(fraction=fraction)

    async def hold(self, *, fraction: float) -> float:
        """Until somebody lets it go on; for how many seconds."""
        begun = workflow.now()
        await self.gate(fraction=fraction)
        return (workflow.now() - begun).total_seconds()

    def promoted(self) -> bool:
        """Whether it goes to the end without pauses and analysis."""
        return self._promoted_by is not None

    def held(self) -> bool:
        """Whether somebody paused it, so that what only waits and looks stops in the middle."""
        return self._pauses_at_once and self._paused_by is not None

    def interrupted(self) -> bool:
        """Whether what only waits and looks is to end: somebody paused or promoted it."""
        return self.promoted() or self.held()

    @contextmanager
    def only_watching(self) -> Iterator[None]:
        """Around what only waits and looks, so that a pause ends it at once."""
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
        """What is being stopped is not paused any more, and on its way back if users met it."""
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
    """Refuse an update with an error of ours."""
    raise ApplicationError(error.message, error.details, type=str(error.code), non_retryable=True) from None
