"""What the bridge of isolated instances costs: the same service with and without it, in turns, in one run.

    .venv/bin/python -m tests.bench.bridge [--rounds N]

One client asks the example in C as fast as it answers, over a kept connection and over a new one each time; then many
ask through Envoy at a fixed rate. A bridge in the host's network does the same work as one in a network of its own.
"""

import argparse
import asyncio
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.routing import Endpoint, ReleaseCluster
from drivers.shim import proc
from tests.drivers.bridge.bed import Bridge, begin, free_port
from tests.drivers.routers.bed import HOST, Bed, route
from tests.support.loadgen import LoadPlan, run_load
from tests.support.services import listens, until

REQUEST = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n"
REQUESTS = 3000
RPS = 500
SECONDS = 5.0
Dial = Callable[[], socket.socket]


@dataclass(frozen=True)
class Cost:
    """Of requests one after the other: how many a second, and microseconds each (median, p99)."""

    per_second: float
    median_us: float
    p99_us: float

    @classmethod
    def of(cls, times: Sequence[float], whole_s: float) -> "Cost":
        ordered = sorted(times)
        p99 = ordered[int(0.99 * (len(ordered) - 1))]
        return cls(len(times) / whole_s, statistics.median(ordered) * 1e6, p99 * 1e6)

    def __str__(self) -> str:
        return f"{self.per_second:8.0f}/s   median {self.median_us:6.0f} us   p99 {self.p99_us:6.0f} us"


def ask(sock: socket.socket) -> None:
    """One request and its whole answer."""
    sock.sendall(REQUEST)
    data = sock.recv(65536)
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)


def kept(dial: Dial) -> Cost:
    """All over one connection."""
    times = []
    with dial() as sock:
        began = time.perf_counter()
        for _ in range(REQUESTS):
            at = time.perf_counter()
            ask(sock)
            times.append(time.perf_counter() - at)
    return Cost.of(times, time.perf_counter() - began)


def fresh(dial: Dial) -> Cost:
    """Each over a connection of its own."""
    times = []
    began = time.perf_counter()
    for _ in range(REQUESTS):
        at = time.perf_counter()
        with dial() as sock:
            ask(sock)
        times.append(time.perf_counter() - at)
    return Cost.of(times, time.perf_counter() - began)


async def measure(folder: Path, rounds: int) -> None:
    port = free_port()
    with _service(folder, port) as service:
        await asyncio.to_thread(until, lambda: listens(port), "the service")
        bridge = await begin(folder, port=port)
        try:
            await _alone(port, bridge, rounds)
            await _behind_envoy(folder, port, bridge, rounds)
            memory = proc.resident_bytes([bridge.pid]) / 1024, proc.proportional_bytes(bridge.pid)[0] / 1024
            say(f"memory of the bridge: {memory[0]:.0f} KiB resident, {memory[1]:.0f} KiB of its own share")
        finally:
            await bridge.end()
            service.kill()


async def _alone(port: int, bridge: Bridge, rounds: int) -> None:
    ways: dict[str, Dial] = {
        "127.0.0.1": lambda: socket.create_connection(("127.0.0.1", port)),
        "unix socket and bridge": bridge.dial,
    }
    for words, how in (("over one connection", kept), ("a connection each", fresh)):
        say(f"{REQUESTS} requests one after the other, {words}, the best of {rounds}:")
        found: dict[str, list[Cost]] = {name: [] for name in ways}
        used, asked = bridge.cpu_s(), 0
        for _ in range(rounds):
            for name, dial in ways.items():
                found[name].append(await asyncio.to_thread(how, dial))
            asked += REQUESTS
        for name, costs in found.items():
            say(f"  {name:24}{max(costs, key=lambda cost: cost.per_second)}")
        say(f"  processor time of the bridge: {(bridge.cpu_s() - used) / asked * 1e6:.0f} us a request")


async def _behind_envoy(folder: Path, port: int, bridge: Bridge, rounds: int) -> None:
    bed = Bed(folder, free_port())
    await bed.start()
    try:
        say(f"through Envoy at {RPS} requests/s for {SECONDS:g} s, {rounds} times in turns:")
        ways = {"127.0.0.1": Endpoint("127.0.0.1", port), "unix socket and bridge": Endpoint.pipe(str(bridge.path))}
        for _ in range(rounds):
            for name, endpoint in ways.items():
                await bed.apply([ReleaseCluster("bench", (endpoint,), "/healthz")], route(bench=100))
                met = await run_load(LoadPlan(f"http://127.0.0.1:{bed.port}/version", HOST, RPS, SECONDS))
                say(f"  {name:24}median {met.p50_ms:7.2f} ms   p99 {met.p99_ms:7.2f} ms   failed {met.failures}")
    finally:
        await bed.close()
        await bed.kill()


def _service(folder: Path, port: int) -> subprocess.Popen[bytes]:
    source = Path(__file__).resolve().parents[2] / "examples" / "hello-c"
    built = folder / "hello"
    shutil.copytree(source, built)
    subprocess.run(["make", "-s"], cwd=built, check=True, stdout=subprocess.DEVNULL)
    return subprocess.Popen(["./hello"], cwd=built / "dist", env={"PORT": str(port)}, stdout=subprocess.DEVNULL)


def say(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bridge", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="bb-") as folder:
        asyncio.run(measure(Path(folder), rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
