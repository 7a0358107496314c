"""Processes that are there and do nothing, as one that hangs."""

import os
import signal
import time
from pathlib import Path

LIMIT_S = 120.0


def freeze(pid: int) -> None:
    """Stop a process (SIGSTOP), and return when all of its threads stand still.

    The signal takes effect when one of its threads is scheduled to take it; until then, on a busy machine, others go on
    answering.

    Raises:
        TimeoutError: it does not stand still.
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + LIMIT_S
    while not all(_state(thread) in ("T", "Z", "X", "") for thread in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not stand still")
        time.sleep(0.005)


def thaw(pid: int) -> None:
    """Let it go on."""
    os.kill(pid, signal.SIGCONT)


def _state(thread: Path) -> str:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""
