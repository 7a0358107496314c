"""Starts, watches and stops shims. All calls are idempotent; shims do not depend on the process that started them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import DependencyError
from domain.stored import known_to
from drivers.shim import leftovers, lock, proc, record
from drivers.shim import spec as names
from drivers.shim.faults import disk_full, disk_full_reported
from drivers.shim.spec import ShimSpec

_SHIM = Path(__file__).with_name("shim.py")
_START_TIMEOUT_S = 30
_POLL_S = 0.02
_STOP_MARGIN_S = 10


@dataclass(frozen=True)
class ShimExit:
    """How it ended for good. Reasons: exited, timeout, stopped, disk_full, (output|memory|process|disk)_limit."""

    code: int
    reason: str
    restarts: int
    finished_at: float


@dataclass(frozen=True)
class ShimStatus:
    """The present state of a shim.

    Attributes:
        alive: its lock is held.
        child_pid: its process; None while it waits to restart it, and after the end.
        restarts: number of restarts of the process.
        last_code: exit code of the last run (128+n for signal n), None if none has ended.
        last_reason: why the last run ended, None if none has ended.
        run_id: of the spec it was started with; kept after its end.
        exit: set when it ended for good. Not alive and None: never started, or the shim itself was killed.
    """

    alive: bool
    shim_pid: int | None = None
    child_pid: int | None = None
    restarts: int = 0
    last_code: int | None = None
    last_reason: str | None = None
    run_id: str = ""
    exit: ShimExit | None = None


async def start(state_dir: Path, spec: ShimSpec) -> None:
    """Start a shim unless one holds the folder. Leftovers of an earlier, killed one are ended first.

    The environment is passed through a pipe. Once begun, the start is finished even if the caller is cancelled, so that
    a following `stop` finds what it has to stop.

    Raises:
        TerminalError: DISK_FULL.
        DependencyError: the start failed for another reason.
    """
    await finish(asyncio.to_thread(_start, state_dir, spec))


def status(state_dir: Path) -> ShimStatus:
    """Reads the lock's state and the records; takes no lock and waits for nothing."""
    alive = lock.is_held(str(state_dir / names.LOCK))
    facts = record.load(str(state_dir / names.PID)) or {}
    ended = None if alive else record.load(str(state_dir / names.EXIT))
    return ShimStatus(
        alive=alive,
        shim_pid=_verified(facts, "shim") if alive else None,
        child_pid=_verified(facts, "child") if alive else None,
        restarts=int(facts.get("restarts", 0)),
        last_code=facts.get("last_code"),
        last_reason=facts.get("last_reason"),
        run_id=str(facts.get("run_id", "")),
        exit=ShimExit(**known_to(ShimExit, ended)) if ended else None,
    )


async def stop(state_dir: Path, timeout_s: float | None = None, *, run_id: str | None = None) -> None:
    """End the process and its whole tree, first with SIGTERM. Returns when all of it is gone.

    Args:
        state_dir: the shim's folder; a missing or ended one is fine.
        timeout_s: after this the shim itself is killed; default: its `stop_timeout_s` plus a margin.
        run_id: stop only this run; a newer one that holds the folder by now stays.

    Raises:
        DependencyError: a process survives SIGKILL.
    """
    deadline = time.monotonic() + (_patience_s(state_dir) if timeout_s is None else timeout_s)
    asked: int | None = None
    while (now := status(state_dir)).alive:
        if run_id is not None and now.run_id != run_id:
            return
        late_s = time.monotonic() - deadline
        if late_s > _STOP_MARGIN_S:
            raise DependencyError(f"The shim of {state_dir.name} does not end; look at its process {now.shim_pid}.")
        if now.shim_pid is not None and late_s > 0:
            leftovers.kill(now.shim_pid, signal.SIGKILL)
        elif now.shim_pid is not None and now.shim_pid != asked:
            asked = now.shim_pid
            leftovers.kill(now.shim_pid, signal.SIGTERM)
        await asyncio.sleep(_POLL_S)
    await end_leftovers(state_dir)


async def end_leftovers(state_dir: Path) -> None:
    """Kill what a killed shim left behind; does nothing while a shim is alive."""
    await finish(asyncio.to_thread(_end_leftovers, state_dir))


async def end_marked(cookie: str) -> None:
    """Kill all processes on this machine with the cookie, whichever folder their shim has."""
    await finish(asyncio.to_thread(_end_marked, cookie, None))


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    return [pid, *proc.descendants(pid)]


async def finish(work: Awaitable[None]) -> None:
    """Await `work` to its end even if cancelled meanwhile; the cancellation is raised afterwards."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
        except Exception:  # noqa: BLE001 - raised by result() below
            break
    if cancelled:
        raise asyncio.CancelledError
    task.result()


def _patience_s(state_dir: Path) -> float:
    facts = record.load(str(state_dir / names.PID)) or {}
    return float(facts.get("stop_timeout_s", 0)) + _STOP_MARGIN_S


def _verified(facts: dict[str, Any], who: str) -> int | None:
    pid = facts.get(f"{who}_pid")
    if not pid or facts.get("boot_id") != proc.boot_id() or not proc.is_alive(pid, facts[f"{who}_start_time"]):
        return None
    return int(pid)


def _end_leftovers(state_dir: Path) -> None:
    descriptor = lock.take(str(state_dir / names.LOCK)) if (state_dir / names.PID).exists() else None
    if descriptor is None:
        return
    try:
        facts = record.load(str(state_dir / names.PID))
        if facts and not leftovers.is_settled(facts, record.load(str(state_dir / names.EXIT))):
            _end_marked(facts["cookie"], facts)
    finally:
        os.close(descriptor)


def _end_marked(cookie: str, facts: dict[str, Any] | None) -> None:
    try:
        leftovers.end(cookie, facts)
    except TimeoutError as error:
        raise DependencyError(f"An earlier process of this work does not end: {error}.") from error


def _start(state_dir: Path, spec: ShimSpec) -> None:
    try:
        with disk_full_reported(state_dir):
            state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        answer = _launch(state_dir, spec)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failure(state_dir, str(error)) from error
    if answer.returncode == names.DISK_FULL:
        raise disk_full(state_dir)
    if answer.returncode not in (names.STARTED, names.ALREADY_RUNNING):
        raise _failure(state_dir, answer.stderr.decode(errors="replace")[-500:])


def _launch(state_dir: Path, spec: ShimSpec) -> subprocess.CompletedProcess[bytes]:
    """Start it. Retries while a shim that only cleans up, or has not written its record yet, holds the folder."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", str(_SHIM), str(state_dir.absolute())],
            input=json.dumps(spec._asdict()).encode(),
            capture_output=True,
            check=False,
            cwd="/",
            env={},
            start_new_session=True,
            timeout=_START_TIMEOUT_S,
        )
        if answer.returncode != names.ALREADY_RUNNING or status(state_dir).shim_pid or time.monotonic() > deadline:
            return answer
        time.sleep(_POLL_S)


def _failure(state_dir: Path, reason: str) -> DependencyError:
    return DependencyError(f"The process of {state_dir.name} could not be started: {reason.strip()}.")
