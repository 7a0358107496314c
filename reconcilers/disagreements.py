"""Finds workflows whose state contradicts their rows: one of the two databases was restored from a backup.

One that knows less than its row was put back to an earlier copy; one that recorded what its row does not have went on
while the record was put back. What either does next belongs to another past: it might stop what serves. The record
wins, so that such an operation is over.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import structlog

from contracts.operations import Standing
from orchestration.operations import Operations
from storage.models import Operation

log = structlog.get_logger(__name__)

# A row may be written just now, by an activity whose workflow has not got the result yet.
GRACE_S = 20.0
# A worker that begins must bring a workflow into its memory to ask it: not all of them at once.
MOST_ASKED = 20


class Disagreements:
    """Asks each workflow once for every version of its row, some of them a look."""

    def __init__(self, operations: Operations, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._operations = operations
        self._clock = clock
        self._agreed: dict[UUID, int] = {}  # with which version of the row
        self._asked: dict[UUID, float] = {}
        self._since: dict[UUID, tuple[int, float]] = {}  # when it was seen first, with which version

    async def among(self, rows: Collection[Operation]) -> list[Operation]:
        """Those of all running operations, silent for a while, that have disagreed for so long that they will not."""
        now, ids = self._clock(), {row.id for row in rows}
        for known in (self._agreed, self._asked, self._since):
            for gone in known.keys() - ids:
                del known[gone]
        open_questions = [row for row in rows if self._agreed.get(row.id) != row.version]
        open_questions.sort(key=lambda row: self._asked.get(row.id, -1.0))
        return await self._ask(open_questions[:MOST_ASKED], now)

    async def _ask(self, rows: Sequence[Operation], now: float) -> list[Operation]:
        asking = (self._operations.standing(row.workflow_id) for row in rows)
        answers = await asyncio.gather(*asking, return_exceptions=True)
        found = []
        for row, standing in zip(rows, answers, strict=True):
            self._asked[row.id] = now
            if isinstance(standing, BaseException):
                log.error("disagreements.fault", operation_id=str(row.id), exc_info=standing)
            if not isinstance(standing, Standing):
                continue  # not known now
            if agree(row.version, standing):
                self._agreed[row.id] = row.version
                continue
            version, since = self._since.get(row.id, (row.version, now))
            self._since[row.id] = (row.version, since if version == row.version else now)
            if now - self._since[row.id][1] >= GRACE_S:
                found.append(row)
        return found


def agree(version: int, standing: Standing) -> bool:
    """Whether a row is at a version that its workflow has come to, and has all that it was told to have."""
    return standing.recorded <= version <= standing.known
