"""What a read costs, against a route that does nothing: one API process on one core, both in one run.

`python -m tests.bench.api` starts a stack of its own.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx2

from examples.client import Api
from runtime.settings import Settings
from runtime.stack.composition import Composition
from runtime.stack.layout import Layout
from tests.bench.plain_ways import PLAIN_WAYS
from tests.support.platform import Platform
from tests.support.services import free_port, until

ROOT = Path(__file__).resolve().parent.parent.parent
RUNNING = 10
ROUNDS = 3
SECONDS = 4.0
CONNECTIONS = 32
LOAD_CORE = 1


@dataclass(frozen=True)
class Read:
    """A read: what it is, the paths asked for in turn, and by how many connections."""

    words: str
    name: str
    paths: Sequence[str]
    connections: int


def reads(platform: Platform) -> list[Read]:
    """A finished deployment and operation, and ten operations that wait for approval."""
    app = platform.app("reads")
    shipped = app.ship_good()
    waiting = [
        platform.app(f"running{number}").begin(environment="production", request_approval=True)
        for number in range(RUNNING)
    ]
    for one in waiting:
        deployment = one.accepted.deployment_id
        until(partial(_waits, app.api, deployment), "a wait for approval", 120)
    running = [f"/v1/operations/{one.accepted.operation_id}" for one in waiting]
    finished = shipped.operation["operation_id"]
    return [
        Read("GET /deployments/{id}", "deployment", [f"/v1/deployments/{shipped.deployment['id']}"], CONNECTIONS),
        Read("GET /operations/{id}, finished", "finished", [f"/v1/operations/{finished}"], CONNECTIONS),
        Read(f"GET /operations/{{id}}, {RUNNING} running, 100 pollers", "running", running, 100),
    ]


def _waits(api: Api, deployment_id: str) -> bool:
    return bool(api.deployment(deployment_id)["status"] == "awaiting_approval")


def measure(platform: Platform) -> Iterator[tuple[str, float, float]]:
    """What it is, its requests a second, and those of the bare route with the same body."""
    wanted = reads(platform)
    with tempfile.TemporaryDirectory() as folder:
        bodies, token = Path(folder) / "bodies", Path(folder) / "token"
        bodies.mkdir()
        token.write_text(platform.stack.token())
        for read in wanted:
            (bodies / read.name).write_bytes(platform.api.raw("GET", read.paths[0]).content)
        with _serving(platform) as whole, _serving(platform, "--bare", str(bodies)) as bare:
            for read in wanted:
                ours, theirs = [], []
                for _ in range(ROUNDS):
                    ours.append(_rate(whole, token, read.paths, read.connections))
                    theirs.append(_rate(bare, token, [f"/bare/{read.name}"], read.connections))
                yield read.words, max(ours), max(theirs)


def fast_paths(platform: Platform) -> Iterator[tuple[str, float, float]]:
    """Name of each fast way; requests a second with all of them, and without this one, by turns. GET /deployments."""
    path = f"/v1/deployments/{platform.app('paths').ship_good().deployment['id']}"
    with tempfile.TemporaryDirectory() as folder, _serving(platform) as whole:
        token = Path(folder) / "token"
        token.write_text(platform.stack.token())
        for name in PLAIN_WAYS:
            with _serving(platform, "--without", name) as plain:
                rates = [[_rate(port, token, [path], CONNECTIONS) for port in (whole, plain)] for _ in range(ROUNDS)]
            yield name, *(statistics.median(column) for column in zip(*rates, strict=True))


@contextmanager
def _serving(platform: Platform, *arguments: str) -> Iterator[int]:
    """An API process on the stack's database and Temporal; its port."""
    with served(platform, *arguments) as (port, _):
        yield port


@contextmanager
def served(
    platform: Platform, *arguments: str, given: Mapping[str, str] | None = None, root: Path = ROOT
) -> Iterator[tuple[int, int]]:
    """The same; its port and its pid.

    Args:
        platform: the stack.
        arguments: of `tests.bench.api_process`.
        given: more of its environment.
        root: the checkout whose code it is.
    """
    port = free_port()
    settings = Settings(data_dir=platform.stack.data_dir)
    composition = Composition(settings, Layout.make(settings), {})
    environment = {
        **os.environ,
        "DELIVERY_DATA_DIR": str(platform.stack.data_dir),
        "DELIVERY_DATABASE_URL": composition.postgres.url(),
        "DELIVERY_PLATFORM_LIMIT": str(10**9),  # requests are counted, as they always are, and none is refused
        "DELIVERY_TEMPORAL_ADDRESS": platform.stack.addresses["temporal"],
        **(given or {}),
    }
    command = [sys.executable, "-m", "tests.bench.api_process", "--port", str(port), *arguments]
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: _answers(port), "an API process", 180)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    with suppress(httpx2.HTTPError):
        httpx2.get(f"http://127.0.0.1:{port}/", timeout=2, trust_env=False)
        return True
    return False


def _rate(port: int, token: Path, paths: Sequence[str], connections: int) -> float:
    command = [sys.executable, "-m", "tests.bench.http_rate", "--port", str(port), "--token-file", str(token)]
    options = ["--connections", str(connections), "--seconds", str(SECONDS)]
    core = ["taskset", "-c", str(LOAD_CORE)] if (os.cpu_count() or 1) > 1 and _has_taskset() else []
    done = subprocess.run(
        [*core, *command, *options, *paths], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    time.sleep(0.3)
    return float(done.stdout)


def _has_taskset() -> bool:
    return any((Path(folder) / "taskset").exists() for folder in os.environ.get("PATH", "").split(os.pathsep))


def main() -> int:
    """Start a stack, measure, stop it."""
    with bench_platform() as platform:
        report(platform)
        report_fast_paths(platform)
    return 0


def report_fast_paths(platform: Platform) -> None:
    """Print a line a fast way."""
    for name, fast, plain in fast_paths(platform):
        sys.stdout.write(f"  {name:46} {fast:6.0f}/s   without it {plain:6.0f}/s   {fast / plain:.2f} times\n")
        sys.stdout.flush()


def report(platform: Platform) -> None:
    """Print a line a read."""
    for words, ours, bare in measure(platform):
        sys.stdout.write(f"  {words:46} {ours:6.0f}/s   bare {bare:6.0f}/s   {100 * ours / bare:3.0f} %\n")
        sys.stdout.flush()


@contextmanager
def bench_platform(environment: Mapping[str, str] | None = None) -> Iterator[Platform]:
    """A stack for one bench."""
    folder = Path(tempfile.mkdtemp(prefix="de-bench-", dir="/tmp"))
    folder.chmod(0o755)  # PostgreSQL may run as another user when we are root
    platform = Platform(folder / "data", folder / "repositories", environment)
    try:
        yield platform
    finally:
        platform.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
