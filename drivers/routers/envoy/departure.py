"""Clusters that left the routes: watched until their requests are done, and only then removed."""

import asyncio

from drivers.routers.base import ReleaseCluster
from drivers.routers.envoy.admin import Admin
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.render import cluster_name

QUIET_S = 0.1
LOOKS = 2
PATIENCE_S = 1.0


async def still_busy(
    admin: Admin, leaving: tuple[ReleaseCluster, ...], deadline: Deadline
) -> tuple[ReleaseCluster, ...]:
    """Those of the leaving clusters that have requests in flight, after waiting up to a second for their end.

    Looked at twice, because Envoy's workers learn of new routes a moment after its admin interface shows them.
    """
    limit = Deadline(min(PATIENCE_S, deadline.left_s))
    busy = leaving

    async def quiet() -> bool:
        nonlocal busy
        active = {name for name, hosts in (await admin.hosts()).items() if any(h.active_requests for h in hosts)}
        busy = tuple(c for c in leaving if cluster_name(c) in active)
        return not busy

    for _ in range(LOOKS if leaving else 0):
        await asyncio.sleep(QUIET_S)
        await limit.until(quiet)
    return busy
