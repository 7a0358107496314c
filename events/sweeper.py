"""Takes away what nobody needs any more: expired idempotency keys, grants and logins, outbox entries done long ago."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog

from domain.errors import DeliveryError
from storage.engine import Sessions, transaction
from storage.repositories.sweeping import PASSING, SweepingRepository

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 300.0
BATCH = 500
# A sweep is bounded; what is left waits for the next: 144,000 rows an hour and worker are more than can arrive.
MAX_BATCHES = 24
# Long enough to look up what became of an entry.
OUTBOX_KEPT = timedelta(days=7)


class Sweeper:
    """Several workers may sweep at once: they skip what the others hold."""

    def __init__(self, sessions: Sessions, *, batch: int = BATCH, max_batches: int = MAX_BATCHES) -> None:
        self._sessions = sessions
        self._batch = batch
        self._max_batches = max_batches

    async def run(self) -> None:
        """Sweep now and every few minutes until cancelled."""
        while True:
            try:
                await self.sweep()
                await self.sweep_passed()
            except DeliveryError as error:
                log.warning("sweeper.paused", reason=error.message)
            except Exception:
                log.exception("sweeper.fault")
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> tuple[int, int]:
        """One sweep; returns how many keys and how many outbox entries went."""
        keys = await self._all(lambda rows: rows.expired_keys(limit=self._batch))
        entries = await self._all(lambda rows: rows.done_outbox(older_than=OUTBOX_KEPT, limit=self._batch))
        if keys or entries:
            log.info("sweeper.swept", idempotency_keys=keys, outbox_entries=entries)
        return keys, entries

    async def sweep_passed(self) -> Mapping[str, int]:
        """One sweep of what ends by itself at a time of its own; returns how many rows of which kind went."""
        gone: dict[str, int] = {}
        for name in PASSING:
            gone[name] = await self._all(lambda rows, name=name: rows.passed(name, limit=self._batch))  # type: ignore[misc]  # a default binds the name
        if any(gone.values()):
            log.info("sweeper.passed", **gone)
        return gone

    async def _all(self, sweep: Callable[[SweepingRepository], Awaitable[int]]) -> int:
        """Batch after batch, each in a transaction of its own, until one is not full."""
        total = 0
        for _ in range(self._max_batches):
            async with transaction(self._sessions) as session:
                gone = await sweep(SweepingRepository(session))
            total += gone
            if gone < self._batch:
                break
        return total
