"""What people decide about a rollout: updates whose validators refuse what the present phase does not allow.

A refused update writes nothing to the history; an accepted one stands there with actor and reason. It is answered when
the rows tell what came of it, so that whoever decided reads the state after the decision and not the one before.

Whoever reaches Temporal can send an update. What counts is the API's signature: validators check it with today's code
and keys, also for workflows that began before there were any; nothing of that is replayed.
"""

from typing import NoReturn
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from contracts.operations import AbortRequest, ActionRequest
from contracts.signatures import CHECK_DECISION
from domain.approvals import Action, ApprovalPolicy, Person, Phase, check_action, check_approver, is_approved
from domain.errors import ConflictError, DeliveryError, ErrorCode, ForbiddenError

# Histories from before it: a pause held at the next step only, and answers came before the rows told of a decision.
TOLD_AT_ONCE = "decisions-are-told-at-once"


class ManualControls:
    """Base of workflows that people steer. What was decided is plain state; the workflow waits on it."""

    def _prepare_decisions(self, requester: Person, approval: ApprovalPolicy | None) -> None:
        self._requester = requester
        self._approval = approval
        self._approvals: list[ActionRequest] = []
        self._paused: ActionRequest | None = None
        self._pauses_at_once = False
        self._promoted: ActionRequest | None = None
        self._where = Phase.PREPARING
        self._nonces: set[UUID] = set()  # of the decisions that were carried out

    def phase(self) -> Phase:
        """Where the deployment is, as far as people are concerned."""
        if self._paused and self._where is Phase.ROLLING_OUT:
            return Phase.PAUSED
        return self._where

    def approved(self) -> bool:
        """Whether nobody has to say yes any more."""
        if self._approval is None:
            return True
        return is_approved(self._approval, [a.person for a in self._approvals], requested_by=self._requester)

    def held(self) -> bool:
        """Whether somebody paused it, so that what only waits and looks stops in the middle."""
        return self._pauses_at_once and self._paused is not None

    @workflow.update(name=Action.APPROVE)
    async def approve(self, request: ActionRequest) -> None:
        """One more person says yes."""
        self.heard(request)
        self._approval = self._rule(request)
        self._approvals.append(request)
        if workflow.patched(TOLD_AT_ONCE):
            await self.tell_approval(request)

    @approve.validator
    def _may_approve(self, request: ActionRequest) -> None:
        self._may(Action.APPROVE, request)
        try:
            check_approver(
                self._rule(request) or ApprovalPolicy(),
                requested_by=self._requester,
                approved_by=[a.person for a in self._approvals],
                approver=request.person,
            )
        except DeliveryError as error:
            refuse(error)

    def _rule(self, request: ActionRequest) -> ApprovalPolicy | None:
        """What is demanded: at the request, and by the environment now. Nobody is freed of what held at the request."""
        return self._approval.stricter(request.rule) if self._approval else None

    @workflow.update(name=Action.PAUSE)
    async def pause(self, request: ActionRequest) -> None:
        """Hold here, or before the next step; the traffic stays as it is."""
        self.heard(request)
        self._pauses_at_once = workflow.patched(TOLD_AT_ONCE)
        self._paused = request
        await self.tell_pause(request)

    @pause.validator
    def _may_pause(self, request: ActionRequest) -> None:
        self._may(Action.PAUSE, request)

    @workflow.update(name=Action.RESUME)
    async def resume(self, request: ActionRequest) -> None:
        """Go on where it was held."""
        self.heard(request)
        self._paused = None
        if workflow.patched(TOLD_AT_ONCE):
            await self.tell_going_on(request, "Resumed")

    @resume.validator
    def _may_resume(self, request: ActionRequest) -> None:
        self._may(Action.RESUME, request)

    @workflow.update(name=Action.PROMOTE)
    async def promote(self, request: ActionRequest) -> None:
        """Go to the end without further pauses or analysis."""
        self.heard(request)
        self._promoted = request
        self._paused = None
        if workflow.patched(TOLD_AT_ONCE):
            await self.tell_going_on(request, "Promoted")

    @promote.validator
    def _may_promote(self, request: ActionRequest) -> None:
        self._may(Action.PROMOTE, request)

    async def tell_approval(self, request: ActionRequest) -> None:
        """Have the rows tell of one more yes."""

    async def tell_pause(self, request: ActionRequest) -> None:
        """Have the rows tell that it holds."""

    async def tell_going_on(self, request: ActionRequest, what: str) -> None:
        """Have the rows tell that it goes on; `what` happened."""

    def heard(self, request: ActionRequest | AbortRequest) -> None:
        """The first thing a handler does: the same decision, sent again by whoever saw it, counts no second time."""
        if request.signature:
            self._nonces.add(request.signature.nonce)

    def _may(self, action: Action, request: ActionRequest | AbortRequest) -> None:
        try:
            self._check_signed(action, request)
            check_action(self.phase(), action)
        except DeliveryError as error:
            refuse(error)

    def _check_signed(self, action: Action, request: ActionRequest | AbortRequest) -> None:
        check = workflow.extern_functions().get(CHECK_DECISION)
        if check is None:
            raise ForbiddenError("this worker cannot check signatures, so it carries no decision out")
        fault: DeliveryError | None = check(workflow.info().workflow_id, str(action), request)
        if fault is not None:
            raise fault
        if request.signature and request.signature.nonce in self._nonces:
            raise ConflictError("this decision was carried out already", code=ErrorCode.INVALID_STATE)


def refuse(error: DeliveryError) -> NoReturn:
    """Refuse an update with an error of ours."""
    raise ApplicationError(error.message, error.details, type=str(error.code), non_retryable=True) from None
