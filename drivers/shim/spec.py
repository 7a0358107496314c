"""The input of a shim, and the names of its files. Shared by the shim and its client."""

from typing import NamedTuple

LOCK = "lock"
PID = "pid.json"
EXIT = "exit.json"

# Marks every process of a tree, so that daemons outside of its session can be found after the shim was killed.
COOKIE = "DELIVERY_SHIM"

# An argument before `--` with this prefix names one of `inputs`; it is replaced by a descriptor number.
INPUT = "@input:"

STARTED = 0
ALREADY_RUNNING = 75
FAILED = 70
DISK_FULL = 74


class ShimSpec(NamedTuple):
    """One process to supervise. A NamedTuple, because every shim imports it and it must load fast.

    Attributes:
        argv: program and arguments; visible to everybody on the machine, so never a secret.
        env: the whole environment; handed over through a pipe and never written to disk.
        cookie: identifies the work of this process; unique on the machine.
        log_path: stdout and stderr, appended.
        log_max_bytes: size limit of the log, plus or minus a line. `on_full_log` "cut" leaves out the middle, "rotate"
            keeps one older file, both together within this limit, plus a quarter for their times.
        timeout_s: wall time of one run; None: unlimited.
        memory_mb: MiB of the whole tree, sampled four times a second; shared pages count once.
        processes: processes and threads of the whole tree.
        cpus: CPUs for the tree, may be fractional; enforced if cgroups can be created.
        disk_mb: MiB on disk below `disk_folders` and in deleted open files; also the limit of a single file.
        disk_folders: what `disk_mb` counts.
        scratch: those of them that are emptied before a restart after `disk_limit`.
        stop_timeout_s: seconds between SIGTERM and SIGKILL.
        restart: restart it when it ends, after a backoff of `backoff_s`, doubled with each death up to `backoff_max_s`;
            a run of `stable_s` resets the backoff.
        open_files: resource limit, as far as the hard limit allows.
        wrapper_files: the hard limit, for a wrapper that sets `open_files` for its command itself; None: the same.
        niceness: 0 to 19; higher means lower CPU priority.
        wrapper_levels: number of levels at the top of the tree that are the sandbox and must not get SIGTERM.
        run_id: distinguishes starts in the same folder.
        inputs: data that the program reads from descriptors, in hexadecimal, by the names in `argv` (`INPUT`): secret
            arguments, filters, small files.
        port: on 127.0.0.1, reserved while the process waits for its restart; it is not started while another process
            listens there.
        pool: folder in which the trees of one owner exchange their usage; `pool_limits` are the limits of the total, by
            the names of `pool.Used`.
        door: path of a unix socket, created for each run; the process inherits it, listening, as `door.DESCRIPTOR`.
    """

    argv: list[str]
    cwd: str
    env: dict[str, str]
    cookie: str
    log_path: str
    log_max_bytes: int = 16 * 1024 * 1024
    on_full_log: str = "cut"
    timeout_s: float | None = None
    memory_mb: int | None = None
    processes: int | None = None
    cpus: float | None = None
    disk_mb: int | None = None
    disk_folders: tuple[str, ...] | list[str] = ()
    scratch: tuple[str, ...] | list[str] = ()
    stop_timeout_s: float = 5
    restart: bool = False
    backoff_s: float = 0.5
    backoff_max_s: float = 30
    stable_s: float = 10
    open_files: int = 8192
    wrapper_files: int | None = None
    niceness: int = 0
    wrapper_levels: int = 0
    run_id: str = ""
    inputs: dict[str, str] = {}  # noqa: RUF012 - never changed
    port: int | None = None
    door: str | None = None
    pool: str | None = None
    pool_limits: dict[str, int] = {}  # noqa: RUF012 - never changed
