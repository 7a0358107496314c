"""Reads /proc about processes. A process that is gone, or is a zombie, is reported as missing."""

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
# The prefixes of files in memory in a table of mappings.
_IN_MEMORY = ("/memfd:", "/dev/zero", "/dev/shm/", "/SYSV")  # noqa: S108 - nothing is put there
# Bytes read of an environment: hostile ones may be very large.
_ENVIRONMENT_BYTES = 256 * 1024
# Lines of a table of mappings between two chances for the caller to check the clock.
_MAPPINGS = 64
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


class Process(NamedTuple):
    """A line of /proc/<pid>/stat. `start_time` is in clock ticks since boot; with the pid it identifies a process."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start_time: int


def read(pid: int) -> Process | None:
    """The process, even if it is a zombie; None if it does not exist."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            raw = file.read()
    except _GONE:
        return None
    # The command name is in parentheses and may contain anything, so the fields are counted from after it.
    fields = raw[raw.rindex(b")") + 2 :].split()
    return Process(pid, fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def is_alive(pid: int, start_time: int) -> bool:
    """Whether this very process runs (not another one with its reused pid)."""
    found = read(pid)
    return found is not None and found.start_time == start_time and found.state not in "ZX"


def age_s(pid: int) -> float | None:
    """Seconds that the process has run; None if it does not exist."""
    found = read(pid)
    if found is None:
        return None
    with open("/proc/uptime", "rb") as file:
        uptime_s = float(file.read().split()[0])
    return max(0.0, uptime_s - found.start_time / _TICKS)


def everyone() -> list[int]:
    """All process ids."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def boot_id() -> str:
    """Changes with every boot; pids and start times are meaningless across boots."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def descendants(root: int, at_most: int | None = None) -> dict[int, int]:
    """Ids of the processes below `root` with their depth (1: a child), including zombies.

    With `at_most` only about that many, nearest to the root: a tree that grows fast takes long to walk.
    """
    found: dict[int, int] = {}
    level = [root]
    depth = 0
    families = None if _kernel_lists_children() else _families()
    while level and (at_most is None or len(found) < at_most):
        depth += 1
        below = [child for pid in level for child in (families.get(pid, []) if families else _children(pid))]
        level = [pid for pid in below if pid not in found]
        found.update(dict.fromkeys(level, depth))
    return found


def resident_bytes(pids: list[int]) -> int:
    """Resident memory of these processes; shared pages are counted for each of them."""
    return sum(_resident_pages(pid) for pid in pids) * _PAGE


def proportional_bytes(pid: int) -> tuple[int, int]:
    """Memory of a process; a page shared among n processes counts as 1/n. Walks all its pages.

    The first figure is ordinary memory; the second is files in memory and other shared memory.
    """
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            lines = file.read().splitlines()
    except _GONE:
        return _resident_pages(pid) * _PAGE, 0
    figures = {words[0]: int(words[1]) * 1024 for words in map(bytes.split, lines) if words[1:2] and words[1].isdigit()}
    shared = figures.get(b"Pss_Shmem:", 0)
    return figures.get(b"Pss:", 0) + figures.get(b"SwapPss:", 0) - shared, shared


def unnamed_files(pid: int, *, in_memory: bool) -> Iterator[os.stat_result | None]:
    """Deleted files that a process holds open: those in memory (memfd_create), or those on a disk.

    None for each of its other descriptors: they may be very many, so the caller can check the clock in between.
    """
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except (*_GONE, OSError):
        return
    for name in names:
        try:
            status = os.stat(f"{folder}/{name}")
            unnamed = stat.S_ISREG(status.st_mode) and not status.st_nlink
            chosen = unnamed and os.readlink(f"{folder}/{name}").startswith("/memfd:") is in_memory
        except OSError:
            continue
        yield status if chosen else None


def deleted_mappings(pid: int) -> Iterator[tuple[tuple[int, int], int] | None]:
    """Deleted files that a process has mapped: device and inode, and the minimum of bytes on disk.

    None now and then: a process may have very many mappings, so the caller can check the clock in between.
    """
    try:
        with open(f"/proc/{pid}/maps", errors="replace") as file:
            for number, line in enumerate(file):
                if line.endswith(" (deleted)\n"):
                    yield _deleted_mapping(pid, line)
                elif number % _MAPPINGS == 0:
                    yield None
    except (*_GONE, OSError):
        return


def _deleted_mapping(pid: int, line: str) -> tuple[tuple[int, int], int] | None:
    place, _, offset, device, inode, path = line.split(None, 5)
    if path.startswith(_IN_MEMORY):
        return None
    first, last = (int(each, 16) for each in place.split("-"))
    major, minor = (int(each, 16) for each in device.split(":"))
    try:
        size = os.stat(f"/proc/{pid}/map_files/{place}").st_blocks * 512
    except OSError:  # not readable for us: the mapped size
        size = int(offset, 16) + last - first
    return (os.makedev(major, minor), int(inode)), size


def tasks(pids: list[int], enough: int) -> int:
    """Number of threads of these processes, at least one each. Stops counting beyond `enough`."""
    return len(pids) if len(pids) > enough else sum(_threads(pid) for pid in pids)


def open_files(pids: list[int]) -> int:
    """Number of descriptors of these processes. Kernels before 6.2 do not report it cheaply: then 0."""
    return sum(_descriptors(pid) for pid in pids)


def has_in_environment(pid: int, entry: bytes) -> bool:
    """Whether the process was started with exactly this `NAME=value`."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return entry in file.read(_ENVIRONMENT_BYTES).split(b"\0")
    except (*_GONE, OSError):
        return False


def _resident_pages(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1])
    except _GONE:
        return 0


def _descriptors(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/fd").st_size
    except (*_GONE, OSError):
        return 0


def _threads(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except _GONE:
        return 1


def _kernel_lists_children() -> bool:
    return os.path.exists("/proc/thread-self/children")


def _children(pid: int) -> list[int]:
    """The kernel lists children by the thread that forked them."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found.extend(map(int, file.read().split()))
    except _GONE:
        pass
    return found


def _families() -> dict[int, list[int]]:
    families: dict[int, list[int]] = {}
    for process in filter(None, map(read, everyone())):
        families.setdefault(process.parent, []).append(process.pid)
    return families
