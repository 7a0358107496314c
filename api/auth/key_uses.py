"""Writes when keys were last used, in batches: no request waits for it, and each key costs one write a minute."""

import asyncio
from contextlib import suppress
from uuid import UUID

from runtime.ids import now
from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.repositories.api_key_lookup import KeyChecks, KeyUse

LAST_LIMIT_S = 3.0


class KeyUses(Reconciler):
    """The last use of each key since the last write."""

    name = "api_key_uses"
    interval_s = 60.0
    begins_at_once = False

    def __init__(self, sessions: Sessions) -> None:
        super().__init__()
        self._sessions = sessions
        self._uses: dict[UUID, KeyUse] = {}

    def note(self, key_id: UUID, address: str) -> None:
        """Note the use of a key."""
        self._uses[key_id] = KeyUse(now(), address[:64])

    async def reconcile(self) -> int:
        """Write the uses; returns how many. If the write fails, they stay for the next pass."""
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
        """Write once more, when the process ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_LIMIT_S):
                await self.run_once()
