"""What every operation's workflow has: progress, projection, the environment's turn, and being stopped."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from contracts.names import ABORT_UPDATE, DELIVERY_STATUS, PROGRESS_QUERY, STANDING_QUERY
from contracts.operations import (
    RECORD_PROGRESS,
    AbortRequest,
    ActionRequest,
    DeploymentProgress,
    OperationContext,
    OperationError,
    OperationResult,
    Order,
    Progress,
    RecordProgress,
    Standing,
)
from contracts.payload import bounded
from contracts.policies import PROJECTION_LIMIT
from contracts.rollouts import (
    REQUEST_TURN,
    RETURN_TURN,
    LockGrant,
    LockQueued,
    LockSuperseded,
    ReleaseRef,
    RetiredRelease,
    TrafficReport,
)
from contracts.signatures import CHECK_START, StartClaim
from contracts.stubs import ActivityStub, Request, Result
from domain.approvals import Action, ApprovalPolicy, Person, Phase, approvals_needed, count_humans
from domain.errors import ErrorCode
from domain.lifecycle import FINISHED_OPERATIONS, DeploymentStatus, HealthStatus, StepName, StepStatus
from workflows.activity_calls import begun, call, run_to_completion, to_operation_error, was_cancelled
from workflows.environment_lock import turn_request, turn_return
from workflows.manual_controls import TOLD_AT_ONCE, ManualControls
from workflows.progress_tracker import ProgressTracker
from workflows.ui_details import operation_details, queue_words, superseded_words

T = TypeVar("T")

# Histories from before it: nobody asked whether the API had accepted the start.
SIGNED_STARTS = "starts-are-signed"

# The entity that gives out turns answers at once; asking again covers one that was lost. Rarer and rarer: a freeze may
# take weeks, and the history must stay small.
TURN_REMINDER = timedelta(seconds=30)
LAST_TURN_REMINDER = timedelta(hours=6)


class OperationWorkflow(ManualControls):
    """Base of the workflows whose id is an operation's id. Subclasses call `_prepare` in `@workflow.init`."""

    place: OperationContext
    ledger: ProgressTracker
    purpose = ""  # for people who look at the environment's queue

    def _prepare(
        self,
        order: Order,
        ledger: ProgressTracker,
        approval: ApprovalPolicy | None = None,
        requester: Person | None = None,
    ) -> None:
        self._asked, self.place = order, order.place
        self._prepare_decisions(requester or Person(actor=self.place.requested_by), approval)
        self.ledger = ledger
        self._answer = ledger.view()
        self.deployment = DeploymentProgress(deployment_id=self.place.deployment_id)
        self.retired: list[RetiredRelease] = []
        self._stop: AbortRequest | None = None
        self._stoppable = True
        self.only_watches = False  # whether the step under way waits and looks only, so that a pause ends it at once
        self.moved = False  # whether the new version has, or had, traffic
        # What the deployment is when this operation fails; None: failed or cancelled like the operation itself.
        self._status_if_failed: DeploymentStatus | None = None
        self._turn_granted = False
        self._turn_wanted = False
        self._urgent = False
        self._override_freeze = False
        self._superseded: LockSuperseded | None = None
        self._place: LockQueued | None = None
        self._place_told: LockQueued | None = None
        self._status_while_queued: DeploymentStatus | None = DeploymentStatus.QUEUED
        self._shown = ""
        self._work: asyncio.Task[OperationResult] | None = None

    # ---- the outside

    @workflow.query(name=PROGRESS_QUERY)
    def progress(self) -> Progress:
        """Where the operation is now. Its end is told only when the rows tell it too."""
        return self._answer

    @workflow.query(name=STANDING_QUERY)
    def standing(self) -> Standing:
        """How far it has come: what its row says must lie in between, unless one of the two was restored."""
        return Standing(known=self.ledger.view().version, recorded=self._answer.version)

    @workflow.signal
    def turn_granted(self, grant: LockGrant) -> None:
        """The environment's turn is ours."""
        self._turn_granted = grant.environment_id == self.place.environment_id

    @workflow.signal
    def turn_queued(self, place: LockQueued) -> None:
        """Somebody else has the turn; this is our place in the queue."""
        self._place = place

    @workflow.signal
    def supersede(self, by: LockSuperseded) -> None:
        """A newer deployment takes our place: go back as for an abort. Past the final switch it is too late."""
        if self._urgent or self.phase() in (Phase.STOPPING, Phase.FINISHING, Phase.FINISHED):
            return
        self._superseded = by
        self._stop_for(AbortRequest(actor="the environment", reason=superseded_words(by)))

    @workflow.update(name=ABORT_UPDATE)
    async def abort(self, request: AbortRequest) -> None:
        """Stop: before traffic moved everything is cleaned away, after it the traffic goes back."""
        self.heard(request)
        self._stop_for(request)
        if workflow.patched(TOLD_AT_ONCE):
            await self._tell_stop(request)

    @abort.validator
    def _may_abort(self, request: AbortRequest) -> None:
        """Whoever asks: it must not be stopped already, and not be past its final switch."""
        self._may(Action.ABORT, request)

    @workflow.update(name=Action.REJECT)
    async def reject(self, request: AbortRequest) -> None:
        """Somebody says no: it ends before anything was touched."""
        self.heard(request)
        self._stop_for(request.model_copy(update={"reason": bounded(f"rejected: {request.reason}")}))
        if workflow.patched(TOLD_AT_ONCE):
            await self._tell_stop(request)

    @reject.validator
    def _may_reject(self, request: AbortRequest) -> None:
        self._may(Action.REJECT, request)

    def phase(self) -> Phase:
        """Stopping and finishing go before what `ManualControls` knows."""
        if self.ledger.status in FINISHED_OPERATIONS:
            return Phase.FINISHED
        if self._stop is not None:
            return Phase.STOPPING
        return super().phase() if self._stoppable else Phase.FINISHING

    # ---- the inside

    def _stop_for(self, request: AbortRequest) -> None:
        self._stop = request
        self.ledger.stopping()
        if self._work:
            self._work.cancel()

    async def _tell_stop(self, request: AbortRequest) -> None:
        """What is being stopped is not paused any more, and on its way back if users met it."""
        if self.moved and self.deployment.status in (DeploymentStatus.IN_PROGRESS, DeploymentStatus.PAUSED):
            self.set_status(DeploymentStatus.ROLLING_BACK)
        elif self.deployment.status is DeploymentStatus.PAUSED:
            self.set_status(DeploymentStatus.IN_PROGRESS)
        await self.set_step(bounded(f"Stopping for {request.actor}: {request.reason}", 1024), fraction=0)

    async def _guard(self, body: Coroutine[Any, Any, OperationResult]) -> OperationResult:
        """Run the body; whatever happens, the records end truthful and the turn is given back."""
        checked = await self._check_start(body)
        self.ledger.begin(workflow.now())
        self._work = begun(body)
        try:
            if self._stop or (checked and workflow.cancellation_reason() is not None):
                self._work.cancel()
            result = await self._work
            self._stoppable = False
        except (asyncio.CancelledError, ActivityError, ApplicationError) as fault:
            self._stoppable = False
            if not self._work.done():
                self._work.cancel()
                await workflow.wait([self._work])
            await run_to_completion(self._end_badly(fault))
            error = self.ledger.view().error
            raise ApplicationError(
                error.message if error else str(fault), type=error.code if error else None, non_retryable=True
            ) from fault
        await run_to_completion(self._end_well())
        return result

    async def _check_start(self, body: Coroutine[Any, Any, OperationResult]) -> bool:
        """Nothing is told or moved before it is known that the API accepted this start. False: it is older than that.

        Raises:
            ApplicationError: it did not; what the record has of the operation stays as it is.
        """
        if not workflow.patched(SIGNED_STARTS):
            return False
        try:
            await run_to_completion(self._claim_start())
        except ActivityError as fault:
            body.close()
            why = to_operation_error(fault)
            raise ApplicationError(f"refused: {why.message}", type=why.code, non_retryable=True) from fault
        except BaseException:
            body.close()  # put out of the worker's memory meanwhile
            raise
        return True

    async def _claim_start(self) -> None:
        info, policy = workflow.info(), CHECK_START.policy
        claim = StartClaim(
            workflow_id=info.workflow_id,
            first_run_id=UUID(info.first_execution_run_id),
            kind=self.ledger.view().kind,
            order=self._asked.model_dump(mode="json"),
        )
        await workflow.execute_local_activity(
            CHECK_START.name,
            claim,
            result_type=CHECK_START.result,
            start_to_close_timeout=policy.start_to_close,
            retry_policy=policy.retry,
            summary="did the API accept this?",
        )

    async def _end_well(self) -> None:
        self.ledger.complete(workflow.now())
        await self.record(final=True)
        await self._return_turn()
        await workflow.wait_condition(workflow.all_handlers_finished)

    async def _end_badly(self, fault: BaseException) -> None:
        cancelled = was_cancelled(fault)
        error = self._stopped_by(to_operation_error(fault)) if cancelled else to_operation_error(fault)
        self.ledger.fail(error, workflow.now(), cancelled=cancelled)
        status = self._bad_end(cancelled=cancelled)
        by = self._superseded.deployment_id if self._superseded and status is DeploymentStatus.SUPERSEDED else None
        self.deployment = self.deployment.model_copy(
            update={"status": status, "error": error, "superseded_by": by, "next_open": None}
        )
        if status is DeploymentStatus.ROLLED_BACK:
            self._explain_return(error)
        await self.record(final=True)
        await self._return_turn()
        await workflow.wait_condition(workflow.all_handlers_finished)

    def _explain_return(self, error: OperationError) -> None:
        """Nobody asked for it: the fault is the reason. Where no user met it, what our own requests met is told."""
        changes: dict[str, Any] = {}
        if self.deployment.rollback_reason is None:
            changes["rollback_reason"] = error.message
        probes, failed = error.details.get("probes"), error.details.get("failed_probes")
        if self.deployment.error_rate_percent is None and probes and failed is not None:
            rate = round(100 * failed / probes, 4)
            changes |= {"error_rate_percent": rate, "performance_metrics": {"error_rate_percent": rate}}
        self.deployment = self.deployment.model_copy(update=changes)

    def _bad_end(self, *, cancelled: bool) -> DeploymentStatus:
        status = self.deployment.status
        if self._superseded and cancelled and status is not DeploymentStatus.FAILED:
            return DeploymentStatus.SUPERSEDED
        if status is DeploymentStatus.ROLLING_BACK and self.deployment.rolled_back_to_build_id:
            return DeploymentStatus.ROLLED_BACK
        if status in (DeploymentStatus.ROLLED_BACK, DeploymentStatus.SUCCESS, DeploymentStatus.FAILED):
            return status
        return self._status_if_failed or (DeploymentStatus.CANCELLED if cancelled else DeploymentStatus.FAILED)

    def _stopped_by(self, fallback: OperationError) -> OperationError:
        reached = next((s.name for s in self.ledger.view().steps if s.status is StepStatus.IN_PROGRESS), None)
        where = f" during {reached}" if reached else ""
        if self._stop is None:
            reason = workflow.cancellation_reason() or "no reason given"
            return OperationError(code=ErrorCode.CANCELLED, message=f"cancelled{where} through Temporal: {reason}")
        if self._superseded is not None:
            details = {"superseded_by": str(self._superseded.deployment_id)}
            message = f"{superseded_words(self._superseded)}{where}"
            return OperationError(code=ErrorCode.SUPERSEDED, message=message, details=details)
        code = ErrorCode.ROLLED_BACK if self.deployment.status is DeploymentStatus.ROLLED_BACK else ErrorCode.CANCELLED
        message = f"stopped{where} by {self._stop.actor}: {self._stop.reason}"
        return OperationError(code=code, message=message, details=fallback.details or {})

    async def call(
        self,
        stub: ActivityStub[Request, Result],
        request: Request,
        *,
        summary: str | None = None,
        queue: str | None = None,
        pickup: timedelta | None = None,
        only_looks: bool = False,
        for_organization: UUID | None = None,
    ) -> Result:
        """`call`, and stop here if somebody asked for it while the activity came to its end."""
        result = await call(
            stub,
            request,
            summary=summary,
            queue=queue,
            pickup=pickup,
            only_looks=only_looks,
            for_organization=for_organization,
        )
        self._check_stop()
        return result

    def _check_stop(self) -> None:
        if self._stop is not None or workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError

    def set_status(self, status: DeploymentStatus, *, health: HealthStatus | None = None) -> None:
        """The deployment's state, written with the next record."""
        changes = {"status": status, **({"health": health} if health else {})}
        self.deployment = self.deployment.model_copy(update=changes)

    def tell_measured(self, report: TrafficReport) -> None:
        """What was seen of the new version behind the router."""
        measured = {
            "p95_response_time_ms": report.p95_response_time_ms,
            "throughput_rps": report.throughput_rps,
            "error_rate_percent": report.error_rate_percent,
        }
        metrics = {name: value for name, value in measured.items() if value is not None}
        self.deployment = self.deployment.model_copy(
            update={"error_rate_percent": report.error_rate_percent, "performance_metrics": metrics or None}
        )

    def tell_rolled_back(self, stable: ReleaseRef) -> None:
        """The traffic is back on the stable release. Superseded is another end than rolled back, and both are final."""
        self.deployment = self.deployment.model_copy(
            update={
                "status": DeploymentStatus.ROLLING_BACK if self._superseded else DeploymentStatus.ROLLED_BACK,
                "rolled_back_to_build_id": stable.build_id,
                "rollback_reason": self._stop.reason if self._stop else None,
            }
        )

    def close_to_abort(self) -> None:
        """Past the final switch: from now on only a rollback of its own leads back."""
        self._check_stop()
        self._stoppable = False

    async def step(self, name: StepName, words: str, work: Coroutine[Any, Any, T], *, waiting: bool = False) -> T:
        """Carry out one step, told before and after; `waiting`: it begins with `take_turn`, no machine time."""
        self.ledger.start_step(name, words, workflow.now(), waiting=waiting)
        try:
            await self.record()
        except BaseException:
            work.close()  # stopped, or put out of the worker's memory, before it began
            raise
        result = await work
        self.ledger.end_step(name, StepStatus.COMPLETED, workflow.now())
        return result

    def skip(self, name: StepName, why: str) -> None:
        self.ledger.end_step(name, StepStatus.SKIPPED, workflow.now(), why)

    async def set_step(self, words: str, *, fraction: float) -> None:
        self.ledger.set_step(words, fraction=fraction)
        await self.record()

    async def record(self, *, final: bool = False) -> None:
        """Project the present state: best effort on the way (the next carries everything), for certain at the end.

        Queries tell a state only after its row tells it: whoever asked the workflow and then, with no worker up or
        from a new API process, gets the row must not be thrown back.
        """
        view = self.ledger.view()
        self._show(view)
        request = RecordProgress(progress=view, deployment=self.deployment)
        if final:
            await call(RECORD_PROGRESS, request, summary=f"record: {view.status}")
            self._answer = view
            return
        try:
            await workflow.execute_local_activity(
                RECORD_PROGRESS.name,
                request,
                result_type=RECORD_PROGRESS.result,
                schedule_to_close_timeout=PROJECTION_LIMIT,
                summary=f"record: {view.current_step}",
            )
        except ActivityError as fault:
            if was_cancelled(fault):
                raise asyncio.CancelledError from fault
            workflow.logger.warning("progress was not recorded; the next record carries it")
        else:
            self._answer = view

    def _show(self, view: Progress) -> None:
        """State for people in the Temporal UI."""
        status = str(self.deployment.status or view.status)
        if status != self._shown:
            self._shown = status
            workflow.upsert_search_attributes([DELIVERY_STATUS.value_set(status)])
        workflow.set_current_details(operation_details(view, self.deployment))

    async def await_approval(self) -> None:
        """Wait until enough people said yes, for as long as it takes."""
        if self.approved():
            return
        self._where = Phase.AWAITING_APPROVAL
        self.set_status(DeploymentStatus.AWAITING_APPROVAL)
        told = -1
        while not self.approved():
            if told != len(self._approvals):
                told = len(self._approvals)
                await self.set_step(self._approvals_so_far(), fraction=0)
            await workflow.wait_condition(lambda: self.approved() or told != len(self._approvals))  # noqa: B023 - over before told changes

    def _approvals_so_far(self) -> str:
        wanted = approvals_needed(self._approval, self._requester) if self._approval else 0
        people = count_humans([one.person for one in self._approvals])
        past = "; it is to go past freezes" if self._override_freeze else ""
        return f"Waiting for approval: {people} of {wanted} so far{past}"

    async def tell_approval(self, request: ActionRequest) -> None:
        """One more yes; with the last one it waits for its turn."""
        if not self.approved():
            await self.set_step(self._approvals_so_far(), fraction=0)
            return
        self._where = Phase.QUEUED
        self.set_status(DeploymentStatus.QUEUED)
        await self.set_step(f"Approved by {request.actor}: asking for its turn", fraction=0)

    async def gate(self, *, fraction: float) -> None:
        """Between two steps: wait here while somebody has paused it."""
        self._check_stop()
        self._where = Phase.ROLLING_OUT
        if self._paused is None:
            return
        self.set_status(DeploymentStatus.PAUSED)
        self.ledger.begin_wait(workflow.now())
        await self.set_step(_paused_words(self._paused), fraction=fraction)
        await workflow.wait_condition(lambda: self._paused is None)
        self.ledger.end_wait(workflow.now())
        self.set_status(DeploymentStatus.IN_PROGRESS)

    async def pause_for_people(self, why: str, *, fraction: float) -> None:
        """The plan or an inconclusive analysis asks a person: resume or promote, or abort."""
        by = self._paused or ActionRequest(actor="the plan")  # somebody may have asked for it meanwhile
        self._paused = by.model_copy(update={"reason": bounded("; ".join(filter(None, (by.reason, why))), 1024)})
        await self.gate(fraction=fraction)

    async def tell_pause(self, request: ActionRequest) -> None:
        """Told at once, and again by `gate` when it holds: what changes the world comes to its end first."""
        step = self.ledger.view().current_step or ""
        if not self.held():
            await self.set_step(f"{step}; {request.actor} paused it: it holds before the next step", fraction=0)
            return
        self.set_status(DeploymentStatus.PAUSED)
        first = "" if self.only_watches else f" (first ends what is under way: {step})"
        await self.set_step(bounded(f"{_paused_words(request)}{first}", 1024), fraction=0)

    async def tell_going_on(self, request: ActionRequest, what: str) -> None:
        """No pause any more."""
        if self.deployment.status is DeploymentStatus.PAUSED:
            self.set_status(DeploymentStatus.IN_PROGRESS)
        await self.set_step(f"{what} by {request.actor}", fraction=0)

    def promoted(self) -> bool:
        """Whether somebody asked to go to the end without pauses and analysis."""
        return self._promoted is not None

    async def take_turn(self) -> None:
        """Wait for the environment: one rollout at a time."""
        self._where = Phase.QUEUED
        request = turn_request(
            self.place, purpose=self.purpose, urgent=self._urgent, override_freeze=self._override_freeze
        )
        self._turn_wanted = True
        pause = TURN_REMINDER
        while not self._turn_granted:
            await self.call(REQUEST_TURN, request, summary=f"ask for the turn of {self.place.environment}")
            try:
                await self._await_turn(pause)
            except TimeoutError:
                pause = min(2 * pause, LAST_TURN_REMINDER)
        self.deployment = self.deployment.model_copy(update={"next_open": None})
        self.ledger.end_wait(workflow.now())
        self._check_stop()

    async def _await_turn(self, pause: timedelta) -> None:
        """Until the turn is ours, telling every new place in the queue; raises `TimeoutError` to be asked for again."""
        while not self._turn_granted:
            await workflow.wait_condition(self._turn_news, timeout=pause, timeout_summary="until asking again")
            if not self._turn_granted and self._place:
                await self._tell_place(self._place)

    async def _tell_place(self, told: LockQueued) -> None:
        self._place_told = told
        changes = {"next_open": told.next_open, "status": self._status_while_queued or self.deployment.status}
        self.deployment = self.deployment.model_copy(update=changes)
        await self.set_step(queue_words(self.place.environment, told), fraction=0)

    def _turn_news(self) -> bool:
        return self._turn_granted or self._place != self._place_told

    async def _return_turn(self) -> None:
        if not self._turn_wanted:
            return
        self._turn_wanted = False
        back = turn_return(self.place, self.retired)
        await call(RETURN_TURN, back, summary=f"give back the turn of {self.place.environment}")


def _paused_words(request: ActionRequest) -> str:
    return f"Paused by {request.actor}{f': {request.reason}' if request.reason else ''}"
