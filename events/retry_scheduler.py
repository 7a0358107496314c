"""Hands failed deliveries over to Temporal: one workflow per delivery, which keeps the retry schedule.

While Temporal is down, deliveries stay in their table and are handed over later.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from orchestration.webhooks import Webhooks
from runtime.reconciler import Flag, Reconciler
from runtime.sweeps import Sweep
from storage.engine import Sessions, transaction
from storage.repositories.webhook_claims import WebhookClaims

BATCH = 50
LIMIT_S = 10.0
MOST_AWAY = 8
# A workflow this late was lost or terminated: it is started again.
OVERDUE = timedelta(minutes=10)


class RetryScheduler(Reconciler):
    """Several workers may run it: a workflow is started only once. A pass handles one batch.

    Args:
        wake: set when a delivery has failed.
    """

    name = "webhook_retries"
    interval_s = 2.0

    def __init__(self, sessions: Sessions, webhooks: Webhooks, wake: asyncio.Event) -> None:
        super().__init__(Flag(wake))
        self._sessions = sessions
        self._webhooks = webhooks
        self._sweep: Sweep[UUID] = Sweep(self.name, limit_s=LIMIT_S, most_away=MOST_AWAY)

    async def reconcile(self) -> int:
        """Start the workflows of some deliveries; returns their number. Failed starts are skipped for a while."""
        async with transaction(self._sessions) as session:
            rows = await WebhookClaims(session).not_handed_over(
                limit=BATCH, overdue=OVERDUE, without=self._sweep.pausing
            )
        started: list[UUID] = []

        async def start(row: Mapping[Any, Any]) -> None:
            await self._webhooks.retry(row)
            started.append(row["id"])

        try:
            await self._sweep.each({row["id"]: row for row in rows}, start)
        finally:
            if started:
                async with transaction(self._sessions) as session:
                    await WebhookClaims(session).handed_over(started)
        self.more = len(started) == BATCH
        return len(started)
