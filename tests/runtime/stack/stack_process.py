"""A stack of PostgreSQL and Temporal run as a program, the way people run it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from runtime.settings import ROOT, Settings
from runtime.stack import orphans
from runtime.stack.layout import Layout
from tests.support.freezing import freeze

PATIENCE_S = 240.0
"""What a busy machine may need for anything."""


class StackProcess:
    """One data folder and whoever supervises it at the moment."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        self.ready = data.parent / "ready.json"
        self.output = data.parent / "output.txt"
        self._env = {**os.environ, "DELIVERY_DATA_DIR": str(data), **environment}
        self._running: subprocess.Popen[bytes] | None = None
        self.limit: tuple[int, int] | None = None
        """Open files that the programs may have: soft and hard."""

    def up(self, only: str = "postgres,temporal") -> dict[str, str]:
        """Start and wait until ready; the addresses."""
        self.begin(only)
        until(lambda: self.ready.exists() or self._running.poll() is not None)
        assert self.ready.exists(), self.output.read_text()
        return json.loads(self.ready.read_text())

    def begin(self, only: str = "postgres,temporal") -> None:
        """Start, and do not wait."""
        self.ready.unlink(missing_ok=True)
        with self.output.open("wb") as output:
            self._running = subprocess.Popen(
                self._argv("up", "--only", only, "--ready-file", str(self.ready)),
                cwd=ROOT,
                env=self._env,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            self._argv(*arguments),
            cwd=ROOT,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )

    def end(self, signum: signal.Signals) -> int:
        """Signal the supervisor and wait for it; its exit code."""
        self.signal(signum)
        return self.wait()

    def signal(self, signum: signal.Signals) -> None:
        """Signal the supervisor; stopped, it stands still when this returns."""
        if signum is signal.SIGSTOP:
            freeze(self._running.pid)
        else:
            self._running.send_signal(signum)

    def wait(self) -> int:
        """The supervisor's exit code."""
        return self._running.wait(timeout=PATIENCE_S)

    def close(self) -> None:
        """Stop whatever still runs."""
        self.run("down")
        if self._running is not None:
            self._running.wait(timeout=PATIENCE_S)

    def pids(self) -> dict[str, int]:
        """The parts that run now."""
        return orphans.running(self._layout)

    @cached_property
    def _layout(self) -> Layout:
        """Once: it is asked for every moment, and reading the settings takes as long as the look."""
        return Layout.make(Settings(data_dir=self.data))

    def _argv(self, *arguments: str) -> list[str]:
        lowered = [] if self.limit is None else ["prlimit", f"--nofile={self.limit[0]}:{self.limit[1]}"]
        return [*lowered, sys.executable, "-m", "runtime.stack", *arguments]


def until(condition: Callable[[], object], limit_s: float = PATIENCE_S) -> None:
    """Wait for a condition, or fail."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
