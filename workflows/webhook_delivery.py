"""WebhookDelivery: tries a delivery again until it has arrived, or nothing follows."""

from datetime import datetime, timedelta

from temporalio import workflow

from contracts.names import WorkflowName
from contracts.webhooks import ATTEMPT_WEBHOOK, WebhookAttempt, WebhookOrder, WebhookOutcome
from workflows.activity_calls import call


@workflow.defn(name=WorkflowName.WEBHOOK_DELIVERY)
class WebhookDeliveryWorkflow:
    """The delivery's row decides when to try again and when to stop; here is the waiting."""

    @workflow.init
    def __init__(self, order: WebhookOrder) -> None:
        self._order = order
        self._lines: list[str] = []

    @workflow.run
    async def run(self, order: WebhookOrder) -> WebhookOutcome:
        attempts, due = order.attempts, order.next_attempt_at
        while True:
            number = attempts + 1
            await self._wait(due, number)
            outcome = await self._attempt(number)
            if outcome.next_attempt_at is None:
                return outcome
            attempts, due = outcome.attempts, outcome.next_attempt_at

    async def _wait(self, due: datetime, number: int) -> None:
        self._show(f"attempt {number} is due at {due:%Y-%m-%d %H:%M:%S} UTC")
        remaining = due - workflow.now()
        if remaining > timedelta():
            await workflow.sleep(remaining, summary=f"until attempt {number}")

    async def _attempt(self, number: int) -> WebhookOutcome:
        request = WebhookAttempt(
            delivery_id=self._order.delivery_id, endpoint_id=self._order.endpoint_id, number=number
        )
        outcome = await call(ATTEMPT_WEBHOOK, request, summary=f"attempt {number}")
        self._lines.append(f"- attempt {number}: {outcome.status} ({outcome.answer})")
        self._show(f"the delivery has {outcome.status}" if outcome.next_attempt_at is None else "")
        return outcome

    def _show(self, last: str) -> None:
        workflow.set_current_details("\n".join([*self._lines, last]).strip())
