"""Which endpoints must be able to take traffic before routes move, and waiting for them."""

from collections.abc import Mapping, Sequence

from domain.errors import DependencyError
from drivers.routers.base import Endpoint, RoutingTable
from drivers.routers.envoy.admin import Admin, HostSeen
from drivers.routers.envoy.deadline import Deadline

ALL_HEALTHY_SHARE = 0.3


def must_be_healthy(old: RoutingTable, new: RoutingTable) -> dict[str, tuple[Endpoint, ...]]:
    """Endpoints by release: of those that gain weight, or have weight and other endpoints than before.

    What does not change is not asked for: a service that broke by itself must not hold up everybody else's changes.
    """
    weights, before = _weights(new), _weights(old)
    known = {c.release_id: frozenset(c.endpoints) for c in old.clusters}
    endpoints = {c.release_id: c.endpoints for c in new.clusters}
    gaining = {release for (host, release), w in weights.items() if w > before.get((host, release), 0)}
    routed = {release for (_, release), w in weights.items() if w}
    changed = {r for r in routed if endpoints[r] and frozenset(endpoints[r]) != known.get(r)}
    return {release: endpoints[release] for release in sorted(gaining | changed)}


async def await_health(
    admin: Admin, wanted: Mapping[str, Sequence[Endpoint]], deadline: Deadline, *, all_share: float = ALL_HEALTHY_SHARE
) -> None:
    """Return once all wanted endpoints are healthy; when a share of the time is over, one a release is enough.

    Raises:
        DependencyError: a release has none; `details.release_ids` names them.
    """
    dead: list[str] = []

    async def all_of_them() -> bool:
        usable = _usable(await admin.hosts())
        return all((r, e) in usable for r, endpoints in wanted.items() for e in endpoints)

    async def one_each() -> bool:
        nonlocal dead
        usable = _usable(await admin.hosts())
        dead = [r for r, endpoints in wanted.items() if not any((r, e) in usable for e in endpoints)]
        return not dead

    empty = [r for r, endpoints in wanted.items() if not endpoints]
    if empty:
        raise _not_able(empty, "has no instance in rotation")
    if await Deadline(deadline.left_s * all_share).until(all_of_them):
        return
    if not await deadline.until(one_each):
        raise _not_able(dead, "has no instance that passes the router's health check")


def _weights(table: RoutingTable) -> dict[tuple[str, str], int]:
    return {(route.host, t.release_id): t.weight for route in table.routes for t in route.targets}


def _usable(seen: Mapping[str, Sequence[HostSeen]]) -> set[tuple[str, Endpoint]]:
    return {(release, h.endpoint) for release, hosts in seen.items() for h in hosts if h.healthy}


def _not_able(release_ids: Sequence[str], why: str) -> DependencyError:
    return DependencyError(
        f"no traffic was moved: release {', '.join(release_ids[:5])} {why}",
        details={"release_ids": list(release_ids[:100])},
    )
