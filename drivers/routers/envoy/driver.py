"""The Envoy driver: whole tables in the order that loses no request (docs/adr/0003-file-based-xds.md).

    remember what is coming -> clusters, old and new together -> warm and healthy -> routes -> confirmed -> remember
    and later, when the caller has gone on: clusters without routes drain -> those without requests are removed

Clusters that Envoy has already are not written again, so a change of routes alone is one file and three questions.

Every arrow may be where a process dies: the next `apply` finds `State.pending` and goes on from there.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from domain.errors import DeliveryError, DependencyError
from drivers.routers.base import Endpoint, EndpointHealth, HeldBackError, Readiness, RoutingTable, TrafficCounters
from drivers.routers.envoy import state as memory
from drivers.routers.envoy.admin import Admin, ReleaseStats, Versions
from drivers.routers.envoy.checks import check_table
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.departure import QUIET_S, Departure
from drivers.routers.envoy.files import ConfigFolder, age_s
from drivers.routers.envoy.lock import WriterLock
from drivers.routers.envoy.publish import Publisher
from drivers.routers.envoy.readiness import Look, hold_back
from drivers.routers.envoy.render import cluster_name, generation_of
from drivers.routers.envoy.state import State

RESTORE_S = 2.0
RESETS = ("upstream_rq_rx_reset", "upstream_cx_destroy_remote_with_active_rq")
"""HTTP/1 has no reset of a request: an instance that breaks one off closes the connection under it."""

log = structlog.get_logger(__name__)


class EnvoyRouter:
    """Implements `drivers.routers.base.Router`.

    Args:
        config_dir: the folder Envoy watches, prepared by `python -m drivers.routers.envoy --render`.
        admin_socket: Envoy's admin interface.
    """

    def __init__(self, config_dir: Path, admin_socket: Path) -> None:
        self._folder = ConfigFolder(config_dir.resolve())
        self._admin = Admin(admin_socket)
        self._publisher = Publisher(self._folder, self._admin)
        self._lock = WriterLock(self._folder)
        self._departure = Departure(self._folder, self._admin, self._publisher, self._lock)

    async def apply(self, table: RoutingTable, *, timeout_s: float = 15, readiness: Readiness | None = None) -> None:
        check_table(table)
        deadline = Deadline(timeout_s)
        try:
            async with self._lock.held(deadline):
                await self._apply(table, deadline, readiness)
        except OSError as error:
            raise DependencyError(f"cannot write the router's files in {self._folder.root}: {error}") from error

    async def applied_generation(self) -> int | None:
        return generation_of((await self._admin.versions()).routes)

    async def endpoint_health(self, release_id: str) -> Sequence[EndpointHealth]:
        """As Envoy sees it now; an endpoint that left is listed, not healthy, while its cluster is there.

        Where no route leads any more the answer waits until Envoy's workers know that, a tenth of a second after the
        switch: none in flight then means that none will come.
        """
        state = memory.load(self._folder)
        if _unreached(state, release_id) and (wait_s := QUIET_S - age_s(self._folder.state)) > 0:
            await asyncio.sleep(min(wait_s, QUIET_S))
        current = {cluster_name(c) for c in state.applied.clusters}
        healthy: set[Endpoint] = set()
        active: Counter[Endpoint] = Counter()
        for name, hosts in (await self._admin.hosts(release_id=release_id)).items():
            healthy |= {h.endpoint for h in hosts if h.healthy and name in current}
            active.update({h.endpoint: h.active_requests for h in hosts})
        return [EndpointHealth(e, e in healthy, active[e]) for e in sorted(active)]

    async def close(self) -> None:
        await self._departure.close()
        await self._admin.close()

    async def counters(self, release_ids: Sequence[str]) -> Sequence[TrafficCounters]:
        """One a release in the order asked for, zeros for one that Envoy does not know.

        `errors_5xx` includes the 503 and 504 that Envoy gives in place of an answer, so every reset counts there too.
        """
        if not release_ids:
            return []
        started = await self._admin.started()
        stats = await self._admin.releases(release_ids)
        since = memory.load(self._folder).since
        return [_counters(r, f"{started}/{since.get(r, 0)}", stats.get(r, ReleaseStats())) for r in release_ids]

    async def _apply(self, table: RoutingTable, deadline: Deadline, readiness: Readiness | None) -> None:
        found = memory.load(self._folder)
        look = Look(self._admin, found, table, readiness)
        # Raises with Envoy away, before anything is written.
        running, _ = await asyncio.gather(self._admin.versions(), look.refresh())
        generation = generation_of(running.routes)
        state = self._settled(found, generation)
        if state.departing:
            self._departure.later()
        if table.generation < state.applied.generation:
            return
        if table.generation == state.applied.generation:
            if generation == table.generation:
                return
            table = state.applied
        if state is not found or table is state.applied:
            look = Look(self._admin, state, table, readiness)
        await self._carry_out(state, table, running, look, deadline)

    def _settled(self, found: State, running: int | None) -> State:
        """What was remembered; if a writer died after Envoy took its table, that is made good."""
        state = memory.settled(found, running)
        if state is not found:
            memory.save(self._folder, state)
        return state

    async def _carry_out(
        self, state: State, table: RoutingTable, running: Versions, look: Look, deadline: Deadline
    ) -> None:
        memory.save(self._folder, replace(state, pending=table))
        wanted = table
        try:
            await self._bring_up(state, table, running, deadline)
            dead = await look.until_ready(deadline)
            if dead:
                table = hold_back(state.applied, table, dead)
                memory.save(self._folder, replace(state, pending=table))
            await self._publisher.publish_routes(table, deadline, running.routes)
        except BaseException as error:
            log.warning("router.apply.failed", generation=table.generation, error=str(error))
            await self._restore(state)
            raise
        memory.save(self._folder, memory.held_back(memory.confirmed(state, table), wanted, dead))
        self._departure.later()
        if dead:
            raise HeldBackError(sorted(dead))

    async def _bring_up(self, state: State, table: RoutingTable, running: Versions, deadline: Deadline) -> None:
        """Old and new clusters side by side."""
        clusters = (*memory.present(state), *table.clusters)
        await self._publisher.publish_clusters(table.generation, clusters, deadline, running.clusters)

    async def _restore(self, state: State) -> None:
        """The last good files again. A refused update has changed nothing in Envoy, so there is nothing to wait for."""
        good = state.applied
        try:
            await self._publisher.publish_routes(good, Deadline(RESTORE_S))
        except DeliveryError as error:
            log.warning("router.restore.unconfirmed", generation=good.generation, error=str(error))
            self._publisher.write_routes(good)
        state = replace(state, pending=None)
        self._publisher.write_clusters(good.generation, memory.present(state))
        memory.save(self._folder, state)


def _unreached(state: State, release_id: str) -> bool:
    """Whether a cluster of the release may be in Envoy to which no route leads."""
    if any(c.release_id == release_id for c in state.leaving):
        return True
    return not any(release_id in route.reached for route in state.applied.routes)


def _counters(release_id: str, epoch: str, stats: ReleaseStats) -> TrafficCounters:
    return TrafficCounters(
        release_id=release_id,
        epoch=epoch,
        requests=stats.counters.get("upstream_rq_completed", 0),
        errors_5xx=stats.counters.get("upstream_rq_5xx", 0),
        resets=sum(stats.counters.get(name, 0) for name in RESETS),
        latency_buckets=stats.latency,
    )
