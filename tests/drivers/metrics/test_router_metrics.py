import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from domain.canary.policy import AnalysisPolicy
from drivers.metrics.router import RouterMetrics
from tests.drivers.metrics.conformance import CANARY, STABLE, MetricConformance
from tests.drivers.routers.bed import Bed, cluster, route
from tests.drivers.routers.upstreams import Upstream
from tests.support.services import free_port


class Envoy:
    """A real Envoy with two releases behind hosts of their own."""

    policy = AnalysisPolicy()

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self.provider = RouterMetrics(bed.router)
        self._upstreams: dict[str, Upstream] = {}

    async def route(self) -> None:
        self._upstreams = {release: await self._bed.upstream(release) for release in (STABLE, CANARY)}
        clusters = [cluster(release, upstream) for release, upstream in self._upstreams.items()]
        await self._bed.apply(clusters, *(route(self._host(release), **{release: 100}) for release in (STABLE, CANARY)))

    async def serve(self, release: str, requests: int, *, errors: int = 0, seconds: float = 0.0) -> None:
        upstream, host = self._upstreams[release], self._host(release)
        for number in range(requests):
            path = "/fail" if number < errors else "/slow" if seconds else "/"
            asked = asyncio.create_task(self._bed.get(path, host=host))
            if path == "/slow":  # as long as it says from when it has come there, which a busy machine does late
                await upstream.waiting.wait()
                await asyncio.sleep(seconds)
                upstream.release.set()
            await asked
            upstream.waiting.clear()
            upstream.release.clear()

    async def begin_anew(self) -> None:
        await self.die()
        await self.revive()

    async def die(self) -> None:
        await self._bed.kill()

    async def revive(self) -> None:
        await self._bed.start()

    @staticmethod
    def _host(release: str) -> str:
        return f"{release}.localhost"


@pytest.fixture(scope="module")
async def source() -> AsyncIterator[Envoy]:
    root = Path(tempfile.mkdtemp(prefix="ev-", dir="/tmp"))
    bed = Bed(root, free_port())
    await bed.start()
    envoy = Envoy(bed)
    await envoy.route()
    yield envoy
    await bed.close()
    await bed.kill()
    for upstream in bed.upstreams:
        await upstream.stop()
    shutil.rmtree(root)


class TestRouter(MetricConformance):
    pass
