"""Starts the shim's process in a session of its own; it dies with the shim."""

import ctypes
import os
import resource
import signal

from drivers.shim.cgroup import Group
from drivers.shim.door import DESCRIPTOR
from drivers.shim.spec import COOKIE, INPUT, ShimSpec

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)
_RESTORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


def become_subreaper() -> None:
    """From now on, orphans below this process become its children, however they daemonized."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def start(spec: ShimSpec, output: int, group: Group, listener: int | None = None) -> int:
    """Fork and execute `spec.argv` in `group`, with its output going to the descriptor `output`; returns the pid.

    It inherits the descriptor `listener` as `door.DESCRIPTOR`.

    A program that cannot be executed is reported in the log and exits with 127.
    """
    parent = os.getpid()
    # Block SIGTERM until the child has its own handlers, or it would be lost in ours.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid == 0:
        try:
            _execute(spec, output, parent, group, listener)
        except BaseException as error:  # noqa: BLE001 - nothing may return into the shim's code
            os.write(output, f"cannot execute {spec.argv[0]} in {spec.cwd}: {error}\n".encode())
            os._exit(127)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    return pid


def _execute(spec: ShimSpec, output: int, parent: int, group: Group, listener: int | None) -> None:
    signal.set_wakeup_fd(-1)
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the shim died before the line above
        os._exit(137)
    for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
        os.dup2(descriptor, target)
    group.enter()
    _limit(spec)
    os.umask(0o022)
    os.chdir(spec.cwd)
    if listener is not None:
        _hand_over(listener)
    for number in _RESTORED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    argv = _with_inputs(spec)
    os.execvpe(argv[0], argv, {**spec.env, COOKIE: spec.cookie})


def _with_inputs(spec: ShimSpec) -> list[str]:
    """The arguments, with an open memory file for each input named in the wrapper's own arguments (before `--`)."""
    end = spec.argv.index("--") if spec.inputs else 0
    before = [_opened(spec.inputs[word[len(INPUT) :]]) if word.startswith(INPUT) else word for word in spec.argv[:end]]
    return [*before, *spec.argv[end:]]


def _opened(content: str) -> str:
    descriptor = os.memfd_create("input", 0)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(bytes.fromhex(content))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return str(descriptor)


def _hand_over(listener: int) -> None:
    if listener == DESCRIPTOR:
        os.set_inheritable(listener, True)
    else:
        os.dup2(listener, DESCRIPTOR)


def _limit(spec: ShimSpec) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_NOFILE, spec.open_files, spec.wrapper_files)
    # No RLIMIT_NPROC: it counts all processes of a user, including the engine's and other tenants', and does not bind
    # root.
    if spec.disk_mb is not None:
        _lower(resource.RLIMIT_FSIZE, spec.disk_mb * 1024 * 1024)
    os.nice(spec.niceness)
    # When memory runs out, the kernel should kill other people's code before the engine and its database.
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")


def _lower(kind: int, soft: int, hard: int | None = None) -> None:
    hard = hard or soft
    most = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (soft, hard) if most == resource.RLIM_INFINITY else (min(soft, most), min(hard, most)))


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
