"""Tells once that instances of a live release are unhealthy, and again only after they recovered."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog

from domain.errors import DeliveryError
from drivers.routers.base import EndpointHealth, Router
from runtime.sweeps import Sweep
from storage.engine import Sessions, transaction
from storage.repositories.health import HealthRepository, LiveRelease

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
# One look may fall into a restart that is over in a moment; that is no degradation.
LOOKS = 2
LIMIT_S = 10.0


class DegradationWatch:
    """Believes the router's own checks, which see what users see. Several workers may watch at once.

    The router and the database are asked once a look, however many environments there are.
    """

    def __init__(self, sessions: Sessions, router: Router) -> None:
        self._sessions = sessions
        self._router = router
        self._seen: dict[LiveRelease, int] = {}
        self._sweep: Sweep[UUID] = Sweep("degradation", limit_s=LIMIT_S)

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except DeliveryError as error:
                log.warning("degradation.paused", reason=error.message)
            except Exception:
                log.exception("degradation.fault")

    async def look(self) -> None:
        """One pass over all live releases. A release that the router does not report keeps its state.

        Raises:
            DependencyError: the router or the database does not answer.
        """
        async with transaction(self._sessions) as session:
            found = await HealthRepository(session).live()
        now_live = frozenset(found)
        self._seen = {live: looks for live, looks in self._seen.items() if live in now_live}
        seen = await self._router.all_health() if found else {}
        # A release that the router does not know (it has just started) tells nothing.
        known = {live.environment_id: live for live in found if seen.get(str(live.release_id))}
        await self._sweep.each(
            known, lambda live: self._judge(live, _healthy(live, seen[str(live.release_id)])), wait_s=LIMIT_S
        )

    async def _judge(self, live: LiveRelease, healthy: int) -> None:
        if healthy >= len(live.places):
            if live.is_told:
                await self._recovered(live)
            self._seen.pop(live, None)
            return
        self._seen[live] = self._seen.get(live, 0) + 1
        if self._seen[live] >= LOOKS and not live.is_told:
            await self._degraded(live, healthy)

    async def _degraded(self, live: LiveRelease, healthy: int) -> None:
        async with transaction(self._sessions) as session:
            told = await HealthRepository(session).degraded(live, healthy=healthy)
        if told:
            wanted = len(live.places)
            log.warning("environment.degraded", environment_id=str(live.environment_id), wanted=wanted, healthy=healthy)

    async def _recovered(self, live: LiveRelease) -> None:
        async with transaction(self._sessions) as session:
            await HealthRepository(session).recovered(live)
        log.info("environment.recovered", environment_id=str(live.environment_id))


def _healthy(live: LiveRelease, seen: Sequence[EndpointHealth]) -> int:
    """How many of its instances serve."""
    return sum(one.healthy and (one.endpoint.address, one.endpoint.port) in live.places for one in seen)
