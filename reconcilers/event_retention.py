"""Events and their deliveries are kept for a while, then taken away."""

import asyncio

import structlog

from domain.webhooks import KEPT
from events.portion import Portion
from runtime.sweeps import stages
from storage.engine import Sessions, transaction
from storage.repositories.retention import SweepingRepository
from storage.repositories.webhook_health import WebhookHealth

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 300.0
BATCH = 500
# What is left waits for the next sweep: 240,000 events an hour and worker, more than a day brings.
MAX_BATCHES = 40


class EventSweep:
    """Several workers may sweep at once: they skip what the others hold."""

    def __init__(self, sessions: Sessions, *, batch: int = BATCH) -> None:
        self._sessions = sessions
        self._given_up = Portion(batch)
        # Each goes with its deliveries and their attempts: of an organization with many webhooks hundreds of rows.
        self._swept = Portion(batch)
        self._forgotten = Portion(batch)

    async def run(self) -> None:
        """Sweep now and every few minutes until cancelled."""
        while True:
            await stages("event_sweep", self.give_up, self.sweep, self.forget_deleted)
            await asyncio.sleep(SWEEP_EVERY_S)

    async def give_up(self) -> None:
        """Delete deliveries that are past all retries."""
        with self._given_up.tried() as limit:
            async with transaction(self._sessions) as session:
                await WebhookHealth(session).give_up_strays(limit=limit)

    async def sweep(self) -> int:
        """One sweep; returns how many events went."""
        total = 0
        for _ in range(MAX_BATCHES):
            with self._swept.tried() as limit:
                async with transaction(self._sessions) as session:
                    gone = await SweepingRepository(session).old_events(older_than=KEPT, limit=limit)
            total += gone
            if gone < limit:
                break
        if total:
            log.info("event_sweep.swept", events=total)
        return total

    async def forget_deleted(self) -> int:
        """Webhooks that were deleted, after all their deliveries, which may be very many; returns how many of these."""
        total = 0
        for _ in range(MAX_BATCHES):
            with self._forgotten.tried() as limit:
                async with transaction(self._sessions) as session:
                    rows = SweepingRepository(session)
                    gone = await rows.deliveries_of_deleted(limit=limit)
                    if gone < limit:
                        await rows.deleted_webhooks(limit=limit)
            total += gone
            if gone < limit:
                break
        if total:
            log.info("event_sweep.forgotten", deliveries=total)
        return total
