"""Live releases whose instances do not all serve: the world is told once, and again after they have recovered."""

import asyncio

import structlog

from domain.errors import DeliveryError, DependencyError
from drivers.routers.base import Router
from storage.engine import Sessions, transaction
from storage.repositories.health import HealthRepository, LiveRelease

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
# One look may fall into a restart that is over in a moment; that is no degradation.
LOOKS = 2


class DegradationWatch:
    """Believes the router's own checks, which see what users see. Several workers may watch at once."""

    def __init__(self, sessions: Sessions, router: Router) -> None:
        self._sessions = sessions
        self._router = router
        self._seen: dict[LiveRelease, int] = {}

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
        """One look at everything that is live. What the router does not tell of changes nothing."""
        async with transaction(self._sessions) as session:
            found = await HealthRepository(session).live()
        self._seen = {live: looks for live, looks in self._seen.items() if live in found}
        for live in found:
            try:
                healthy = await self._healthy(live)
            except DependencyError as error:
                log.warning("degradation.unknown", release_id=str(live.release_id), reason=error.message)
                continue
            if healthy is not None:
                await self._judge(live, healthy)

    async def _healthy(self, live: LiveRelease) -> int | None:
        """How many of its instances serve; None while the router does not know the release (it has just started)."""
        seen = await self._router.endpoint_health(str(live.release_id))
        if not seen:
            return None
        return sum(one.healthy and (one.endpoint.address, one.endpoint.port) in live.places for one in seen)

    async def _judge(self, live: LiveRelease, healthy: int) -> None:
        if healthy >= len(live.places):
            self._seen.pop(live, None)
            if live.is_told:
                await self._recovered(live)
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
