"""A bridge that runs beside the test, in the same network, and ends when its test does."""

import asyncio
import os
import resource
import signal
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from drivers.bridge.program import program

DEADLINE_S = 120.0
REST = ("sleep", "1000")


class Bridge:
    """The running program. `path`: the unix socket of `--in`."""

    def __init__(self, process: asyncio.subprocess.Process, path: Path) -> None:
        self.process = process
        self.path = path

    @property
    def pid(self) -> int:
        return self.process.pid

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.path)

    def dial(self) -> socket.socket:
        """A plain socket, for what streams hide."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(DEADLINE_S)
        made.connect(str(self.path))
        return made

    def resident_kib(self) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def rests(self) -> bool:
        """Whether it comes to do nothing for a while; what spins never does. A busy machine lets it work late."""
        used, _ = self.cpu_s(), await asyncio.sleep(1)
        return self.cpu_s() - used < 0.05

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()

    async def log(self) -> str:
        """All that the bridge and its command wrote, when both have ended."""
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    async def end(self) -> None:
        """The command is ended, and the bridge with it."""
        if self.process.returncode is None:
            for child in children(self.pid):
                os.kill(child, signal.SIGKILL)
            await self.ended()


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def begin(
    folder: Path, *words: str, port: int | None = None, command: Sequence[str] = REST, most_files: int | None = None
) -> Bridge:
    """Start it; with a `port` it accepts on a socket in `folder` for it."""
    path = folder / "in.sock"
    listener = socket.socket(socket.AF_UNIX)
    try:
        inward: list[str] = []
        if port is not None:
            path.unlink(missing_ok=True)
            listener.bind(str(path))
            listener.listen(4096)
            inward = ["--in", f"{listener.fileno()}:{port}"]
        process = await asyncio.create_subprocess_exec(
            *(str(program()), *inward, *words, "--", *command),
            pass_fds=[listener.fileno()] if inward else [],
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=None if most_files is None else _files(most_files),
        )
    finally:
        listener.close()
    return Bridge(process, path)


def _files(most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def reset(sock: socket.socket) -> None:
    """Close it so that the other side is reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
