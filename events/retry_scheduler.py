"""What failed at first is handed over to Temporal: one workflow a delivery, which keeps the schedule of retries.

While Temporal is away the deliveries stay as they are in their table, and are handed over later.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from domain.errors import DeliveryError
from orchestration.webhooks import Webhooks
from runtime.sweeps import Sweep
from storage.engine import Sessions, transaction
from storage.repositories.webhook_claims import WebhookClaims

log = structlog.get_logger(__name__)

BATCH = 50
LOOK_EVERY_S = 2.0
LIMIT_S = 10.0
MOST_AWAY = 8
# A workflow that is so late has been lost or ended by hand: it is started again.
OVERDUE = timedelta(minutes=10)


class Handover:
    """Runs until cancelled. Several workers may do the same: a workflow is started once."""

    def __init__(self, sessions: Sessions, webhooks: Webhooks, wake: asyncio.Event) -> None:
        self._sessions = sessions
        self._webhooks = webhooks
        self._wake = wake
        self._sweep: Sweep[UUID] = Sweep("webhooks.handover", limit_s=LIMIT_S, most_away=MOST_AWAY)

    async def run(self) -> None:
        """Hand over, wait for the next failure or look again after a while, and so on."""
        while True:
            self._wake.clear()
            try:
                while await self.hand_over() == BATCH:
                    pass
            except DeliveryError as error:
                log.warning("webhooks.handover_delayed", reason=error.message)
                await asyncio.sleep(LOOK_EVERY_S)
            except Exception:
                log.exception("webhooks.handover_fault")
                await asyncio.sleep(LOOK_EVERY_S)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def hand_over(self) -> int:
        """Start the workflows of some deliveries; returns of how many. What failed just now is left out for a while."""
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
        return len(started)
