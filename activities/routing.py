"""Bringing the desired routes of PostgreSQL into the router: one writer at a time, always the newest table."""

from collections.abc import Collection

import structlog

from drivers.routers.base import HeldBackError, Router
from drivers.routers.mapping import routing_table
from storage.engine import Sessions, transaction
from storage.repositories.routing import RoutingRepository

log = structlog.get_logger(__name__)


class RouteWriter:
    """Applies whatever the database says now; a writer that waited for another applies both changes at once."""

    def __init__(self, sessions: Sessions, router: Router) -> None:
        self._sessions = sessions
        self._router = router

    async def apply(self, *, needing: Collection[str] = ()) -> int:
        """Apply the newest table under the writer's lock and return its generation.

        Raises:
            HeldBackError: one of the releases that the caller needs cannot take traffic; other people's do not count.
        """
        async with transaction(self._sessions) as session:
            routes = RoutingRepository(session)
            await routes.writer_lock()
            snapshot = await routes.table()
            try:
                await self._router.apply(routing_table(snapshot))
            except HeldBackError as error:
                if error.release_ids.intersection(needing):
                    raise
                log.info("routes.others_held_back", release_ids=sorted(error.release_ids))
            return snapshot.generation
