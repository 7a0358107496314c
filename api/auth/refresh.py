"""Keeps this process's keys and revocations up to date: on NOTIFY, and by polling every second."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from sqlalchemy.exc import SQLAlchemyError

from api.auth.external_issuer import OutsideIssuer
from api.auth.revocation_list import Refused
from api.auth.signing_keys import SigningKeys, StoredKey
from api.oauth.keystore import KeyStore
from domain.errors import DeliveryError
from runtime.ids import now
from runtime.logging import get_logger
from storage.engine import Sessions, transaction
from storage.listen import Listener
from storage.repositories.revocations import RevocationRepository

log = get_logger(__name__)

LOOK_EVERY_S = 1.0
FIRST_LOOK_LIMIT_S = 2.0
LAST_LOOK_LIMIT_S = 2.0
STALE_AFTER_S = 5.0


class TrustWatch:
    """Runs beside the API. While the database is down, the last known keys and revocations stay in force."""

    def __init__(
        self,
        sessions: Sessions,
        bell: Listener,
        store: KeyStore,
        *,
        keyring: SigningKeys,
        refused: Refused,
        outside: Sequence[OutsideIssuer] = (),
    ) -> None:
        self._sessions = sessions
        self._bell = bell
        self._store = store
        self._keyring = keyring
        self._refused = refused
        self._outside = outside
        self._fresh_at = time.monotonic()
        self._failing = False
        self._known: Sequence[StoredKey] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._looking = asyncio.Lock()

    async def start(self) -> None:
        """Refresh once, for a bounded time, then keep refreshing in the background."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_LIMIT_S):
                await self.look()
        self._tasks = [asyncio.create_task(self._run()), *(asyncio.create_task(one.run()) for one in self._outside)]

    async def stop(self) -> None:
        """Stop the background task, but not during a refresh: SQLAlchemy leaks a connection cancelled while opening."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_LOOK_LIMIT_S):
                await self._looking.acquire()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._bell.close()

    @property
    def is_stale(self) -> bool:
        """Whether this process may have missed a revocation of the last seconds."""
        return time.monotonic() - self._fresh_at > STALE_AFTER_S

    async def look(self) -> None:
        """Reload everything. On failure the last known state stays."""
        try:
            await self._read()
        except (DeliveryError, SQLAlchemyError, OSError, ValueError) as error:
            if not self._failing:
                log.warning("trust.stale", cause=str(error)[:300])
            self._failing = True
            return
        if self._failing:
            log.info("trust.fresh_again")
        self._failing = False
        self._fresh_at = time.monotonic()

    async def _run(self) -> None:
        while True:
            await self._bell.wait(LOOK_EVERY_S)
            async with self._looking:
                await self.look()

    async def _read(self) -> None:
        async with transaction(self._sessions) as session:
            self._refused.replace(await RevocationRepository(session).in_force(now()))
        if self._keyring.is_shared_secret:
            return
        keys = await self._store.load(self._first())
        if [(key.kid, key.state) for key in keys] != [(key.kid, key.state) for key in self._known]:
            self._known = keys
            self._keyring.replace(keys)

    def _first(self) -> RSAPrivateKey | None:
        own = self._keyring.own
        return own.key if own is not None and isinstance(own.key, RSAPrivateKey) else None
