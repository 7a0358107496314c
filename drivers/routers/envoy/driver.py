"""The Envoy driver: whole tables in the order that loses no request (docs/adr/0003-file-based-xds.md).

remember what is coming -> clusters, old and new together -> warm and healthy -> routes -> confirmed -> remember and
later, when the caller has gone on: clusters without routes drain -> those without requests are removed

Clusters that Envoy has already are not written again, so a change of routes alone is one file and three questions.

Every arrow may be where a process dies: the next `apply` finds `State.pending` and goes on from there. The files are
derived: whatever is missing of them, or is another table than the record's, is written again.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from domain.errors import DeliveryError, DependencyError
from domain.routing import Endpoint, Rejection, RoutingTable
from drivers.routers.base import EndpointHealth, HeldBackError, ReadinessRule, TrafficCounters
from drivers.routers.envoy import state as memory
from drivers.routers.envoy.admin import Admin, HostSeen, ReleaseStats, Versions
from drivers.routers.envoy.admission import Admission, same_rows, without_refused
from drivers.routers.envoy.checks import sift
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.drain import QUIET_S, Departure
from drivers.routers.envoy.files import ConfigFolder, age_s, read_head
from drivers.routers.envoy.lock import WriterLock
from drivers.routers.envoy.publish import Publisher
from drivers.routers.envoy.readiness import EndpointSnapshot, hold_back
from drivers.routers.envoy.refusals import RefusedError
from drivers.routers.envoy.render import cluster_name, generation_of, release_of, version_in
from drivers.routers.envoy.state import State

RESTORE_S = 2.0
CODE = re.compile("upstream_rq_[0-9]{3}")
RESETS = ("upstream_rq_rx_reset", "upstream_cx_destroy_remote_with_active_rq")
"""HTTP/1 has no reset of a request: an instance that aborts one closes its connection."""

log = structlog.get_logger(__name__)


class EnvoyRouter:
    """Implements `drivers.routers.base.Router`.

    Args:
        config_dir: the folder that Envoy watches, prepared by `python -m drivers.routers.envoy --render`.
        admin_socket: Envoy's admin interface.
    """

    def __init__(self, config_dir: Path, admin_socket: Path) -> None:
        self._folder = ConfigFolder(config_dir.resolve())
        self._admin = Admin(admin_socket)
        self._publisher = Publisher(self._folder, self._admin)
        self._lock = WriterLock(self._folder)
        self._departure = Departure(self._folder, self._admin, self._publisher, self._lock)

    async def apply(
        self,
        table: RoutingTable,
        *,
        timeout_s: float = 15,
        readiness: ReadinessRule | None = None,
        over: str | None = None,
    ) -> Sequence[Rejection]:
        deadline = Deadline(timeout_s)
        try:
            async with self._lock.held(deadline):
                return await self._apply(
                    table, deadline, readiness, may_go_back=over is not None and over == self._mark()
                )
        except OSError as error:
            raise DependencyError(f"cannot write the router's files in {self._folder.root}: {error}") from error

    async def mark(self) -> str:
        return self._mark()

    def _mark(self) -> str:
        """The version of the routes file; empty if it is missing."""
        return version_in(read_head(self._folder.routes))

    async def is_settled(self, generation: int) -> bool:
        running, state = await self._admin.versions(), memory.load(self._folder)
        return (
            state.pending is None
            and state.applied.generation == generation == generation_of(running.routes)
            and self._publisher.is_live(running, memory.present(state))
        )

    async def applied_generation(self) -> int | None:
        return generation_of((await self._admin.versions()).routes)

    async def endpoint_health(self, release_id: str) -> Sequence[EndpointHealth]:
        """Endpoints as Envoy sees them now. One that has left is listed as unhealthy while its cluster exists.

        If no route leads to the release any more, the answer waits until Envoy's workers have the new routes, a tenth
        of a second after the switch: none in flight then means that no more will come.
        """
        state = memory.load(self._folder)
        if _unreached(state, release_id) and (wait_s := QUIET_S - age_s(self._folder.state)) > 0:
            await asyncio.sleep(min(wait_s, QUIET_S))
        current = {cluster_name(c) for c in state.applied.clusters}
        return _health(current, await self._admin.hosts(release_id=release_id))

    async def all_health(self) -> Mapping[str, Sequence[EndpointHealth]]:
        state = memory.load(self._folder)
        by_release: dict[str, dict[str, list[HostSeen]]] = {}
        for name, hosts in (await self._admin.hosts()).items():
            by_release.setdefault(release_of(name), {})[name] = hosts
        current = {cluster_name(c) for c in state.applied.clusters}
        return {release_id: _health(current, clusters) for release_id, clusters in by_release.items()}

    async def close(self) -> None:
        await self._departure.close()
        await self._admin.close()

    async def counters(self, release_ids: Sequence[str]) -> Sequence[TrafficCounters]:
        """One per release in the order requested; zeros for a release unknown to Envoy.

        `errors_5xx` includes the 503 and 504 that Envoy sends without a response, so every reset counts there too.
        """
        if not release_ids:
            return []
        started = await self._admin.started()
        stats = await self._admin.releases(release_ids)
        since = memory.load(self._folder).since
        return [_counters(r, f"{started}/{since.get(r, 0)}", stats.get(r, ReleaseStats())) for r in release_ids]

    async def _apply(
        self, table: RoutingTable, deadline: Deadline, readiness: ReadinessRule | None, *, may_go_back: bool
    ) -> Sequence[Rejection]:
        found = memory.load(self._folder)
        wanted, rejected = _sifted(found, table)
        look = EndpointSnapshot(self._admin, found, wanted, readiness)
        # Raises if Envoy is down, before anything is written.
        running, _ = await asyncio.gather(self._admin.versions(), look.refresh())
        state = self._settled(found, running)
        if state.departing:
            self._departure.later()
        if state is not found:
            wanted, rejected = _sifted(state, table)
        if not may_go_back:
            if table.generation < state.applied.generation:
                return rejected
            if table.generation == state.applied.generation:
                wanted = state.applied
        # After a crash, Envoy may run only a part of the table.
        if self._is_done(state, wanted, running) and (
            state is found or running.routes == self._publisher.version_of(wanted)
        ):
            return rejected
        if state is not found or wanted is state.applied:
            look = EndpointSnapshot(self._admin, state, wanted, readiness)
        return await self._carry_out(state, wanted, running, look, deadline, rejected)

    def _is_done(self, state: State, wanted: RoutingTable, running: Versions) -> bool:
        """Whether exactly this table is applied and Envoy runs it."""
        return (
            wanted.generation == state.applied.generation == generation_of(running.routes)
            and same_rows(wanted, state.applied)
            and self._publisher.is_live(running, memory.present(state))
        )

    def _settled(self, found: State, running: Versions) -> State:
        """The remembered state; if a writer died after Envoy took its table, the state is repaired."""
        if found.pending is None:
            return found
        running_generation = generation_of(running.routes)
        took_pending = running.routes == self._publisher.version_of(found.pending) or (
            # Another version of the engine may have rendered it.
            running_generation == found.pending.generation != found.applied.generation
        )
        state = memory.settled(found, took_pending=took_pending)
        memory.save(self._folder, state)
        return state

    async def _carry_out(  # noqa: PLR0917 - one story, told once
        self,
        state: State,
        table: RoutingTable,
        running: Versions,
        look: EndpointSnapshot,
        deadline: Deadline,
        rejected: Sequence[Rejection],
    ) -> Sequence[Rejection]:
        memory.save(self._folder, replace(state, pending=table))
        wanted = table
        admission = Admission(self._publisher, state, running, deadline)
        try:
            table = await admission.bring_up(table)
            if admission.rejected:
                look = look.at(table)
            dead = await look.until_ready(deadline)
            if dead:
                table = hold_back(state.applied, table, dead)
                memory.save(self._folder, replace(state, pending=table))
            table = await admission.publish_routes(table)
        except BaseException as error:
            log.warning("router.apply.failed", generation=table.generation, error=str(error))
            await self._restore(replace(state, refused=admission.refused))
            if isinstance(error, RefusedError):
                raise DependencyError("the router takes no routes at all; its log says why") from error
            raise
        state = replace(state, refused=admission.refused)
        memory.save(self._folder, memory.held_back(memory.confirmed(state, table), wanted, dead))
        self._departure.later()
        rejected = (*rejected, *admission.rejected)
        if dead:
            raise HeldBackError(sorted(dead), rejected)
        return rejected

    async def _restore(self, state: State) -> None:
        """Restore the last good files. A refused update has changed nothing in Envoy, so there is no need to wait."""
        good = state.applied
        try:
            await self._publisher.publish_routes(good, Deadline(RESTORE_S))
        except (DeliveryError, RefusedError) as error:
            log.warning("router.restore.unconfirmed", generation=good.generation, error=str(error))
            self._publisher.write_routes(good)
        state = replace(state, pending=None)
        self._publisher.write_clusters(good.generation, memory.present(state))
        memory.save(self._folder, state)


def _sifted(state: State, table: RoutingTable) -> tuple[RoutingTable, tuple[Rejection, ...]]:
    """The table without invalid rows, and without rows that Envoy refused before."""
    sound, rejected = sift(state.applied, table)
    taken, refused = without_refused(state, sound)
    return taken, (*rejected, *refused)


def _health(current: set[str], clusters: Mapping[str, Sequence[HostSeen]]) -> list[EndpointHealth]:
    """The health of one release, from all its clusters in Envoy; `current`: names of clusters that are not leaving."""
    healthy: set[Endpoint] = set()
    active: Counter[Endpoint] = Counter()
    for name, hosts in clusters.items():
        healthy |= {h.endpoint for h in hosts if h.healthy and name in current}
        active.update({h.endpoint: h.active_requests for h in hosts})
    return [EndpointHealth(e, e in healthy, active[e]) for e in sorted(active)]


def _unreached(state: State, release_id: str) -> bool:
    """Whether Envoy may have a cluster of the release to which no route leads."""
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
        errors_4xx=stats.counters.get("upstream_rq_4xx", 0),
        codes={int(name[-3:]): count for name, count in stats.counters.items() if CODE.fullmatch(name)},
    )
