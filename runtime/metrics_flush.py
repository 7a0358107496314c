"""Stores what this process counted, every ten seconds, beside all requests.

A flush that failed, or of which nobody knows whether it was written, is sent again as it was, under its number: the
database writes each number once. What is counted meanwhile waits in memory, in whole minutes, up to a bound.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol
from uuid import UUID

from domain.errors import DependencyError
from domain.metric_counts import Counts, HostUse, Increment
from runtime.ids import new_id
from runtime.logging import get_logger
from runtime.meter import Meter
from runtime.process_use import ProcessUse
from runtime.reconciler import Reconciler

log = get_logger(__name__)

EVERY_S: Final = 10.0
"""A process that is killed loses what it counted for so long at most."""
COARSE_S: Final = 60.0
MOST_WAITING: Final = 5000
"""Minutes of organizations that wait in memory; those of all together have room for a day more."""
MOST_WAITING_OF_ALL: Final = 1440
BATCH: Final = 1000
LAST_FLUSH_S: Final = 3.0

Place = tuple[float, UUID | None]
"""When it was counted, by this process's monotonic clock; the organization, None: all."""


class Store(Protocol):
    """What keeps increments: each sequence of a writer once, however often it comes."""

    async def write(self, writer: UUID, sequence: int, increments: Sequence[Increment]) -> None:
        """Raises `DependencyError`: it does not answer; it may be written or not."""


@dataclass
class _Cell:
    counts: Counts
    use: HostUse | None = None


@dataclass(frozen=True)
class _Flush:
    sequence: int
    cells: list[tuple[Place, _Cell]]


class MetricsFlush(Reconciler):
    """One for each process.

    Args:
        store: where it goes.
        meter: that of this process.
        clock: seconds, of which only differences count: what the wall clock says is the database's business.
        most_waiting: see `MOST_WAITING`.
    """

    name = "metrics_flush"
    interval_s = EVERY_S
    limit_s = 30.0
    begins_at_once = False
    repeats_failures: ClassVar[bool] = False

    def __init__(
        self,
        store: Store,
        meter: Meter,
        *,
        clock: Callable[[], float] = time.monotonic,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        super().__init__(clock=clock)
        self.writer = new_id()
        self.lost = 0
        """Requests not counted for their organization, because too much waited or the database refused them."""
        self.lost_of_all = 0
        """Requests not counted among all for such a reason."""
        self._store = store
        self._meter = meter
        self.use = ProcessUse(str(self.writer))
        self._most_waiting = most_waiting
        self._since = clock()
        self._sequence = 0
        self._sent: _Flush | None = None
        self._waiting: dict[Place, _Cell] = {}

    @property
    def waiting(self) -> int:
        """Cells in memory that are not known to be written."""
        return len(self._waiting) + (len(self._sent.cells) if self._sent else 0)

    async def reconcile(self) -> int:
        """Nothing is mended, so nothing is logged.

        Raises:
            DependencyError: the database does not answer; nothing is lost.
        """
        self._collect()
        await self._send()
        self.more = bool(self._waiting)
        return 0

    async def close(self) -> None:
        """What was counted last, if the database answers at once."""
        try:
            async with asyncio.timeout(LAST_FLUSH_S):
                await self.reconcile()
                while self.more:
                    await self.reconcile()
        except (DependencyError, TimeoutError):
            log.warning("metrics.last_flush_failed", waiting=self.waiting)

    def _collect(self) -> None:
        """Put what was counted since the last time to what waits."""
        now = self._clock()
        middle, self._since = (self._since + now) / 2, now
        if self._sent is not None:  # it may take long: whole minutes take less room
            middle = middle // COARSE_S * COARSE_S + COARSE_S / 2
        taken = self._meter.take()
        self._put((middle, None), _Cell(taken.all, self.use.take()))
        for organization_id, counts in taken.of.items():
            if not counts.is_empty:
                self._put((middle, organization_id), _Cell(counts))

    def _put(self, place: Place, cell: _Cell) -> None:
        there = self._waiting.get(place)
        if there is not None:
            there.counts.add(cell.counts)
            if there.use is not None and cell.use is not None:
                there.use = there.use.and_then(cell.use)
        elif self._has_room(place):
            self._waiting[place] = cell
        else:
            self._lose(place, cell)

    def _lose(self, place: Place, cell: _Cell) -> None:
        if place[1] is None:
            self.lost_of_all += cell.counts.requests
        else:
            self.lost += cell.counts.requests

    def _has_room(self, place: Place) -> bool:
        more = MOST_WAITING_OF_ALL if place[1] is None else 0
        return len(self._waiting) < self._most_waiting + more

    async def _send(self) -> None:
        if self._sent is None:
            cells = list(self._waiting.items())[:BATCH]
            for place, _ in cells:
                del self._waiting[place]
            self._sequence += 1
            self._sent = _Flush(self._sequence, cells)
        try:
            await self._write(self._sent)
        except DependencyError:
            raise
        except Exception:
            cells = self._sent.cells  # those of all together are the sum of the others
            for place, cell in [one for one in cells if one[0][1] is None] or cells:
                self._lose(place, cell)
            self._sent = None  # it would fail again and again
            raise
        self._sent = None

    async def _write(self, flush: _Flush) -> None:
        now = self._clock()
        rows = [
            Increment(organization_id, max(0.0, now - counted_at), cell.counts, cell.use)
            for (counted_at, organization_id), cell in flush.cells
        ]
        await self._store.write(self.writer, flush.sequence, rows)
