"""Starts the workflows that retry failed webhook deliveries."""

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
    """The relay's client for retry workflows."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def retry(self, row: Mapping[Any, Any]) -> None:
        """Start the workflow that retries a delivery. Does nothing if it is running.

        Args:
            row: of the delivery: `id`, `endpoint_id`, `event`, `url`, `slug` (of the organization), `attempts`,
                `next_attempt_at`.

        Raises:
            DependencyError: Temporal does not answer. The workflow may have been started; starting it again is safe.
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
                    # The delivery's row counts the attempts, so a workflow that was lost may be started again.
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
