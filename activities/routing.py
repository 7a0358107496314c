"""Bringing the desired routes of PostgreSQL into the router: one writer at a time, always the newest table."""

from drivers.routers.base import Router
from drivers.routers.mapping import routing_table
from storage.engine import Sessions, transaction
from storage.repositories.routing import RoutingRepository


class RouteWriter:
    """Applies whatever the database says now; a writer that waited for another applies both changes at once."""

    def __init__(self, sessions: Sessions, router: Router) -> None:
        self._sessions = sessions
        self._router = router

    async def apply(self) -> int:
        """Apply the newest table under the writer's lock and return its generation."""
        async with transaction(self._sessions) as session:
            routes = RoutingRepository(session)
            await routes.writer_lock()
            snapshot = await routes.table()
            await self._router.apply(routing_table(snapshot))
            return snapshot.generation
