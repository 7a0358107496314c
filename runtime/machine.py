"""How large this machine is, as far as we may use it; default limits are made from that."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_KIB, _MIB = 1024, 1024 * 1024
# What a control group of version 2 and 1 calls its limit.
_LIMITS = ("memory.max", "memory.limit_in_bytes")


@dataclass(frozen=True)
class Machine:
    """What there is of it, used or not.

    Attributes:
        memory_mb: MiB of memory; of our control group, if it may have less.
        disk_mb: MiB of the file system of a folder.
        processes: and threads, of all users.
        files: that may be open at once, of all users.
    """

    memory_mb: int
    disk_mb: int
    processes: int = 32_768
    files: int = 1_000_000


def measured(folder: Path, root: Path = Path("/")) -> Machine:
    """This machine now.

    Args:
        folder: may be missing; then what its next parent lies on counts.
        root: where /proc and /sys are.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    disk = os.statvfs(there)
    memory = min((_physical(root), *_group_limits(root)))
    kernel = root / "proc/sys"
    return Machine(
        memory // _MIB,
        disk.f_blocks * disk.f_frsize // _MIB,
        processes=min(_number(kernel / "kernel" / name, Machine.processes) for name in ("pid_max", "threads-max")),
        files=_number(kernel / "fs/file-max", Machine.files),
    )


def processors(root: Path = Path("/")) -> float:
    """How many of them this process may keep busy at once; of our control group, if it may have less."""
    found: list[float] = [len(os.sched_getaffinity(0))]
    for folder in _own_groups(root):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota.isdigit() and int(quota):  # else `max`
            found.append(int(quota) / int(period))
    return min(found)


def _number(path: Path, otherwise: int) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return otherwise


def _physical(root: Path) -> int:
    """Bytes."""
    for line in (root / "proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * _KIB
    msg = "/proc/meminfo has no MemTotal"
    raise OSError(msg)


def _group_limits(root: Path) -> Iterator[int]:
    """Bytes that our control group, and each one above it, may use; nothing where none says so."""
    for folder in _own_groups(root):
        for name in _LIMITS:
            try:
                text = (folder / name).read_text().strip()
            except OSError:
                continue
            if text.isdigit():  # else `max`
                yield int(text)


def _own_groups(root: Path) -> Iterator[Path]:
    """Folders of our memory group and of those above it, where hierarchies are usually mounted."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        place = mount / path.strip("/")
        yield from (each for each in (place, *place.parents) if each.is_relative_to(mount))
