"""Retention: deletes expired idempotency keys, grants, logins, and old outbox entries."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog

from runtime.sweeps import Sweep, stages
from storage.engine import Sessions, transaction
from storage.repositories.retention import PASSING, SweepingRepository

log = structlog.get_logger(__name__)

SWEEP_EVERY_S = 300.0
BATCH = 500
# A sweep is bounded; what is left waits for the next: 144,000 rows an hour and worker are more than can arrive.
MAX_BATCHES = 24
# Long enough to look up what became of an entry.
OUTBOX_KEPT = timedelta(days=7)

# Of people of other issuers: which mailbox somebody has who made nothing that is still here.
OUTSIDE_KEPT = timedelta(days=90)

LIMIT_S = 120.0
Batches = Callable[[SweepingRepository], Awaitable[int]]


class Sweeper:
    """Several workers may sweep at once: they skip what the others hold."""

    def __init__(self, sessions: Sessions, *, batch: int = BATCH, max_batches: int = MAX_BATCHES) -> None:
        self._sessions = sessions
        self._batch = batch
        self._max_batches = max_batches
        # One after the other: nobody is in a hurry for the room.
        self._sweep: Sweep[str] = Sweep("sweeper", limit_s=LIMIT_S, at_once=1)

    async def run(self) -> None:
        """Sweep now and every few minutes until cancelled."""
        while True:
            await stages("sweeper", self.sweep, self.sweep_passed, self.sweep_people)
            await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> tuple[int, int]:
        """One sweep; returns how many keys and how many outbox entries went."""
        gone = await self._kinds(
            {
                "idempotency_keys": lambda rows: rows.expired_keys(limit=self._batch),
                "outbox_entries": lambda rows: rows.done_outbox(older_than=OUTBOX_KEPT, limit=self._batch),
            }
        )
        keys, entries = gone["idempotency_keys"], gone["outbox_entries"]
        if keys or entries:
            log.info("sweeper.swept", idempotency_keys=keys, outbox_entries=entries)
        return keys, entries

    async def sweep_passed(self) -> Mapping[str, int]:
        """One sweep of what ends by itself at a time of its own; returns how many rows of which kind went."""
        gone = await self._kinds(
            {name: lambda rows, name=name: rows.passed(name, limit=self._batch) for name in PASSING}  # type: ignore[misc]  # a default binds the name
        )
        if any(gone.values()):
            log.info("sweeper.passed", **gone)
        return gone

    async def sweep_people(self) -> int:
        """One sweep of people of other issuers; returns how many were looked at."""
        kinds: dict[str, Batches] = {
            "outside_people": lambda rows: rows.outside_people(older_than=OUTSIDE_KEPT, limit=self._batch)
        }
        return (await self._kinds(kinds))["outside_people"]

    async def _kinds(self, kinds: Mapping[str, Batches]) -> dict[str, int]:
        """Each kind of rows, whatever becomes of the others; how many of each went."""
        gone = dict.fromkeys(kinds, 0)

        async def sweep(name: str) -> None:
            gone[name] = await self._all(kinds[name])

        await self._sweep.each({name: name for name in kinds}, sweep)
        return gone

    async def _all(self, sweep: Batches) -> int:
        """Batch after batch, each in a transaction of its own, until one is not full."""
        total = 0
        for _ in range(self._max_batches):
            async with transaction(self._sessions) as session:
                gone = await sweep(SweepingRepository(session))
            total += gone
            if gone < self._batch:
                break
        return total
