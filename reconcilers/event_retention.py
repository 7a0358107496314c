"""Events and their deliveries are kept for a while, then taken away."""

import structlog

from domain.webhooks import KEPT
from events.portion import Portion
from runtime.reconciler import Reconciler
from runtime.sweeps import stages
from storage.engine import Sessions, transaction
from storage.repositories.retention import SweepingRepository
from storage.repositories.webhook_health import WebhookHealth

log = structlog.get_logger(__name__)

BATCH = 500
# What is left waits for the next pass: 240,000 events an hour and worker, more than a day brings.
MAX_BATCHES = 40


class EventRetention(Reconciler):
    """Several workers may do this at once: they skip what the others hold."""

    name = "event_retention"
    interval_s = 300.0
    limit_s = 900.0

    def __init__(self, sessions: Sessions, *, batch: int = BATCH) -> None:
        super().__init__()
        self._sessions = sessions
        self._given_up = Portion(batch)
        # Each goes with its deliveries and their attempts: of an organization with many webhooks hundreds of rows.
        self._swept = Portion(batch)
        self._forgotten = Portion(batch)

    async def reconcile(self) -> int:
        """Returns how many rows went or were given up."""
        return await stages(self.name, self.give_up, self.sweep, self.forget_deleted)

    async def give_up(self) -> int:
        """End deliveries of webhooks that were disabled while they were made; returns how many."""
        with self._given_up.tried() as limit:
            async with transaction(self._sessions) as session:
                return await WebhookHealth(session).give_up_strays(limit=limit)

    async def sweep(self) -> int:
        """Delete old events; returns how many."""
        total = 0
        for _ in range(MAX_BATCHES):
            with self._swept.tried() as limit:
                async with transaction(self._sessions) as session:
                    gone = await SweepingRepository(session).old_events(older_than=KEPT, limit=limit)
            total += gone
            if gone < limit:
                break
        if total:
            log.info("events.deleted", events=total)
        return total

    async def forget_deleted(self) -> int:
        """Delete rows of deleted webhooks, first their deliveries, which may be many; returns how many of these."""
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
            log.info("webhooks.deleted", deliveries=total)
        return total
