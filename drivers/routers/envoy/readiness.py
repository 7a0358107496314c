"""Which endpoints must be able to take traffic before routes move, and waiting for them."""

from collections.abc import Sequence

from domain.errors import DependencyError
from drivers.routers.base import Endpoint, ReleaseCluster, RoutingTable
from drivers.routers.envoy.admin import Admin
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.render import cluster_name

ALL_HEALTHY_SHARE = 0.3


def must_be_healthy(old: RoutingTable, new: RoutingTable) -> tuple[ReleaseCluster, ...]:
    """Clusters that gain weight, or have weight and other endpoints than before.

    What does not change is not asked for: a service that broke by itself must not hold up everybody else's changes.
    """
    weights, before = _weights(new), _weights(old)
    known = set(map(cluster_name, old.clusters))
    gaining = {release for (host, release), w in weights.items() if w > before.get((host, release), 0)}
    routed = {release for (_, release), w in weights.items() if w}
    changed = {c.release_id for c in new.clusters if c.endpoints and cluster_name(c) not in known}
    return tuple(c for c in new.clusters if c.release_id in gaining | (routed & changed))


async def await_health(
    admin: Admin, wanted: Sequence[ReleaseCluster], deadline: Deadline, *, all_share: float = ALL_HEALTHY_SHARE
) -> None:
    """Return once all endpoints wanted are healthy; when a share of the time is over, one a release is enough.

    Raises:
        DependencyError: a release has none; `details.release_ids` names them.
    """
    dead: list[str] = []

    async def all_of_them() -> bool:
        usable = await _usable(admin)
        return all((cluster_name(c), e) in usable for c in wanted for e in c.endpoints)

    async def one_each() -> bool:
        nonlocal dead
        usable = await _usable(admin)
        dead = [c.release_id for c in wanted if not any((cluster_name(c), e) in usable for e in c.endpoints)]
        return not dead

    empty = [c.release_id for c in wanted if not c.endpoints]
    if empty:
        raise _not_able(empty, "has no instance in rotation")
    if await Deadline(deadline.left_s * all_share).until(all_of_them):
        return
    if not await deadline.until(one_each):
        raise _not_able(dead, "has no instance that passes the router's health check")


def _weights(table: RoutingTable) -> dict[tuple[str, str], int]:
    return {(route.host, t.release_id): t.weight for route in table.routes for t in route.targets}


async def _usable(admin: Admin) -> set[tuple[str, Endpoint]]:
    return {(name, h.endpoint) for name, hosts in (await admin.hosts()).items() for h in hosts if h.healthy}


def _not_able(release_ids: Sequence[str], why: str) -> DependencyError:
    return DependencyError(
        f"no traffic was moved: release {', '.join(release_ids[:5])} {why}",
        details={"release_ids": list(release_ids[:100])},
    )
