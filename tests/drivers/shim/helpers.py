"""Waiting, finding processes and specs for the tests of everything that runs under the shim."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from drivers.shim import client, proc
from drivers.shim.spec import ShimSpec

ROOT = Path(__file__).parents[3]
_numbers = itertools.count(1)


async def until(condition: Callable[[], object], what: str, limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s for: {what}"
        await asyncio.sleep(0.01)


def marker() -> str:
    """A number of seconds that nobody else sleeps: finds our processes by their command line."""
    return f"{9000 + next(_numbers)}.{os.getpid()}"


def running(mark: str) -> list[int]:
    """Sleeps that have the mark as an argument."""
    return [pid for pid, program in with_argument(mark) if program.endswith(b"sleep")]


def with_argument(mark: str) -> list[tuple[int, bytes]]:
    """Processes, zombies not counted, that have the mark as an argument, and their program."""
    found = []
    for pid in proc.everyone():
        process = proc.read(pid)
        if process is None or process.state in "ZX":
            continue
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in arguments:
            found.append((pid, arguments[0]))
    return found


def shell(state: Path, script: str, **changes: object) -> ShimSpec:
    values: dict[str, Any] = {
        "argv": ["/bin/sh", "-c", script],
        "cwd": str(state.parent),
        "env": {"PATH": os.defpath},
        "cookie": f"{state}",
        "log_path": str(state.parent / "log"),
        "stop_timeout_s": 3,
    }
    return ShimSpec(**(values | changes))


@asynccontextmanager
async def started(state: Path, script: str, **changes: object) -> AsyncIterator[None]:
    """Under the shim inside of the block, gone after it."""
    await client.start(state, shell(state, script, **changes))
    try:
        yield
    finally:
        await client.stop(state)


async def run(state: Path, script: str, **changes: object) -> client.ShimExit:
    async with started(state, script, **changes):
        async with asyncio.timeout(120):
            while (now := client.status(state)).alive:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.02)
    ended = now.exit
    assert ended is not None
    return ended


# Leaves session, group and parent, as daemons do; then it sleeps under its mark.
DAEMON = "( setsid sh -c 'sleep {mark} & exec sleep {mark}' >/dev/null 2>&1 & )"


@contextmanager
def worker(script: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """An engine process of its own that runs the script; killed with SIGKILL, and its group, when the block ends."""
    argv = [sys.executable, "-c", script, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, start_new_session=True, stdin=pipe, stdout=pipe) as process:
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


async def said(process: subprocess.Popen[bytes]) -> str:
    """The next line of a worker's output."""
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).decode().strip()
