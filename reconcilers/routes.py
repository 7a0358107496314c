"""The router has the routes that PostgreSQL wants: its files may be lost, either side may be restored from a backup."""

from activities.routing import RouteWriter
from drivers.routers.base import Router
from runtime.reconciler import Reconciler
from storage.engine import Sessions, transaction
from storage.repositories.routing import RoutingRepository


class AppliedRoutes(Reconciler):
    """Several workers may look at once."""

    name = "applied_routes"
    interval_s = 2.0
    repeats_failures = False  # the router may be away for long

    def __init__(self, sessions: Sessions, router: Router, writer: RouteWriter) -> None:
        super().__init__()
        self._sessions = sessions
        self._router = router
        self._writer = writer
        self._sure = False

    async def reconcile(self) -> int:
        """Apply the record unless it is applied; whether that was needed.

        The first pass applies in any case: a restored record may have the generation of another one.
        """
        async with transaction(self._sessions) as session:
            generation = await RoutingRepository(session).generation()
        if self._sure and await self._router.is_settled(generation):
            return 0
        await self._writer.apply()
        self._sure = True
        return 1
