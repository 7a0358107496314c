"""Writes Envoy's files and waits until Envoy has applied them."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from domain.errors import DependencyError
from domain.routing import ReleaseCluster, RoutingTable
from drivers.routers.envoy.admin import CDS, RDS, Admin, Versions
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.files import ConfigFolder, read_head
from drivers.routers.envoy.refusals import RefusedError
from drivers.routers.envoy.render import Rendered, render_clusters, render_routes, same_content, version_in
from runtime.files import write_whole

SILENCE_S = 0.1
"""Envoy applies a file within milliseconds; after this long, check whether it refused it."""


class Publisher:
    """Writes files for Envoy. The generation is part of their versions."""

    def __init__(self, folder: ConfigFolder, admin: Admin) -> None:
        self._folder = folder
        self._admin = admin

    def write_clusters(self, generation: int, clusters: Iterable[ReleaseCluster]) -> Rendered:
        """Write the clusters without waiting."""
        rendered = render_clusters(generation, clusters)
        write_whole(self._folder.clusters, rendered.text, sync=False)
        return rendered

    async def publish_clusters(
        self, generation: int, clusters: Iterable[ReleaseCluster], deadline: Deadline, running: str = ""
    ) -> None:
        """Write, and return once Envoy has accepted the clusters; new ones may still be warming up.

        Does nothing if the file and Envoy, which runs the version `running`, have exactly these already.

        Raises:
            RefusedError: Envoy refuses them.
            DependencyError: Envoy does not confirm in time.
        """
        rendered = render_clusters(generation, clusters)
        if self._is_live(self._folder.clusters, running) and same_content(running, rendered.version):
            return
        write_whole(self._folder.clusters, rendered.text, sync=False)
        await self._taken(CDS, "clusters", self._folder.clusters, rendered, deadline)

    def write_routes(self, table: RoutingTable) -> Rendered:
        """Write the routes without waiting."""
        rendered = render_routes(table)
        write_whole(self._folder.routes, rendered.text, sync=False)
        return rendered

    async def publish_routes(self, table: RoutingTable, deadline: Deadline, running: str = "") -> None:
        """Write, and return once Envoy runs exactly these routes. Does nothing if they are live already."""
        rendered = render_routes(table)
        if self._is_live(self._folder.routes, running) and running == rendered.version:
            return
        write_whole(self._folder.routes, rendered.text, sync=False)
        await self._taken(RDS, "routes", self._folder.routes, rendered, deadline)

    def version_of(self, table: RoutingTable) -> str:
        """The version of the table's routes."""
        return render_routes(table).version

    def is_live(self, running: Versions, clusters: Iterable[ReleaseCluster]) -> bool:
        """Whether Envoy runs these clusters and some routes, and the files contain the same, for a restart."""
        files = ((self._folder.clusters, running.clusters), (self._folder.routes, running.routes))
        return all(self._is_live(file, version) for file, version in files) and same_content(
            running.clusters, render_clusters(0, clusters).version
        )

    @staticmethod
    def _is_live(file: Path, running: str) -> bool:
        return running != "" and running == version_in(read_head(file))

    async def _taken(self, stat: str, noun: str, file: Path, rendered: Rendered, deadline: Deadline) -> None:
        async def runs() -> bool:
            return _of(stat, await self._admin.versions()) == rendered.version

        if await Deadline(min(SILENCE_S, deadline.left_s)).until(runs):
            return
        if await self._refused_again(stat, file, rendered, deadline):
            raise RefusedError(noun)
        if not await deadline.until(runs):
            raise DependencyError(f"the router did not take the new {noun} (version {rendered.version}) in time")

    async def _refused_again(self, stat: str, file: Path, rendered: Rendered, deadline: Deadline) -> bool:
        """Submit the same file once more and see whether Envoy accepts or refuses it.

        Envoy only counts refusals, and reading the counter takes 10 ms with hundreds of clusters: too long before each
        write. So it is read only in doubt, and a second refusal proves the first.
        """
        before = await self._admin.rejected(stat)
        await asyncio.to_thread(write_whole, file, rendered.text, sync=True)
        refused = False

        async def settled() -> bool:
            nonlocal refused
            taken = _of(stat, await self._admin.versions()) == rendered.version
            refused = not taken and await self._admin.rejected(stat) > before
            return taken or refused

        await deadline.until(settled)
        return refused


def _of(stat: str, versions: Versions) -> str:
    return versions.clusters if stat == CDS else versions.routes
