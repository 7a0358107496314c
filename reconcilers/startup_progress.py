"""Counts the services that are still starting after the stack's start, until all serve."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import structlog

from drivers.routers.base import EndpointHealth, Router
from runtime.reconciler import Reconciler
from runtime.returning import Returning
from storage.engine import Sessions, transaction
from storage.repositories.health import HealthRepository, LiveRelease

log = structlog.get_logger(__name__)

LIMIT_S = 180.0
"""What does not serve then is no longer coming back: it is broken, and its environment tells so."""
KNOWN_LIMIT_S = 60.0
"""The same for what was degraded before: broken for long, or slow the last time."""


class StartupProgress(Reconciler):
    """Counts by the router's health checks, which see what users see. Ends when all serve, or after a time limit.

    Args:
        path: file for the counts.
        clock: seconds.
    """

    name = "startup_progress"
    interval_s = 1.0
    limit_s = 60.0
    jitter = 0.0  # of one machine

    def __init__(
        self, sessions: Sessions, router: Router, path: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock=clock)
        self._sessions = sessions
        self._router = router
        self._path = path
        self._began: float | None = None
        self._known: frozenset[UUID] | None = None  # releases that were degraded before this start

    async def reconcile(self) -> int:
        """Count and save the counts; changes nothing else."""
        if self._began is None:
            self._began = self._clock()
        since_s = self._clock() - self._began
        async with transaction(self._sessions) as session:
            live = await HealthRepository(session).live()
        health = await self._router.all_health() if live else {}
        if self._known is None:
            self._known = frozenset(each.release_id for each in live if each.is_told)
        missing = [each for each in live if not _serves(each, health)]
        known = {each.release_id in self._known for each in missing}
        coming_back = (False in known and since_s < LIMIT_S) or (True in known and since_s < KNOWN_LIMIT_S)
        told = Returning(len(live), len(live) - len(missing), coming_back, time.time())
        await asyncio.to_thread(told.save, self._path)
        if not coming_back:
            log.info("services.returned", total=told.total, serving=told.serving)
        self.is_over = not coming_back
        return 0


def _serves(live: LiveRelease, health: Mapping[str, Sequence[EndpointHealth]]) -> bool:
    """Whether one of its instances takes traffic."""
    seen = health.get(str(live.release_id), ())
    return any(one.healthy and (one.endpoint.address, one.endpoint.port) in live.places for one in seen)
