"""Bringing the desired routes of PostgreSQL into the router: one writer at a time, always the newest table."""

import asyncio
import time
from collections.abc import Collection

import structlog

from drivers.routers.base import HeldBackError, Readiness, Router
from drivers.routers.mapping import routing_table
from storage.engine import Sessions, transaction
from storage.repositories.routing import RoutingRepository

WHOLE = Readiness(wait_s=0.05, every_endpoint=True)
"""A new instance passes its first check within milliseconds. One that does not is waited for outside of the lock."""
SOME = Readiness(wait_s=0.0, every_endpoint=False)
PATIENCE_FOR_ALL_S = 4.0
PATIENCE_S = 10.0
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5

log = structlog.get_logger(__name__)


class RouteWriter:
    """Applies whatever the database says now; those that waited for another writer find their change applied already.

    One task of a process waits for the database's writer lock at a time: a hundred rollouts shifting at once must not
    sit on a hundred connections, which everything else needs. And nobody sits on the lock while instances get healthy:
    whoever needs one that is not ready yet waits outside and tries again, so that everybody else's routes, a rollback
    most of all, are live in milliseconds.
    """

    def __init__(self, sessions: Sessions, router: Router) -> None:
        self._sessions = sessions
        self._router = router
        self._turn = asyncio.Lock()
        self._applied = 0
        self._held_back: frozenset[str] = frozenset()

    async def apply(self, generation: int | None = None, *, needing: Collection[str] = ()) -> int:
        """Bring the newest table, which has `generation` at least, into the router and return its generation.

        Args:
            generation: of the caller's committed change; None: look in any case.
            needing: releases that must be able to take traffic; they are waited for, `PATIENCE_S` at most.

        Raises:
            HeldBackError: one of the releases that the caller needs cannot take traffic; other people's do not count.
        """
        began, pause = time.monotonic(), FIRST_PAUSE_S
        while True:
            waited = time.monotonic() - began
            readiness = WHOLE if waited < PATIENCE_FOR_ALL_S else SOME
            applied, missing = await self._in_turn(generation, needing, readiness)
            if not missing:
                return applied
            if waited >= PATIENCE_S:
                raise HeldBackError(sorted(missing))
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _in_turn(
        self, generation: int | None, needing: Collection[str], readiness: Readiness
    ) -> tuple[int, frozenset[str]]:
        """What is applied then, and which needed releases are held back."""
        async with self._turn:
            # One that was held back may be able to take traffic by now: for those that need it, try again.
            if generation is None or self._applied < generation or self._held_back.intersection(needing):
                self._applied = await self._apply_newest(readiness)
            return self._applied, self._held_back.intersection(needing)

    async def _apply_newest(self, readiness: Readiness) -> int:
        async with transaction(self._sessions) as session:
            routes = RoutingRepository(session)
            await routes.writer_lock()
            snapshot = await routes.table()
            try:
                await self._router.apply(routing_table(snapshot), readiness=readiness)
                self._held_back = frozenset()  # not before: with the router away everything is as it was
            except HeldBackError as error:
                self._held_back = error.release_ids
                log.info("routes.held_back", release_ids=sorted(error.release_ids))
            return snapshot.generation
