"""What a shim is told, and the names of the files it keeps. Shared by the shim and its client."""

from typing import NamedTuple

LOCK = "lock"
PID = "pid.json"
EXIT = "exit.json"

# Marks every process of a tree, so that daemons that left session and parent can be found after the shim was killed.
COOKIE = "DELIVERY_SHIM"

# A word of `argv` before `--` with this in front names one of `inputs`; the number of a descriptor takes its place.
INPUT = "@input:"

STARTED = 0
ALREADY_RUNNING = 75
FAILED = 70
DISK_FULL = 74


class ShimSpec(NamedTuple):
    """One process to keep. A NamedTuple, because it is imported by every shim and must load fast.

    Attributes:
        argv: program and arguments; visible to everybody on the machine, so never a secret.
        env: the whole environment; handed over through a pipe and never written to disk.
        cookie: names the work this process does; unique on the machine.
        log_path: stdout and stderr, appended.
        log_max_bytes: what the log may take, give or take a line; `on_full_log` "cut" leaves out the middle of what is
            too much, "rotate" keeps one older file beside it, together not larger than this, and a quarter more for
            their times.
        timeout_s: wall time of one run, None for ever.
        memory_mb: MiB of the whole tree, sampled four times a second; pages that its processes share count once.
        processes: processes and threads of the whole tree.
        cpus: processors that the tree may keep busy, where control groups can be made; parts of one included.
        disk_mb: MiB on disk below `disk_folders` and in nameless open files; a single file cannot grow beyond it.
        disk_folders: what `disk_mb` counts.
        scratch: of those, what is emptied before a restart after `disk_limit`.
        stop_timeout_s: seconds between SIGTERM and SIGKILL.
        restart: start it again when it ends, after `backoff_s` doubled with each death up to `backoff_max_s`; a run of
            `stable_s` begins anew.
        open_files: resource limit, as far as the hard limit allows.
        wrapper_files: the hard one, for a wrapper that gives its command no more than `open_files`; None: the same.
        niceness: 0 to 19; the higher, the more it gives way to others when the processors are busy.
        wrapper_levels: how many processes at the top of the tree belong to a sandbox and must not get SIGTERM.
        run_id: tells one start from the next in the same folder.
        inputs: what the program reads from descriptors, as hexadecimal digits, by the names that `argv` uses
            (`INPUT`): arguments that nobody else may see, filters, small files.
        port: of 127.0.0.1, kept from others while the process waits to be started again; while somebody else listens
            there it is not started.
        pool: folder in which the trees of one owner tell each other what they take; of these together the limits are
            `pool_limits`, by the names of `pool.Used`.
        door: path of a unix socket, made for each run; the process inherits it, listening, at `door.DESCRIPTOR`.
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
