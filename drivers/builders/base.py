"""Builder drivers run other people's commands in a workspace, with a clean environment and limits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Limits:
    """Limits of a run: wall seconds; MiB of memory; processes; MiB on disk; CPUs; bytes of log kept."""

    timeout_s: float = 900
    memory_mb: int = 2048
    processes: int = 1024
    disk_mb: int = 10240
    output_bytes: int = 16 * 1024 * 1024
    cpus: float | None = None


@dataclass(frozen=True)
class RunRequest:
    """Shell lines to run one after another, stopping at the first that fails.

    Attributes:
        key: idempotency key; a second run with the same key first ends the processes of the first.
        workdir: folder to run in.
        root: the checkout that contains `workdir` (None: `workdir` itself); the only writable data of the host.
        state_dir: folder of the shim's files for this run (lock, pid, exit), outside of the workspace.
        steps: shell lines, run by `/bin/sh -eu -c`.
        env: from the spec; it overrides the driver's defaults (CI, LANG), but not PATH, HOME, TMPDIR.
        log_path: output of all steps is appended here line by line, stdout and stderr together.
        disk: folders whose size counts as the run's; empty: the checkout and the run's private folders. organization,
            project: the owner, for egress.
        on_progress: called with the bytes logged so far whenever output grew, at most once a second.
    """

    key: str
    workdir: Path
    state_dir: Path
    steps: tuple[str, ...]
    log_path: Path
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    disk: tuple[Path, ...] = ()
    on_progress: Callable[[int], None] | None = None
    root: Path | None = None
    organization: str = ""
    project: str = ""

    @property
    def checkout(self) -> Path:
        return self.root or self.workdir


@dataclass(frozen=True)
class RunResult:
    """The result of a run.

    Attributes:
        exit_code: of the last step run; 0 when all steps succeeded, 128+n when ended by signal n.
        failed_step: index of the step that failed, None when none did.
        reason: "exited", "timeout", "memory_limit", "process_limit", "disk_limit" or "stopped".
        duration_ms: wall time of all steps.
        tail: the last lines of the output, at most 4 KiB.
        searched: the PATH of the steps.
    """

    exit_code: int
    failed_step: int | None
    reason: str
    duration_ms: int
    tail: str
    searched: str = ""


class Builder(Protocol):
    """Runs steps under the shim. Cancelling the call (CancelledError) ends the whole process tree before it returns.

    `isolating` says whether other people's code is kept away from the host's files and processes. Raises
    `TerminalError(BUILD_ISOLATION_UNAVAILABLE)` when isolation is required but not possible,
    `TerminalError(DISK_FULL)`.
    """

    isolating: bool

    async def run(self, request: RunRequest) -> RunResult: ...
