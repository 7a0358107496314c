"""Writing Envoy's files and waiting until Envoy has taken them."""

import asyncio
from collections.abc import Iterable

from domain.errors import DependencyError, ErrorCode, TerminalError
from drivers.routers.base import ReleaseCluster, RoutingTable
from drivers.routers.envoy.admin import CDS, RDS, Admin
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.explain import explain
from drivers.routers.envoy.files import ConfigFolder, write_atomically
from drivers.routers.envoy.render import Rendered, render_clusters, render_routes


class Publisher:
    """Puts files in front of Envoy. The generation goes into their versions."""

    def __init__(self, folder: ConfigFolder, admin: Admin, route_timeout_s: float) -> None:
        self._folder = folder
        self._admin = admin
        self._route_timeout_s = route_timeout_s

    async def write_clusters(self, generation: int, clusters: Iterable[ReleaseCluster]) -> Rendered:
        """Write the clusters without waiting."""
        rendered = render_clusters(generation, clusters)
        await asyncio.to_thread(write_atomically, self._folder.clusters, rendered.text)
        return rendered

    async def publish_clusters(self, generation: int, clusters: Iterable[ReleaseCluster], deadline: Deadline) -> None:
        """Write, and return once Envoy has taken the clusters; new ones may still be warming up."""
        before = (await self._admin.intake(CDS)).rejected
        rendered = await self.write_clusters(generation, clusters)
        await self._taken(CDS, "clusters", rendered, before, deadline)

    async def write_routes(self, table: RoutingTable) -> Rendered:
        """Write the routes without waiting."""
        rendered = render_routes(table, self._route_timeout_s)
        await asyncio.to_thread(write_atomically, self._folder.routes, rendered.text)
        return rendered

    async def publish_routes(self, table: RoutingTable, deadline: Deadline) -> None:
        """Write, and return once Envoy runs exactly these routes."""
        before = (await self._admin.intake(RDS)).rejected
        rendered = await self.write_routes(table)
        await self._taken(RDS, "routes", rendered, before, deadline)

    async def _taken(self, stat: str, noun: str, rendered: Rendered, rejected: int, deadline: Deadline) -> None:
        refused = False

        async def settled() -> bool:
            nonlocal refused
            seen = await self._admin.intake(stat)
            refused = seen.rejected > rejected
            return refused or seen.version == rendered.version

        if not await deadline.until(settled):
            raise DependencyError(f"the router did not take the new {noun} (version {rendered.version}) in time")
        if refused:
            file = self._folder.clusters if stat == CDS else self._folder.routes
            words = await explain(file)
            raise TerminalError(f"the router refused the new {noun}: {words}", code=ErrorCode.ROUTE_REJECTED)
