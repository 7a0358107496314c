"""When keys were last used, written down in batches: never while a request waits, and once a minute for each key."""

import asyncio
from contextlib import suppress
from uuid import UUID

from runtime.ids import now
from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.repositories.api_key_lookup import KeyChecks, KeyUse

LAST_LIMIT_S = 3.0


class KeyUses(Reconciler):
    """The uses since the last writing; of each key the last one."""

    name = "api_key_uses"
    interval_s = 60.0
    begins_at_once = False

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self._sessions = sessions
        self._uses: dict[UUID, KeyUse] = {}

    def note(self, key_id: UUID, address: str) -> None:
        """A key was used."""
        self._uses[key_id] = KeyUse(now(), address[:64])

    async def reconcile(self) -> int:
        """Write them down; returns how many. What could not be written waits for the next time."""
        if not self._uses:
            return 0
        uses, self._uses = self._uses, {}
        left = dict(uses)
        try:
            async with transaction(self._sessions) as session:
                written = await KeyChecks(session).note_uses(uses)
            left = {key_id: use for key_id, use in uses.items() if key_id not in written}
        finally:
            self._uses = {**left, **self._uses}
        return len(written)

    async def close(self) -> None:
        """Once more, at the end of the process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_LIMIT_S):
                await self.run_once()
