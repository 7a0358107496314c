"""Which endpoints must be able to take traffic before routes move, and waiting for them."""

from collections.abc import Collection, Sequence

from drivers.routers.base import Endpoint, Readiness, ReleaseCluster, RoutingTable
from drivers.routers.envoy.admin import Admin
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.render import cluster_name

ALL_HEALTHY_SHARE = 0.3
# What is left is for the routes of everybody else.
ONE_HEALTHY_SHARE = 0.7


def must_be_healthy(old: RoutingTable, new: RoutingTable) -> tuple[ReleaseCluster, ...]:
    """Clusters that gain weight or a preview, or are reached and have other endpoints than before.

    What does not change is not asked for: a service that broke by itself must not hold up everybody else's changes.
    """
    weights, before = _weights(new), _weights(old)
    known = set(map(cluster_name, old.clusters))
    gaining = {release for (host, release), w in weights.items() if w > before.get((host, release), 0)}
    gaining |= {release for _, release in _previews(new) - _previews(old)}
    reached = {release for route in new.routes for release in route.reached}
    changed = {c.release_id for c in new.clusters if c.endpoints and cluster_name(c) not in known}
    return tuple(c for c in new.clusters if c.release_id in gaining | (reached & changed))


async def await_health(
    admin: Admin,
    wanted: Sequence[ReleaseCluster],
    deadline: Deadline,
    *,
    known_bad: Collection[str] = (),
    readiness: Readiness | None = None,
) -> frozenset[str]:
    """Return once the releases are as ready as they have to be, or the time for that is over.

    Args:
        admin: where Envoy tells.
        wanted: what is to take traffic.
        deadline: ends the waiting.
        known_bad: releases that were not able before: looked at, but not waited for.
        readiness: what is asked; None: all endpoints for a share of the time, then one a release.

    Returns:
        The releases that are not ready.
    """
    if not wanted:
        return frozenset()
    look = _Look(admin, wanted, known_bad)
    if readiness is not None:
        condition = look.all_healthy if readiness.every_endpoint else look.one_healthy_each
        await Deadline(min(readiness.wait_s, deadline.left_s)).until(condition)
        return look.not_ready(every_endpoint=readiness.every_endpoint)
    if not await Deadline(deadline.left_s * ALL_HEALTHY_SHARE).until(look.all_healthy):
        await Deadline(deadline.left_s * ONE_HEALTHY_SHARE).until(look.one_healthy_each)
    return look.not_ready(every_endpoint=False)


class _Look:
    """The health of the wanted clusters, as seen last."""

    def __init__(self, admin: Admin, wanted: Sequence[ReleaseCluster], known_bad: Collection[str]) -> None:
        self._admin = admin
        self._wanted = {cluster_name(c): c for c in wanted}
        self._known_bad = frozenset(known_bad)
        self._usable: set[tuple[str, Endpoint]] = set()

    async def all_healthy(self) -> bool:
        """Look; whether all that is hoped for is there."""
        await self._look()
        return self._nothing_better_to_come(every_endpoint=True)

    async def one_healthy_each(self) -> bool:
        """Look; whether every release that is hoped for has one."""
        await self._look()
        return self._nothing_better_to_come(every_endpoint=False)

    def not_ready(self, *, every_endpoint: bool) -> frozenset[str]:
        """Releases that lack what is asked."""
        enough = all if every_endpoint else any
        return frozenset(
            c.release_id
            for name, c in self._wanted.items()
            if not c.endpoints or not enough((name, e) in self._usable for e in c.endpoints)
        )

    def _nothing_better_to_come(self, *, every_endpoint: bool) -> bool:
        """Whether only those are left that nothing better is expected of."""
        hopeful = {c.release_id for c in self._wanted.values() if c.endpoints} - self._known_bad
        return not hopeful & self.not_ready(every_endpoint=every_endpoint)

    async def _look(self) -> None:
        seen = await self._admin.hosts(self._wanted)
        self._usable = {(name, h.endpoint) for name, hosts in seen.items() for h in hosts if h.healthy}


def hold_back(old: RoutingTable, new: RoutingTable, dead: Collection[str]) -> RoutingTable:
    """The new table, but for the hosts that would get a dead release: those stay as they are in the old one.

    Its generation stays below the new table's, so that this can be applied again.
    """
    hosts = {route.host for route in new.routes if route.reached.intersection(dead)}
    kept = tuple(route for route in old.routes if route.host in hosts)
    needed = {release_id for route in kept for release_id in route.named}
    clusters = {c.release_id: c for c in new.clusters} | {
        c.release_id: c for c in old.clusters if c.release_id in needed
    }
    routes = (*(route for route in new.routes if route.host not in hosts), *kept)
    return RoutingTable(new.generation - 1, tuple(clusters.values()), routes)


def _weights(table: RoutingTable) -> dict[tuple[str, str], int]:
    return {(route.host, t.release_id): t.weight for route in table.routes for t in route.targets}


def _previews(table: RoutingTable) -> set[tuple[str, str]]:
    return {(route.host, p.release_id) for route in table.routes for p in route.previews}
