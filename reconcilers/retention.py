"""Retention: deletes expired idempotency keys, grants, logins, and old outbox entries."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import structlog

from runtime.reconciler import Reconciler
from runtime.sweeps import Sweep, stages
from storage.engine import Sessions, transaction
from storage.repositories.retention import PASSING, SweepingRepository

log = structlog.get_logger(__name__)

BATCH = 500
# A pass is bounded; what is left waits for the next: 144,000 rows an hour and worker are more than can arrive.
MAX_BATCHES = 24
# Long enough to look up what became of an entry.
OUTBOX_KEPT = timedelta(days=7)

# Of people of other issuers: which mailbox somebody has who made nothing that is still here.
OUTSIDE_KEPT = timedelta(days=90)

LIMIT_S = 120.0
Batches = Callable[[SweepingRepository], Awaitable[int]]


class RecordRetention(Reconciler):
    """Several workers may do this at once: they skip what the others hold."""

    name = "record_retention"
    interval_s = 300.0
    # Above the sum of those of all kinds of rows.
    limit_s = 1800.0

    def __init__(self, sessions: Sessions, *, batch: int = BATCH, max_batches: int = MAX_BATCHES) -> None:
        super().__init__()
        self._sessions = sessions
        self._batch = batch
        self._max_batches = max_batches
        # One after the other: there is no hurry to free the space.
        self._sweep: Sweep[str] = Sweep(self.name, limit_s=LIMIT_S, at_once=1)

    async def reconcile(self) -> int:
        """Returns how many rows went, or were looked at."""

        async def sweep() -> int:
            return sum(await self.sweep())

        async def sweep_passed() -> int:
            return sum((await self.sweep_passed()).values())

        return await stages(self.name, sweep, sweep_passed, self.sweep_people)

    async def sweep(self) -> tuple[int, int]:
        """Returns how many idempotency keys and how many outbox entries went."""
        gone = await self._kinds(
            {
                "idempotency_keys": lambda rows: rows.expired_keys(limit=self._batch),
                "outbox_entries": lambda rows: rows.done_outbox(older_than=OUTBOX_KEPT, limit=self._batch),
            }
        )
        keys, entries = gone["idempotency_keys"], gone["outbox_entries"]
        if keys or entries:
            log.info("rows.deleted", idempotency_keys=keys, outbox_entries=entries)
        return keys, entries

    async def sweep_passed(self) -> Mapping[str, int]:
        """What ends by itself at a time of its own; returns how many rows of which kind went."""
        gone = await self._kinds(
            {name: lambda rows, name=name: rows.passed(name, limit=self._batch) for name in PASSING}  # type: ignore[misc]  # a default binds the name
        )
        if any(gone.values()):
            log.info("rows.deleted", **gone)
        return gone

    async def sweep_people(self) -> int:
        """People of other issuers; returns how many were looked at."""
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
