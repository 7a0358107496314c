"""What metrics cost: CPU of two API processes for the same requests, one that counts and one that does not, by turns.

`python -m tests.bench.metering [--pairs N]` starts a stack of its own. The layer by itself, around an application that
does nothing, is measured too: a whole request varies by more than what it adds.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.metering import Metering
from runtime.meter import Meter, cache_hit
from tests.bench.api import CONNECTIONS, ROOT, bench_platform, served
from tests.bench.cpu import cpu_s, in_percent
from tests.support.platform import Platform

PAIRS = 30
SECONDS = 1.0


def cost(platform: Platform, pairs: int = PAIRS) -> str:
    """In words: microseconds of CPU a request with metrics and without, and the median of what each pair differs by."""
    path = f"/v1/deployments/{platform.app('metering').ship_good().deployment['id']}"
    found: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        token = Path(folder) / "token"
        token.write_text(platform.stack.token())
        with served(platform) as whole, served(platform, "--without", "metering") as plain:
            for number in range(pairs + 1):
                turn = [whole, plain] if number % 2 else [plain, whole]
                spent = {server: _spent(*server, token, path) for server in turn}
                if number:  # the first pair warms up
                    found.append((spent[whole], spent[plain]))
    ours, theirs = (statistics.median(column) * 1e6 for column in zip(*found, strict=True))
    more = in_percent([one / other for one, other in found])
    return f"{ours:.0f} us, without {theirs:.0f} us; by {len(found)} pairs {more}"


def layer(pairs: int = PAIRS, requests: int = 10_000) -> str:
    """In words: microseconds of CPU that the layer adds to a request with three cache lookups and one query."""
    meter = Meter()

    async def counted(_: Scope, __: Receive, send: Send) -> None:
        for _ in range(3):
            cache_hit()
        meter.query_ended(meter.query_began())
        await _answer(send)

    async def plain(_: Scope, __: Receive, send: Send) -> None:
        await _answer(send)

    async def measured() -> list[float]:
        ours = Metering(counted, meter)
        return [(await _alone(ours, requests) - await _alone(plain, requests)) * 1e6 for _ in range(pairs)]

    added = sorted(asyncio.run(measured()))
    quarter = len(added) // 4
    spread = f"half of {pairs} between {added[quarter]:.1f} and {added[-1 - quarter]:.1f}"
    return f"{statistics.median(added):.1f} us ({spread})"


async def _answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def _alone(app: ASGIApp, requests: int) -> float:
    """CPU seconds for a request."""

    async def nowhere(_: Message) -> None:
        return

    async def nothing() -> Message:
        return {"type": "http.request"}

    began = time.process_time()
    for _ in range(requests):
        await app({"type": "http", "path": "/v1/deployments/one", "state": {}}, nothing, nowhere)
    return (time.process_time() - began) / requests


def _spent(port: int, pid: int, token: Path, path: str) -> float:
    """CPU seconds of the process for a request."""
    command = [sys.executable, "-m", "tests.bench.http_rate", "--port", str(port), "--token-file", str(token)]
    options = ["--answers", "--connections", str(CONNECTIONS), "--seconds", str(SECONDS)]
    before = cpu_s(pid)
    done = subprocess.run([*command, *options, path], cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    return (cpu_s(pid) - before) / int(done.stdout)


def main() -> int:
    """Start a stack, measure, stop it."""
    parser = argparse.ArgumentParser(prog="metering", description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    pairs = parser.parse_args().pairs
    sys.stdout.write(f"the layer alone: {layer(pairs)}\n")
    with bench_platform() as platform:
        sys.stdout.write(f"{cost(platform, pairs)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
