"""Deliveries of webhooks that failed at first, from outside: start the workflow that tries again."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError

from contracts.names import ORGANIZATION, WEBHOOK_QUEUE, WorkflowName, webhook_delivery_workflow_id
from contracts.webhooks import WebhookOrder
from orchestration.connection import Connection, answering_within

START_LIMIT_S = 2.0


class Webhooks:
    """The relay's way to the workflows of retries."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def retry(self, row: Mapping[Any, Any]) -> None:
        """Start the workflow that goes on with a delivery; one that runs stays as it is.

        Args:
            row: of the delivery: `id`, `endpoint_id`, `event`, `url`, `slug` (of the organization), `attempts`,
                `next_attempt_at`.

        Raises:
            DependencyError: Temporal does not answer; whether it was started is not known, starting again is safe.
        """
        parts = urlsplit(row["url"])
        order = WebhookOrder(
            delivery_id=row["id"],
            endpoint_id=row["endpoint_id"],
            event=row["event"],
            host=f"{parts.scheme}://{parts.netloc}",
            organization_slug=row["slug"],
            attempts=row["attempts"],
            next_attempt_at=row["next_attempt_at"],
        )
        async with answering_within(START_LIMIT_S):
            client = await self._connection.client()
            try:
                await client.start_workflow(
                    WorkflowName.WEBHOOK_DELIVERY,
                    order,
                    id=webhook_delivery_workflow_id(order.delivery_id),
                    task_queue=WEBHOOK_QUEUE,
                    # The delivery's row says how many attempts were made: one that was lost may be started anew.
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    search_attributes=TypedSearchAttributes(
                        [SearchAttributePair(ORGANIZATION, order.organization_slug)]
                    ),
                    static_summary=f"{order.event} to {order.host}"[:200],
                    static_details=f"- delivery: `{order.delivery_id}`\n- webhook: `{order.endpoint_id}`",
                )
            except WorkflowAlreadyStartedError:
                return
