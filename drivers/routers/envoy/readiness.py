"""Which endpoints must be able to take traffic before routes move, and waiting for them."""

from collections.abc import Collection, Sequence

from drivers.routers.base import Endpoint, ReleaseCluster, RoutingTable
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
    admin: Admin, wanted: Sequence[ReleaseCluster], deadline: Deadline, *, known_bad: Collection[str] = ()
) -> frozenset[str]:
    """Return once all endpoints wanted are healthy; when a share of the time is over, one a release is enough.

    Args:
        admin: where Envoy tells.
        wanted: what is to take traffic.
        deadline: ends the waiting.
        known_bad: releases that were not able before: looked at, but not waited for.

    Returns:
        The releases that have no healthy endpoint.
    """
    hopeful = [c for c in wanted if c.endpoints and c.release_id not in known_bad]
    names = [cluster_name(c) for c in wanted]
    usable: set[tuple[str, Endpoint]] = set()

    async def all_of_them() -> bool:
        nonlocal usable
        usable = await _usable(admin, names)
        return all((cluster_name(c), e) in usable for c in hopeful for e in c.endpoints)

    async def one_each() -> bool:
        nonlocal usable
        usable = await _usable(admin, names)
        return not _dead(hopeful, usable)

    if wanted and not await Deadline(deadline.left_s * ALL_HEALTHY_SHARE).until(all_of_them):
        await Deadline(deadline.left_s * ONE_HEALTHY_SHARE).until(one_each)
    return _dead(wanted, usable)


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


async def _usable(admin: Admin, clusters: Collection[str]) -> set[tuple[str, Endpoint]]:
    return {(name, h.endpoint) for name, hosts in (await admin.hosts(clusters)).items() for h in hosts if h.healthy}


def _dead(clusters: Sequence[ReleaseCluster], usable: Collection[tuple[str, Endpoint]]) -> frozenset[str]:
    return frozenset(c.release_id for c in clusters if not any((cluster_name(c), e) in usable for e in c.endpoints))
