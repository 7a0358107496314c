"""One run of shell steps under the shim, shared by both builders."""

import asyncio
import hashlib
import shutil
import time
import uuid
from dataclasses import replace
from pathlib import Path

from domain.errors import DependencyError
from drivers.builders.base import RunRequest, RunResult
from drivers.builders.private import STEP_FILE, PrivateFolders
from drivers.clean_env import code_environment, search_path
from drivers.place import Folders, Place
from drivers.shim import client
from drivers.shim.client import ShimExit
from drivers.shim.faults import disk_full
from drivers.shim.log import tail
from drivers.shim.spec import ShimSpec

# $0 is the file that records the current step. Stops at the first step that fails and returns its exit code.
_STEPS = r"""
at=0
for step in "$@"; do
  echo "$at" > "$0"
  printf '$ %s\n' "$step"
  /bin/sh -eu -c "$step" || exit $?
  at=$((at + 1))
done
"""
_TAIL_BYTES = 4096
_STOP_TIMEOUT_S = 2
_OPEN_FILES = 4096
# Builds have a lower CPU priority than the services and the router of the same machine.
_NICENESS = 10
_POLL_S = 0.02
_POLL_MAX_S = 0.2
_PROGRESS_S = 1.0
_FULL = "No space left on device"
_FILE_TOO_LARGE = "File too large"
_LITTLE_BYTES = 64 * 1024


def folders_of(request: RunRequest, private: PrivateFolders) -> Folders:
    """The whole checkout is mounted; commands run in the service's folder of it."""
    return Folders(
        app=request.checkout,
        home=private.home,
        tmp=private.tmp,
        cwd=str(request.workdir.relative_to(request.checkout)),
        state=private.state,
    )


async def run_steps(request: RunRequest, *, private: PrivateFolders, where: Place, path: tuple[str, ...]) -> RunResult:
    """Stop what an earlier attempt left, run the steps at a place, and wait.

    Raises:
        TerminalError: DISK_FULL.
        DependencyError: the run was killed from outside or replaced by a newer attempt; a retry makes sense.
    """
    began = time.monotonic()
    searched = search_path(where, path)
    spec = _shim_spec(request, private, where, searched)
    await client.stop(request.state_dir)
    await client.end_marked(spec.cookie)
    offset = _size(request.log_path)
    try:
        await client.start(request.state_dir, spec)
        ended = await _follow(request, spec.run_id)
    except BaseException:
        # A newer attempt may have begun meanwhile: do not stop that one.
        if client.status(request.state_dir).run_id == spec.run_id:
            await client.finish(client.stop(request.state_dir, run_id=spec.run_id))
        raise
    result = _result(request, ended, private.last_step(), began, offset)
    return replace(result, searched=searched)


async def _follow(request: RunRequest, run_id: str) -> ShimExit:
    """Report progress until the run is over."""
    reported, next_report, pause = _size(request.log_path), 0.0, _POLL_S
    while True:
        now = client.status(request.state_dir)
        if now.run_id != run_id:
            raise _ended_from_outside()
        size = _size(request.log_path)
        if request.on_progress and size > reported and (not now.alive or time.monotonic() >= next_report):
            reported, next_report = size, time.monotonic() + _PROGRESS_S
            request.on_progress(size)
        if not now.alive:
            break
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _POLL_MAX_S)
    if now.exit is None or now.exit.reason == "stopped":
        raise _ended_from_outside()
    return now.exit


def _ended_from_outside() -> DependencyError:
    return DependencyError(
        "The run was ended from outside, by a newer attempt of the same step or by hand; it can be tried again."
    )


def _shim_spec(request: RunRequest, private: PrivateFolders, where: Place, searched: str) -> ShimSpec:
    shell = ("/bin/sh", "-c", _STEPS, f"{where.state}/{STEP_FILE}", *request.steps)
    command = where.command(shell, code_environment(where, searched, {"CI": "true", **request.env}))
    return ShimSpec(
        argv=command.argv,
        cwd=str(request.workdir),
        env=command.env,
        inputs=command.inputs,
        cookie=hashlib.sha256(request.key.encode()).hexdigest()[:32],
        run_id=uuid.uuid4().hex,
        log_path=str(request.log_path),
        log_max_bytes=request.limits.output_bytes,
        timeout_s=request.limits.timeout_s,
        memory_mb=request.limits.memory_mb,
        processes=request.limits.processes + where.levels + bool(where.inner),
        cpus=request.limits.cpus,
        disk_mb=request.limits.disk_mb,
        disk_folders=[str(folder) for folder in request.disk or (request.checkout, private.root)],
        stop_timeout_s=_STOP_TIMEOUT_S,
        open_files=_OPEN_FILES,
        niceness=_NICENESS,
        wrapper_levels=where.levels,
    )


def _result(request: RunRequest, ended: ShimExit, last_step: int, began: float, offset: int) -> RunResult:
    if ended.reason == "disk_full":
        raise disk_full(request.log_path)
    succeeded = ended.reason == "exited" and ended.code == 0
    words = tail(request.log_path, _TAIL_BYTES, since=offset)
    if ended.reason == "exited" and not succeeded and (_FULL in words or _free(request.workdir) < _LITTLE_BYTES):
        raise disk_full(request.workdir)  # a command of the build hit it first
    # The command gets an error, not a kill, when its file reaches the limit, so it fails with its own message.
    too_large = ended.reason == "exited" and not succeeded and _FILE_TOO_LARGE in words
    return RunResult(
        exit_code=ended.code,
        failed_step=None if succeeded else min(last_step, len(request.steps) - 1),  # the build can print anything
        reason="disk_limit" if too_large else ended.reason,
        duration_ms=int((time.monotonic() - began) * 1000),
        tail=words,
    )


def _free(folder: Path) -> int:
    """Bytes that can still be written there."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:  # the build removed its folder
        return _LITTLE_BYTES


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
