"""Endpoints that leave: told to Envoy as draining, watched until their requests are done, then removed."""

import asyncio
from collections.abc import Collection
from dataclasses import replace

from domain.errors import DependencyError
from drivers.routers.base import Endpoint, ReleaseCluster
from drivers.routers.envoy.admin import Admin, HostSeen
from drivers.routers.envoy.deadline import Deadline

QUIET_S = 0.1
LOOKS = 2
PATIENCE_S = 1.0

Place = tuple[str, Endpoint]


async def await_draining(admin: Admin, leaving: Collection[ReleaseCluster], deadline: Deadline) -> None:
    """Return once Envoy sends none of these endpoints a new request.

    Raises:
        DependencyError: it did not say so in time; nothing may be stopped yet.
    """
    places = {(c.release_id, e) for c in leaving for e in c.endpoints}

    async def told() -> bool:
        return not any(place in places and not host.draining for place, host in await _seen(admin))

    if not await deadline.until(told):
        raise DependencyError("the router did not stop using the instances that leave in time; try again")


async def still_busy(
    admin: Admin, leaving: tuple[ReleaseCluster, ...], deadline: Deadline
) -> tuple[ReleaseCluster, ...]:
    """Those of the leaving endpoints that have requests in flight, after waiting up to a second for their end.

    Looked at twice, because Envoy's workers learn of a change a moment after its admin interface shows it.
    """
    if not leaving:
        return ()
    limit = Deadline(min(PATIENCE_S, deadline.left_s))
    busy: frozenset[Place] = frozenset()

    async def quiet() -> bool:
        nonlocal busy
        busy = frozenset(place for place, host in await _seen(admin) if host.active_requests)
        return not any(_of(c, busy) for c in leaving)

    for look in range(LOOKS):
        if look:
            await asyncio.sleep(QUIET_S)
        await limit.until(quiet)
    return tuple(replace(c, endpoints=left) for c in leaving if (left := _of(c, busy)))


async def _seen(admin: Admin) -> list[tuple[Place, HostSeen]]:
    return [((release, h.endpoint), h) for release, hosts in (await admin.hosts()).items() for h in hosts]


def _of(cluster: ReleaseCluster, places: Collection[Place]) -> tuple[Endpoint, ...]:
    return tuple(e for e in cluster.endpoints if (cluster.release_id, e) in places)
