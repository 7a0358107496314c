"""Submits the two files of a table to Envoy. Rows that it refuses are found, left out and remembered."""

from collections.abc import Mapping, Sequence

import structlog

from domain.routing import HostRoute, Rejection, ReleaseCluster, RoutingTable
from drivers.routers.envoy import state as memory
from drivers.routers.envoy.admin import Versions
from drivers.routers.envoy.checks import leave_out
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.publish import Publisher
from drivers.routers.envoy.refusals import RefusedError, admit
from drivers.routers.envoy.rejection import UNKNOWN, explain
from drivers.routers.envoy.render import (
    cluster_name,
    cluster_print,
    generation_of,
    render_clusters,
    render_routes,
    route_print,
)
from drivers.routers.envoy.state import NOTHING, State

MOST_REMEMBERED = 1000
"""Maximum number of remembered refused rows; beyond it the oldest are dropped and tried again."""
MOST_EXPLAINED = 3
"""Maximum per application: every explanation starts an Envoy."""

log = structlog.get_logger(__name__)


class Admission:
    """One application of a table.

    `rejected`: rows that Envoy refused. `refused`: the reasons by fingerprint, to be remembered.
    """

    def __init__(self, publisher: Publisher, state: State, running: Versions, deadline: Deadline) -> None:
        self._publisher = publisher
        self._state = state
        self._running = running
        self._deadline = deadline
        self._explained = 0
        self.rejected: tuple[Rejection, ...] = ()
        self.refused: Mapping[str, str] = state.refused

    async def bring_up(self, table: RoutingTable) -> RoutingTable:
        """Submit old and new clusters side by side; returns the table to route."""
        # An Envoy that runs none of our clusters may be a different version, which refuses what the last one took.
        runs = bool(generation_of(self._running.clusters))
        asked = (*memory.present(self._state), *table.clusters)
        try:
            refused = await self._admit_clusters(table.generation, self._state.applied.clusters if runs else (), asked)
        except RefusedError:
            refused = await self._admit_clusters(table.generation, (), asked)
        words = {cluster_name(c): await self._why(c.release_id, render_clusters(0, [c]).text) for c in refused}
        self._remember({cluster_print(c): words[cluster_name(c)] for c in refused})
        faulty = {c.release_id: words[n] for c in table.clusters if (n := cluster_name(c)) in words}
        return self._without(table, faulty, {})

    async def _admit_clusters(
        self, generation: int, good: Sequence[ReleaseCluster], asked: Sequence[ReleaseCluster]
    ) -> list[ReleaseCluster]:
        """The requested clusters that Envoy refuses; it has the accepted ones afterwards."""
        known = set(map(cluster_name, good))
        new = {cluster_name(c): c for c in asked if cluster_name(c) not in known}

        async def put(clusters: Sequence[ReleaseCluster]) -> None:
            everything = (*good, *clusters)
            await self._publisher.publish_clusters(generation, everything, self._deadline, self._running.clusters)

        def found(cluster: ReleaseCluster) -> None:
            self._remember({cluster_print(cluster): _unexplained(cluster.release_id)})

        return await admit(list(new.values()), put, found)

    async def publish_routes(self, table: RoutingTable) -> RoutingTable:
        """Submit the routes and wait for confirmation; returns the live table."""
        try:
            refused = await self._admit_routes(self._old, table)
        except RefusedError:
            refused = await self._admit_routes(NOTHING, table)
        words = {r.host: await self._why(r.host, render_routes(_alone(table, r)).text) for r in refused}
        self._remember({route_print(table, r): words[r.host] for r in refused})
        return self._without(table, {}, words)

    async def _admit_routes(self, old: RoutingTable, table: RoutingTable) -> list[HostRoute]:
        """The routes that Envoy refuses; meanwhile an undecided host keeps its old route."""
        standing = set(old.routes)
        changed = [route for route in table.routes if route not in standing]

        async def put(routes: Sequence[HostRoute]) -> None:
            chosen = {route.host for route in routes}
            undecided = {route.host: "" for route in changed if route.host not in chosen}
            part, _ = leave_out(old, table, clusters={}, hosts=undecided)
            await self._publisher.publish_routes(part, self._deadline, self._running.routes)

        def found(route: HostRoute) -> None:
            self._remember({route_print(table, route): _unexplained(route.host)})

        return await admit(changed, put, found)

    @property
    def _old(self) -> RoutingTable:
        """What Envoy serves now, so that it accepts it again."""
        return self._state.applied if generation_of(self._running.routes) else NOTHING

    def _without(self, table: RoutingTable, clusters: Mapping[str, str], hosts: Mapping[str, str]) -> RoutingTable:
        if not clusters and not hosts:
            return table
        left, rejected = leave_out(self._old, table, clusters=clusters, hosts=hosts)
        self.rejected += rejected
        return left

    def _remember(self, refused: Mapping[str, str]) -> None:
        everything = {**self.refused, **refused}
        self.refused = dict(list(everything.items())[-MOST_REMEMBERED:])

    async def _why(self, name: str, text: str) -> str:
        self._explained += 1
        words = await explain(text) if self._explained <= MOST_EXPLAINED else UNKNOWN
        log.warning("router.row.refused", row=name, reason=words)
        return _refusal(name, words)


def _unexplained(name: str) -> str:
    return _refusal(name, UNKNOWN)


def _refusal(name: str, words: str) -> str:
    return f"the router refused what is asked for {name}: {words}"


def without_refused(state: State, table: RoutingTable) -> tuple[RoutingTable, tuple[Rejection, ...]]:
    """The table without rows that Envoy has refused before; they are not submitted again."""
    if not state.refused:
        return table, ()
    found = {c.release_id: state.refused.get(cluster_print(c)) for c in table.clusters}
    clusters = {release_id: words for release_id, words in found.items() if words is not None}
    seen = {r.host: state.refused.get(route_print(table, r)) for r in table.routes}
    hosts = {host: words for host, words in seen.items() if words is not None}
    return leave_out(state.applied, table, clusters=clusters, hosts=hosts)


def same_rows(one: RoutingTable, other: RoutingTable) -> bool:
    """Whether two tables have the same rows, whatever their generations."""
    return set(one.routes) == set(other.routes) and (
        {cluster_name(c) for c in one.clusters} == {cluster_name(c) for c in other.clusters}
    )


def _alone(table: RoutingTable, route: HostRoute) -> RoutingTable:
    clusters = tuple(c for c in table.clusters if c.release_id in route.named)
    return RoutingTable(0, clusters, (route,))
