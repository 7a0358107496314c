"""Tells once that instances of a live release are unhealthy, and again only after they recovered."""

from collections.abc import Sequence
from uuid import UUID

import structlog

from drivers.routers.base import EndpointHealth, Router
from runtime.reconciler import Reconciler
from runtime.sweeps import Sweep
from storage.engine import Sessions, transaction
from storage.repositories.health import HealthRepository, LiveRelease

log = structlog.get_logger(__name__)

# One pass may fall into a restart that is over in a moment; that is no degradation.
PASSES = 2
LIMIT_S = 10.0


class EnvironmentHealth(Reconciler):
    """Believes the router's own checks, which see what users see. Several workers may watch at once.

    The router and the database are asked once a pass, however many environments there are.
    """

    name = "environment_health"
    interval_s = 5.0
    limit_s = 60.0
    begins_at_once = False

    def __init__(self, sessions: Sessions, router: Router) -> None:
        super().__init__()
        self._sessions = sessions
        self._router = router
        self._seen: dict[LiveRelease, int] = {}
        self._sweep: Sweep[UUID] = Sweep(self.name, limit_s=LIMIT_S)
        self._told = 0

    async def reconcile(self) -> int:
        """Judge all live releases; returns how many it reported. One that the router does not know keeps its state.

        Raises:
            DependencyError: the router or the database does not answer.
        """
        self._told = 0
        async with transaction(self._sessions) as session:
            found = await HealthRepository(session).live()
        now_live = frozenset(found)
        self._seen = {live: times for live, times in self._seen.items() if live in now_live}
        seen = await self._router.all_health() if found else {}
        # A release that the router does not know (it has just started) tells nothing.
        known = {live.environment_id: live for live in found if seen.get(str(live.release_id))}
        await self._sweep.each(
            known, lambda live: self._judge(live, _healthy(live, seen[str(live.release_id)])), wait_s=LIMIT_S
        )
        return self._told

    async def _judge(self, live: LiveRelease, healthy: int) -> None:
        if healthy >= len(live.places):
            if live.is_told:
                await self._recovered(live)
            self._seen.pop(live, None)
            return
        self._seen[live] = self._seen.get(live, 0) + 1
        if self._seen[live] >= PASSES and not live.is_told:
            await self._degraded(live, healthy)

    async def _degraded(self, live: LiveRelease, healthy: int) -> None:
        async with transaction(self._sessions) as session:
            told = await HealthRepository(session).degraded(live, healthy=healthy)
        if told:
            self._told += 1
            wanted = len(live.places)
            log.warning("environment.degraded", environment_id=str(live.environment_id), wanted=wanted, healthy=healthy)

    async def _recovered(self, live: LiveRelease) -> None:
        async with transaction(self._sessions) as session:
            await HealthRepository(session).recovered(live)
        self._told += 1
        log.info("environment.recovered", environment_id=str(live.environment_id))


def _healthy(live: LiveRelease, seen: Sequence[EndpointHealth]) -> int:
    """How many of its instances serve."""
    return sum(one.healthy and (one.endpoint.address, one.endpoint.port) in live.places for one in seen)
