"""Runs an example service the way the engine does: a command, $PORT, a bare environment."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEADLINE_SECONDS = 120.0


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait for a condition; fails naming it at the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class RunningService:
    """A started service. `output` reads what it has printed."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return self.log.read_text()

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECONDS)


@contextmanager
def running(command: str, workdir: Path, log: Path, fault: str = "none") -> Iterator[RunningService]:
    """Start a shell line with $PORT and a fault switch; ends it at the end, whatever happened."""
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "PORT": str(port), "FAULT": fault}
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command], cwd=workdir, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield RunningService(port, process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
