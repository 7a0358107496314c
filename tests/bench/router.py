"""How fast a change of routes is live in Envoy, with a driver of its own, under load.

    .venv/bin/python -m tests.bench.router [--rounds N] [--rps N] [--releases N]

Times are read from Envoy's access log (milliseconds), so that measuring disturbs nothing.
"""

import argparse
import asyncio
import json
import multiprocessing
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from domain.routing import Endpoint, ReleaseCluster
from examples.client import Service
from tests.drivers.routers.bed import HOST, Bed, route
from tests.drivers.routers.upstreams import Upstream
from tests.support.load_process import load_on
from tests.support.waiting import until

RPS = 1000.0
NAMES = ("blue", "green")
PAUSE_S = 0.25


@dataclass(frozen=True)
class Switch:
    """One switch of all traffic, in milliseconds from the call of `apply`.

    Attributes:
        first_ms: the end of the first answer of the release that got the traffic.
        last_ms: the start of the last request that the other one got; 0 when it was before the call.
        apply_ms: the return of `apply`.
    """

    first_ms: float
    last_ms: float
    apply_ms: float


def switch_times(rounds: int, rps: float = RPS) -> list[float]:
    """Milliseconds from each call of `apply` to the end of the first answer served by the new weights."""
    return [switch.first_ms for switch in switches(rounds, rps)]


def switches(rounds: int, rps: float = RPS, releases: int = 2) -> list[Switch]:
    """Switch all traffic between two releases to and fro, `rounds` times; `releases` are in the table."""
    return asyncio.run(_switches(rounds, rps, releases))


async def _switches(rounds: int, rps: float, releases: int) -> list[Switch]:
    with _upstreams() as ports:
        clusters = [_cluster(NAMES[n % 2] + (f"-{n}" if n > 1 else ""), ports[n % 2]) for n in range(releases)]
        async with _bed() as bed:
            await bed.apply(clusters, route(blue=100, green=0))
            with load_on(Service(f"http://{HOST}", f"127.0.0.1:{bed.port}"), rps=rps, path="/"):
                await until(lambda: bool(_lines(bed.access_log, 0)))
                return [await _switch(bed, clusters, NAMES[1 - n % 2], NAMES[n % 2]) for n in range(rounds)]


async def _switch(bed: Bed, clusters: list[ReleaseCluster], to: str, away: str) -> Switch:
    await asyncio.sleep(PAUSE_S)  # the steady state between two switches
    offset = bed.access_log.stat().st_size
    table = bed.table(clusters, route(HOST, **{to: 100, away: 0}))
    asked, began = time.time() * 1000, time.perf_counter()
    await bed.router.apply(table)
    took = (time.perf_counter() - began) * 1000
    await until(lambda: any(line["cluster"] == to for line in _lines(bed.access_log, offset)))
    await asyncio.sleep(PAUSE_S)  # the log is written every 100 ms
    lines = _lines(bed.access_log, offset)
    first = min(int(line["start_ms"]) + int(line["duration_ms"]) for line in lines if line["cluster"] == to)
    last = max((int(line["start_ms"]) for line in lines if line["cluster"] == away), default=0)
    return Switch(first_ms=first - asked, last_ms=max(0.0, last - asked), apply_ms=took)


def _cluster(release_id: str, port: int) -> ReleaseCluster:
    return ReleaseCluster(release_id, (Endpoint("127.0.0.1", port),), "/health")


def _lines(log: Path, offset: int) -> list[dict[str, Any]]:
    with log.open("rb") as file:
        file.seek(offset)
        return [json.loads(line) for line in file if line.startswith(b"{") and line.endswith(b"}\n")]


@asynccontextmanager
async def _bed() -> AsyncIterator[Bed]:
    root = Path(tempfile.mkdtemp(prefix="ev-", dir="/tmp"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    bed = Bed(root, port)
    await bed.start()
    try:
        yield bed
    finally:
        await bed.close()
        await bed.kill()
        shutil.rmtree(root)


@contextmanager
def _upstreams() -> Iterator[list[int]]:
    """Both upstreams in a process of their own; gives their ports."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield mine.recv()
    finally:
        process.kill()
        process.join()


def _serve(parent: Connection) -> None:
    async def serve() -> None:
        parent.send([(await Upstream(name).start()).port for name in NAMES])
        await asyncio.Event().wait()

    asyncio.run(serve())


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.router", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--rps", type=float, default=RPS)
    parser.add_argument("--releases", type=int, default=2)
    options = parser.parse_args()
    seen = switches(options.rounds, options.rps, options.releases)
    for name in ("first_ms", "last_ms", "apply_ms"):
        times = sorted(getattr(switch, name) for switch in seen)
        sys.stdout.write(f"{name}: median {statistics.median(times):.1f}, slowest {times[-1]:.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
