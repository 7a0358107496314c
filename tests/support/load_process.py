"""The load generator in a process of its own, so that neither disturbs the other's clock."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.client import Service
from tests.support.loadgen import MAX_REQUESTS, UNDER_WAY

ROOT = Path(__file__).resolve().parent.parent.parent
MAX_SECONDS = 1200.0  # longer than a module of tests on a busy machine
STOP_SECONDS = 180.0


class LoadProcess:
    """A running load; `stop` ends it and returns its summary (the fields of `Summary`)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.stopped = False

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> dict[str, Any]:
        """Send no more requests, wait for what is in flight, return the summary."""
        self.stopped = True
        self._process.send_signal(signal.SIGTERM)
        output, errors = self._process.communicate(timeout=STOP_SECONDS)
        if not output:
            raise AssertionError(f"the load generator printed no summary: {errors[-2000:]}")
        summary: dict[str, Any] = json.loads(output)
        return summary


@contextmanager
def load_on(service: Service, *, rps: float, path: str = "/version") -> Iterator[LoadProcess]:
    """Steady open-loop load on a deployed service, from the beginning of the block until `stop` or its end.

    Raises:
        AssertionError: the generator ended by itself, so what was seen meanwhile was seen without load.
    """
    seconds = min(MAX_SECONDS, (MAX_REQUESTS - 1) / rps)
    command = [sys.executable, "-m", "tests.support.loadgen", "--url", service.dial + path, "--host", service.host]
    process = subprocess.Popen(
        [*command, "--rps", str(rps), "--seconds", str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    load = LoadProcess(process)
    try:
        begun = process.stderr.readline() if process.stderr else ""
        if begun != UNDER_WAY:
            raise AssertionError(f"the load generator did not begin: {begun}{process.communicate()[1][-2000:]}")
        yield load
        ended = None if load.stopped else process.poll()
    finally:
        if process.poll() is None:
            process.kill()
        _, errors = process.communicate()
    if ended is not None:
        raise AssertionError(f"the load generator ended by itself with {ended}: {errors[-2000:]}")
