"""What people decide about a rollout: updates whose validators refuse what the present phase does not allow.

A refused update writes nothing to the history; an accepted one stands there with actor and reason.
"""

from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from contracts.operations import PersonRequest
from domain.errors import DeliveryError
from domain.people import Action, ApprovalPolicy, Phase, check_action, check_approver, is_approved


class Decisions:
    """Base of workflows that people steer. What was decided is plain state; the workflow waits on it."""

    def _prepare_decisions(self, requested_by: str, approval: ApprovalPolicy | None) -> None:
        self._requested_by = requested_by
        self._approval = approval
        self._approvals: list[PersonRequest] = []
        self._paused: PersonRequest | None = None
        self._promoted: PersonRequest | None = None
        self._where = Phase.PREPARING

    def phase(self) -> Phase:
        """Where the deployment is, as far as people are concerned."""
        if self._paused and self._where is Phase.ROLLING_OUT:
            return Phase.PAUSED
        return self._where

    def approved(self) -> bool:
        """Whether nobody has to say yes any more."""
        return self._approval is None or is_approved(self._approval, [a.actor for a in self._approvals])

    @workflow.update(name=Action.APPROVE)
    def approve(self, request: PersonRequest) -> None:
        """One more person says yes."""
        self._approvals.append(request)

    @approve.validator
    def _may_approve(self, request: PersonRequest) -> None:
        self._may(Action.APPROVE)
        try:
            check_approver(
                self._approval or ApprovalPolicy(),
                requested_by=self._requested_by,
                approved_by=[a.actor for a in self._approvals],
                actor=request.actor,
            )
        except DeliveryError as error:
            refuse(error)

    @workflow.update(name=Action.PAUSE)
    async def pause(self, request: PersonRequest) -> None:
        """Hold before the next step; the traffic stays as it is."""
        self._paused = request
        await self.tell_pause(request)

    async def tell_pause(self, request: PersonRequest) -> None:
        """Have people see that it will hold, while the step under way goes on."""

    @pause.validator
    def _may_pause(self, request: PersonRequest) -> None:
        del request
        self._may(Action.PAUSE)

    @workflow.update(name=Action.RESUME)
    def resume(self, request: PersonRequest) -> None:
        """Go on where it was held."""
        del request
        self._paused = None

    @resume.validator
    def _may_resume(self, request: PersonRequest) -> None:
        del request
        self._may(Action.RESUME)

    @workflow.update(name=Action.PROMOTE)
    def promote(self, request: PersonRequest) -> None:
        """Go to the end without further pauses or analysis."""
        self._promoted = request
        self._paused = None

    @promote.validator
    def _may_promote(self, request: PersonRequest) -> None:
        del request
        self._may(Action.PROMOTE)

    def _may(self, action: Action) -> None:
        try:
            check_action(self.phase(), action)
        except DeliveryError as error:
            refuse(error)


def refuse(error: DeliveryError) -> NoReturn:
    """Refuse an update with an error of ours."""
    raise ApplicationError(error.message, error.details, type=str(error.code), non_retryable=True) from None
