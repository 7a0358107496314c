"""Waiting for an operation to change: many clients may wait, each operation is looked at four times a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

from api.services.operations.progress import ProgressReader, Snapshot
from domain.errors import NotFoundError
from runtime.single_flight import SharedAnswers
from storage.engine import Sessions, transaction
from storage.repositories.operations import OperationRepository
from storage.tenancy import PLATFORM, Tenant

LOOK_EVERY_S = 0.25
# Proxies close silent connections; the HTML standard suggests 15 s for event streams.
BEAT_S = 15.0


class Watch:
    """Shared snapshots: any number of waiting clients cost one query of the database and the workflow."""

    def __init__(self, sessions: Sessions, progress: ProgressReader, *, beat_s: float = BEAT_S) -> None:
        self._sessions = sessions
        self._progress = progress
        self._beat_s = beat_s
        self._answers: SharedAnswers[UUID, Snapshot] = SharedAnswers(self._look, keep_s=LOOK_EVERY_S)

    async def now(self, operation_id: UUID, tenant: Tenant) -> Snapshot:
        """The operation as it was at most a quarter of a second ago.

        Raises:
            NotFoundError: it does not exist, or not for this tenant.
        """
        snapshot = await self._answers.get(operation_id)
        if not tenant.owns(snapshot.row.organization_id):
            raise NotFoundError(f"operation {operation_id} does not exist")
        return snapshot

    def forget(self, operation_id: UUID) -> None:
        """Invalidate the snapshot, so that the next reader sees the change."""
        self._answers.forget(operation_id)

    async def until_changed(self, seen: Snapshot, limit_s: float) -> Snapshot:
        """The operation as soon as it differs from `seen`, or as it is after `limit_s` seconds."""
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
        """Snapshots newer than a version, ending with the final one or after `limit_s`; None while nothing happens.

        Versions grow. The known one is sent again after a cancel request, which has no version of its own.
        """
        deadline = time.monotonic() + limit_s
        latest, told = first, known_version
        again = latest.progress.version == told and latest.row.cancel_requested_at is not None
        if latest.progress.version > told or again or latest.done:
            yield latest
            told = max(told, latest.progress.version)
        while not latest.done and time.monotonic() < deadline:
            newer = await self.until_changed(latest, min(self._beat_s, max(0.0, deadline - time.monotonic())))
            news = newer.mark != latest.mark and (newer.done or newer.progress.version >= told)
            yield newer if news else None
            latest, told = newer, max(told, newer.progress.version)

    async def _look(self, operation_id: UUID) -> Snapshot:
        async with transaction(self._sessions) as session:
            row = await OperationRepository(session, PLATFORM).get(operation_id)
        return await self._progress.of(row)
