"""Bringing the desired routes of PostgreSQL into the router: one writer at a time, always the newest table."""

import asyncio
from collections.abc import Collection

import structlog

from drivers.routers.base import HeldBackError, Router
from drivers.routers.mapping import routing_table
from storage.engine import Sessions, transaction
from storage.repositories.routing import RoutingRepository

log = structlog.get_logger(__name__)


class RouteWriter:
    """Applies whatever the database says now; those that waited for another writer find their change applied already.

    One task of a process waits for the database's writer lock at a time: a hundred rollouts shifting at once must not
    sit on a hundred connections, which everything else needs.
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
            needing: releases that must be able to take traffic.

        Raises:
            HeldBackError: one of the releases that the caller needs cannot take traffic; other people's do not count.
        """
        async with self._turn:
            # One that was held back may be able to take traffic by now: for those that need it, try again.
            if generation is None or self._applied < generation or self._held_back.intersection(needing):
                self._applied = await self._apply_newest()
            held_back = self._held_back.intersection(needing)
        if held_back:
            raise HeldBackError(sorted(held_back))
        return self._applied

    async def _apply_newest(self) -> int:
        async with transaction(self._sessions) as session:
            routes = RoutingRepository(session)
            await routes.writer_lock()
            snapshot = await routes.table()
            self._held_back = frozenset()
            try:
                await self._router.apply(routing_table(snapshot))
            except HeldBackError as error:
                self._held_back = error.release_ids
                log.info("routes.held_back", release_ids=sorted(error.release_ids))
            return snapshot.generation
