"""What the way out costs: builds that install packages, and downloads, with the proxy and without, in turn.

.venv/bin/python -m tests.bench.egress [--rounds N] [--allow DESTINATIONS] PACKAGE...

Without: a build of trusted code, which has the machine's network. `--allow` is `DELIVERY_CODE_EGRESS`, where packages
come from a mirror that is not on the public internet. Downloads come from a server of ours on loopback.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from drivers.builders.base import Builder
from drivers.builders.bubblewrap import BubblewrapBuilder
from drivers.egress.sandboxes import Sandboxes
from runtime.settings import ROOT, Settings
from tests.bench.__main__ import say
from tests.drivers.builders.workspace import Workspace

MIB = 1024 * 1024
DOWNLOAD_MIB = 256
REQUESTS = 200
DOWNLOAD = """
import time, urllib.request
began = time.monotonic()
with urllib.request.urlopen("{url}") as answer:
    while answer.read(1 << 20):
        pass
print("SECONDS", time.monotonic() - began)
"""
CONNECT = """
import http.client, time
began = time.monotonic()
for _ in range({count}):
    made = http.client.HTTPConnection(*{first})
    {tunnel}
    made.request("GET", "/0")
    made.getresponse().read()
    made.close()
print("SECONDS", (time.monotonic() - began) / {count})
"""


def main() -> int:
    """Measure, and say."""
    parser = argparse.ArgumentParser(prog="egress", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--allow", default="")
    parser.add_argument("packages", nargs="*")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-egress-") as folder:
        asyncio.run(measure(Path(folder), given.rounds, given.allow, given.packages))
    return 0


async def measure(root: Path, rounds: int, allow: str, packages: list[str]) -> None:
    """Each figure is the median of all rounds, a round with and one without in turn."""
    async with serving() as port:
        with proxy(root / "data", f"127.0.0.1:{port},{allow}".rstrip(",")) as process:
            sides = {
                "with": BubblewrapBuilder((root,), ways=Sandboxes(Settings(data_dir=root / "data").egress_dir)),
                "without": BubblewrapBuilder((root,), trusted=True),
            }
            steps = {"pip": f"python3 -m venv v && v/bin/pip install -q --no-cache-dir {' '.join(packages)}"}
            steps = steps if packages else {}
            found: dict[str, list[float]] = {}
            for number in range(rounds):
                for side, builder in sides.items():
                    for name, step in (steps | local(side, port)).items():
                        workspace = Workspace.below(root / f"{number}-{side}-{name}")
                        found.setdefault(f"{name} {side}", []).append(await timed(builder, workspace, step))
            for words, seconds in sorted(found.items()):
                middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
                say(f"  {words:36} median {middle:8.4f} s   of {rounds}: {least:.4f} to {most:.4f}")
            say(f"  memory of the proxy after it {resident_mib(process.pid):8.0f} MiB")


def local(side: str, port: int) -> dict[str, str]:
    """Downloads from loopback: the builds' own `http_proxy` counts only where there is a proxy."""
    url = f"http://127.0.0.1:{port}/{DOWNLOAD_MIB * MIB}"
    proxied = side == "with"
    first = '("127.0.0.1", 3128)' if proxied else f'("127.0.0.1", {port})'
    tunnel = f'made.set_tunnel("127.0.0.1", {port})' if proxied else ""
    scripts = {
        f"{DOWNLOAD_MIB} MiB": DOWNLOAD.format(url=url),
        "connection and request": CONNECT.format(count=REQUESTS, first=first, tunnel=tunnel),
    }
    return {name: f"unset no_proxy NO_PROXY; python3 - <<'X'\n{script}\nX" for name, script in scripts.items()}


async def timed(builder: Builder, workspace: Workspace, step: str) -> float:
    """Seconds: what the step says, or how long it took."""
    began = time.monotonic()
    result = await builder.run(workspace.request(step))
    took = time.monotonic() - began
    if result.exit_code:
        raise RuntimeError(result.tail)
    said = [line for line in result.tail.splitlines() if line.startswith("SECONDS ")]
    return float(said[-1].split()[1]) if said else took


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A server that sends as many bytes as its path says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        while (await reader.readline()).strip():
            pass
        left = int(line.split()[1][1:])
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {left}\r\nConnection: close\r\n\r\n".encode())
        block = bytes(MIB)
        while left:
            writer.write(block[:left])
            left -= min(left, MIB)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def proxy(data: Path, allow: str) -> Iterator[subprocess.Popen[bytes]]:
    """The real one, without limits that count here."""
    settings = {"DATA_DIR": str(data), "CODE_EGRESS": allow, "CODE_MB_PER_SECOND_PER_ORGANIZATION": "100000"}
    env = {**os.environ, **{f"DELIVERY_{name}": value for name, value in settings.items()}}
    process = subprocess.Popen([sys.executable, "-m", "egress"], env=env, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def resident_mib(pid: int) -> float:
    """What it has in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


if __name__ == "__main__":
    sys.exit(main())
