"""After the routes are live: sync the files, and remove unused clusters once their requests have ended.

Runs in the background beside the switches of others. It takes the writer's lock only to remove, and resumes after a
crash, since `State.leaving` lists what is still to be removed.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace

import structlog

from domain.errors import DeliveryError
from domain.routing import ReleaseCluster
from drivers.routers.envoy import state as memory
from drivers.routers.envoy.admin import Admin
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.files import ConfigFolder, sync_files
from drivers.routers.envoy.lock import WriterLock
from drivers.routers.envoy.publish import Publisher
from drivers.routers.envoy.render import cluster_name
from drivers.routers.envoy.state import State

QUIET_S = 0.1
"""Envoy's workers see new routes slightly later than its admin interface shows them; this is much longer."""
LONGEST_PAUSE_S = 5.0
LOCK_LIMIT_S = 5.0

log = structlog.get_logger(__name__)


class Departure:
    """A task that lives while something is to be removed. `later` is called whenever that may be so."""

    def __init__(self, folder: ConfigFolder, admin: Admin, publisher: Publisher, lock: WriterLock) -> None:
        self._folder = folder
        self._admin = admin
        self._publisher = publisher
        self._lock = lock
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def later(self) -> None:
        """Start soon; returns at once."""
        self._asked.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Leave what remains to the next process."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause = QUIET_S
        while True:
            if self._asked.is_set():
                pause = QUIET_S
                self._asked.clear()
            await asyncio.sleep(QUIET_S)
            left = await self._look()
            if not left and not self._asked.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _look(self) -> bool:
        """Whether something is still to be removed."""
        try:
            await asyncio.to_thread(sync_files, (self._folder.clusters, self._folder.routes, self._folder.state))
            state = memory.load(self._folder)
            idle = await self._idle(state.departing)
            if not idle:
                return bool(state.departing)
            await asyncio.sleep(QUIET_S)
            return await self._remove(idle)
        except (DeliveryError, OSError) as error:
            log.warning("router.departure.delayed", reason=str(error))
            return True

    async def _idle(self, leaving: tuple[ReleaseCluster, ...]) -> frozenset[str]:
        """Names of clusters without requests in flight."""
        names = frozenset(map(cluster_name, leaving))
        seen = await self._admin.hosts(names) if names else {}
        return names - {name for name, hosts in seen.items() if any(h.active_requests for h in hosts)}

    async def _remove(self, idle: frozenset[str]) -> bool:
        """Remove those of `idle` that still exist; returns whether some are left."""
        async with self._lock.held(Deadline(LOCK_LIMIT_S)):
            state = memory.load(self._folder)
            if state.pending is not None:
                return True  # a writer died; the next writer must first check which table Envoy runs
            gone = idle & await self._idle(state.departing)
            if gone:
                state = self._take_down(state, gone)
            return bool(state.departing)

    def _take_down(self, state: State, gone: frozenset[str]) -> State:
        """The state without these clusters."""
        stay = tuple(c for c in state.leaving if cluster_name(c) not in gone)
        clusters = (*state.applied.clusters, *stay)
        self._publisher.write_clusters(state.applied.generation, clusters)
        kept = {c.release_id for c in clusters}
        since = {release: g for release, g in state.since.items() if release in kept}
        state = replace(state, leaving=stay, since=since)
        memory.save(self._folder, state)
        return state
