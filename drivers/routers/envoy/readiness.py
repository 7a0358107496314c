"""Determines which endpoints must be ready before routes move, and waits for them."""

from collections.abc import Collection, Iterator
from functools import partial

from domain.routing import Endpoint, ReleaseCluster, RoutingTable
from drivers.routers.base import ReadinessRule
from drivers.routers.envoy.admin import Admin
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.render import cluster_name
from drivers.routers.envoy.state import State

ALL_HEALTHY_SHARE = 0.3
# The rest of the time is for everybody else's routes.
ONE_HEALTHY_SHARE = 0.7


def must_be_healthy(old: RoutingTable, new: RoutingTable) -> tuple[ReleaseCluster, ...]:
    """Clusters that gain weight or a preview, or are reachable with other endpoints than before.

    Unchanged clusters are not included: a service that breaks by itself must not hold up other changes.
    """
    weights, before = _weights(new), _weights(old)
    known = set(map(cluster_name, old.clusters))
    gaining = {release for (host, release), w in weights.items() if w > before.get((host, release), 0)}
    gaining |= {release for _, release in _previews(new) - _previews(old)}
    reached = {release for route in new.routes for release in route.reached}
    changed = {c.release_id for c in new.clusters if c.endpoints and cluster_name(c) not in known}
    return tuple(c for c in new.clusters if c.release_id in gaining | (reached & changed))


class EndpointSnapshot:
    """The health of clusters that are to receive traffic, as Envoy last reported it.

    Args:
        admin: Envoy's admin interface.
        old: the applied table, with `held`, the releases that were not ready before: checked, but not waited for.
        new: the table to apply.
        readiness: the requirement; None: all endpoints for a part of the time, then one per release. All endpoints are
            required of new clusters only: if a serving cluster lost an instance, the others take the traffic.
    """

    def __init__(self, admin: Admin, old: State, new: RoutingTable, readiness: ReadinessRule | None = None) -> None:
        self._admin = admin
        self._old = old
        self._wanted = {cluster_name(c): c for c in must_be_healthy(old.applied, new)}
        self._known = frozenset(map(cluster_name, old.applied.clusters))
        self._held = frozenset(old.held)
        self._readiness = readiness
        self._usable: set[tuple[str, Endpoint]] = set()

    def at(self, table: RoutingTable) -> "EndpointSnapshot":
        """The same for another table, with the health seen so far."""
        look = EndpointSnapshot(self._admin, self._old, table, self._readiness)
        look._usable = self._usable
        return look

    async def refresh(self) -> None:
        """Read the health, if any is needed."""
        if self._wanted:
            seen = await self._admin.hosts(self._wanted)
            self._usable = {(name, h.endpoint) for name, hosts in seen.items() for h in hosts if h.healthy}

    async def until_ready(self, deadline: Deadline) -> frozenset[str]:
        """Return once the releases are as ready as required, or the time is over.

        Earlier readings may suffice: a cluster never changes.

        Returns:
            The releases that are not ready.
        """
        for every_endpoint, seconds in self._phases(deadline):
            if self._nothing_to_hope_for(every_endpoint=every_endpoint):
                break
            if await Deadline(seconds).until(partial(self._look_again, every_endpoint=every_endpoint)):
                break
        return self._not_ready(every_endpoint=every_endpoint)

    def _phases(self, deadline: Deadline) -> Iterator[tuple[bool, float]]:
        """The requirements in order, with the seconds for each."""
        if self._readiness is not None:
            yield self._readiness.every_endpoint, min(self._readiness.wait_s, deadline.left_s)
            return
        yield True, deadline.left_s * ALL_HEALTHY_SHARE
        yield False, deadline.left_s * ONE_HEALTHY_SHARE

    async def _look_again(self, *, every_endpoint: bool) -> bool:
        await self.refresh()
        return self._nothing_to_hope_for(every_endpoint=every_endpoint)

    def _nothing_to_hope_for(self, *, every_endpoint: bool) -> bool:
        """Whether all are ready but those that are not expected to become so."""
        hopeful = {c.release_id for c in self._wanted.values() if c.endpoints} - self._held
        return not hopeful & self._not_ready(every_endpoint=every_endpoint)

    def _not_ready(self, *, every_endpoint: bool) -> frozenset[str]:
        return frozenset(
            c.release_id
            for name, c in self._wanted.items()
            if not self._ready(name, c, every_endpoint=every_endpoint and name not in self._known)
        )

    def _ready(self, name: str, cluster: ReleaseCluster, *, every_endpoint: bool) -> bool:
        healthy = [(name, endpoint) in self._usable for endpoint in cluster.endpoints]
        return all(healthy) and healthy != [] if every_endpoint else any(healthy)


def hold_back(old: RoutingTable, new: RoutingTable, dead: Collection[str]) -> RoutingTable:
    """The new table, except that hosts that would get an unready release keep their routes of the old one.

    Its generation stays below the new table's, so that this can be applied again.
    """
    hosts = {route.host for route in new.routes if route.reached.intersection(dead)}
    # Reachable and ready in both tables: then its present state counts, whatever holds the others back.
    able = {release_id for route in new.routes if route.host in hosts for release_id in route.reached}.difference(dead)
    return keep_hosts(old, new, hosts, able, generation=new.generation - 1)


def keep_hosts(
    old: RoutingTable, new: RoutingTable, hosts: Collection[str], able: Collection[str], *, generation: int
) -> RoutingTable:
    """The new table with these hosts' routes of the old one.

    If the new table has no cluster for them, or none of those that are `able` to take traffic, the old table's is used.
    """
    kept = tuple(route for route in old.routes if route.host in hosts)
    needed = {release_id for route in kept for release_id in route.named}.difference(able)
    clusters = {c.release_id: c for c in new.clusters} | {
        c.release_id: c for c in old.clusters if c.release_id in needed
    }
    routes = (*(route for route in new.routes if route.host not in hosts), *kept)
    return RoutingTable(generation, tuple(clusters.values()), routes)


def _weights(table: RoutingTable) -> dict[tuple[str, str], int]:
    return {(route.host, t.release_id): t.weight for route in table.routes for t in route.targets}


def _previews(table: RoutingTable) -> set[tuple[str, str]]:
    return {(route.host, p.release_id) for route in table.routes for p in route.previews}
