"""When keys were last used, written down in batches: never while a request waits, and once a minute for each key."""

import asyncio
from uuid import UUID

from domain.errors import DeliveryError
from runtime.ids import now
from runtime.logging import get_logger
from storage.engine import Sessions, transaction
from storage.repositories.api_key_lookup import KeyChecks, KeyUse

log = get_logger(__name__)

EVERY_S = 60.0
LAST_LIMIT_S = 3.0


class KeyUses:
    """The uses since the last writing; of each key the last one."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._uses: dict[UUID, KeyUse] = {}

    def note(self, key_id: UUID, address: str) -> None:
        """A key was used."""
        self._uses[key_id] = KeyUse(now(), address[:64])

    async def write(self) -> None:
        """Write them down; what could not be written waits for the next time.

        Raises:
            DependencyError: the database does not answer.
        """
        if not self._uses:
            return
        uses, self._uses = self._uses, {}
        left = dict(uses)
        try:
            async with transaction(self._sessions) as session:
                written = await KeyChecks(session).note_uses(uses)
            left = {key_id: use for key_id, use in uses.items() if key_id not in written}
        finally:
            self._uses = {**left, **self._uses}

    async def run(self) -> None:
        """Write every minute, until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(EVERY_S)
                await self._try()
        finally:
            async with asyncio.timeout(LAST_LIMIT_S):
                await self._try()

    async def _try(self) -> None:
        try:
            await self.write()
        except DeliveryError as error:
            log.warning("api_keys.uses_not_written", reason=error.message)
        except Exception:
            log.exception("api_keys.uses_not_written")
