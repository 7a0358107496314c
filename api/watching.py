"""Waiting for an operation to change: many clients may wait, each operation is looked at four times a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

from api.progress import ProgressReader, Snapshot
from orchestration.shared import SharedAnswers
from storage.engine import Sessions, transaction
from storage.repositories.operations import OperationRepository
from storage.tenancy import PLATFORM

LOOK_EVERY_S = 0.25


class Watch:
    """Snapshots shared by everybody who waits. Callers have checked before that they may see the operation."""

    def __init__(self, sessions: Sessions, progress: ProgressReader) -> None:
        self._sessions = sessions
        self._progress = progress
        self._answers: SharedAnswers[UUID, Snapshot] = SharedAnswers(self._look, keep_s=LOOK_EVERY_S)

    async def until_changed(self, seen: Snapshot, limit_s: float) -> Snapshot:
        """The operation as soon as it differs from what was seen, or as it is when the time is over."""
        deadline = time.monotonic() + limit_s
        latest = seen
        while not latest.done and latest.mark == seen.mark:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(LOOK_EVERY_S, left))
            latest = await self._answers.get(seen.row.id)
        return latest

    async def changes(self, first: Snapshot, *, known_version: int, limit_s: float) -> AsyncIterator[Snapshot | None]:
        """Snapshots newer than a version, ending with the final one or after `limit_s`; None while nothing happens."""
        deadline = time.monotonic() + limit_s
        latest = first
        if latest.done or latest.progress.version > known_version:
            yield latest
        while not latest.done and time.monotonic() < deadline:
            newer = await self.until_changed(latest, min(15.0, max(0.0, deadline - time.monotonic())))
            yield newer if newer.mark != latest.mark else None
            latest = newer

    async def _look(self, operation_id: UUID) -> Snapshot:
        async with transaction(self._sessions) as session:
            row = await OperationRepository(session, PLATFORM).get(operation_id)
        return await self._progress.of(row)
