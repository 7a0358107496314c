"""Writing Envoy's files and waiting until Envoy has taken them."""

import asyncio
from collections.abc import Collection, Sequence

from domain.errors import DependencyError, ErrorCode, TerminalError
from drivers.routers.base import HostRoute, ReleaseCluster
from drivers.routers.envoy.admin import CDS, RDS, Admin
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.explain import explain
from drivers.routers.envoy.files import ConfigFolder, read_text, write_atomically
from drivers.routers.envoy.render import (
    Rendered,
    digest_in,
    render_clusters,
    render_endpoints,
    render_routes,
)
from drivers.routers.envoy.state import endpoints_of, merged


class Publisher:
    """Puts files in front of Envoy. `generation` goes into their versions."""

    def __init__(self, folder: ConfigFolder, admin: Admin, route_timeout_s: float) -> None:
        self._folder = folder
        self._admin = admin
        self._route_timeout_s = route_timeout_s

    async def write_clusters(
        self, generation: int, serving: Sequence[ReleaseCluster], draining: Sequence[ReleaseCluster]
    ) -> Rendered:
        """Endpoints first, because clusters name their files; a file that says the same already is left alone."""
        # Draining first: where both have a release, the settings of the serving one count.
        clusters = merged([*draining, *serving])
        for cluster in clusters:
            stay = endpoints_of(serving, cluster.release_id)
            leave = [e for e in cluster.endpoints if e not in stay]
            rendered = render_endpoints(generation, cluster.release_id, stay, leave)
            path = self._folder.endpoints(cluster.release_id)
            if digest_in(read_text(path)) != rendered.digest:
                await asyncio.to_thread(write_atomically, path, rendered.text)
        rendered = render_clusters(generation, clusters, self._folder)
        await asyncio.to_thread(write_atomically, self._folder.clusters, rendered.text)
        return rendered

    async def publish_clusters(
        self,
        generation: int,
        serving: Sequence[ReleaseCluster],
        deadline: Deadline,
        *,
        draining: Sequence[ReleaseCluster] = (),
    ) -> None:
        """Write, and return once Envoy has taken the list of clusters."""
        before = (await self._admin.intake(CDS)).rejected
        rendered = await self.write_clusters(generation, serving, draining)
        await self._taken(CDS, "clusters", rendered, before, deadline)

    async def write_routes(self, generation: int, routes: Sequence[HostRoute]) -> Rendered:
        """Write the routes without waiting."""
        rendered = render_routes(generation, routes, self._route_timeout_s)
        await asyncio.to_thread(write_atomically, self._folder.routes, rendered.text)
        return rendered

    async def publish_routes(self, generation: int, routes: Sequence[HostRoute], deadline: Deadline) -> None:
        """Write, and return once Envoy runs exactly these routes."""
        before = (await self._admin.intake(RDS)).rejected
        rendered = await self.write_routes(generation, routes)
        await self._taken(RDS, "routes", rendered, before, deadline)

    def forget_endpoints(self, kept: Collection[str]) -> None:
        """Remove the endpoint files of all releases that no cluster names any more."""
        for path in self._folder.endpoints_folder.glob("*.json"):
            if path.stem not in kept:
                path.unlink(missing_ok=True)

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
