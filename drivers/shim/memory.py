"""The memory usage of a process tree, including memory that belongs to none of its processes."""

import os
import stat
import time
from collections.abc import Iterable, Iterator

from drivers.shim import proc

# Seconds between two scans of memory outside of processes: a hundred times the duration of the last scan, within these
# bounds.
_PAUSE_S, _PAUSE_MAX_S = 0.5, 60.0
# Seconds per turn: with very many open files a scan takes several; the processes' own memory is read in each.
_TURN_S = 0.02
_SHARED_MEMORY = "dev/shm"
# From this many bytes on, a tree's exact usage is measured this often, for its owner's total.
_WEIGHED, _WEIGH_EVERY_S = 64 * 1024 * 1024, 30.0


class MemoryWatch:
    """Adds up the pages of processes, and files that are only in memory.

    Args:
        limit: bytes in total.
        kernel_counts: the tree has a cgroup, which counts files in memory by itself.

    Attributes:
        used: bytes at the last reading; shared pages count once as far as measured recently.
    """

    def __init__(self, limit: int, *, kernel_counts: bool) -> None:
        self._limit = limit
        self._kernel_counts = kernel_counts
        self._files = 0
        self._walk: Iterator[int] | None = None
        self._found = 0
        self._spent = 0.0
        self._look_at = 0.0
        self._weighing: Iterator[tuple[int, int]] | None = None
        self._resident = self._own = self._shared = 0
        self._weighed_s = 0.0
        self._weigh_at = self._weigh_again_at = 0.0
        self._over = False
        self._exact = 1.0
        self.used = 0

    def exceeded(self, pids: list[int]) -> bool:
        """One reading. The exact figure is expensive: it is measured near the limit, and now and then."""
        if not self._kernel_counts and (self._walk is not None or time.monotonic() >= self._look_at):
            self._look(pids)
        resident = proc.resident_bytes(pids) + self._files
        much = resident > self._limit
        at = self._weigh_at if much else self._weigh_again_at
        if (much or resident > _WEIGHED) and (self._weighing is not None or time.monotonic() >= at):
            self._over = self._weigh(pids, resident)
        self.used = int(resident * self._exact)
        return much and self._over

    def _weigh(self, pids: Iterable[int], resident: int) -> bool:
        """Continue the exact measurement in progress, or begin one. A process may have very many pages and mappings."""
        began = time.monotonic()
        if self._weighing is None:
            self._weighing = map(proc.proportional_bytes, list(pids))
            self._resident, self._own, self._shared, self._weighed_s = resident, 0, 0, 0.0
        for own, shared in self._weighing:
            self._own += own
            self._shared += shared
            if self._weight > self._limit:
                break
            if time.monotonic() - began > _TURN_S:
                self._weighed_s += time.monotonic() - began
                return False
        self._weighing = None
        now = time.monotonic()
        self._weigh_at = now + 10 * (self._weighed_s + now - began)
        self._weigh_again_at = max(self._weigh_at, now + _WEIGH_EVERY_S)
        self._exact = min(1.0, self._weight / self._resident)
        return self._weight > self._limit

    @property
    def _weight(self) -> int:
        """A mapped file in memory is among the shared pages, so that it counts once."""
        return self._own + max(self._shared, self._files)

    def _look(self, pids: Iterable[int]) -> None:
        """Continue the scan in progress, or begin one; its findings count before it is finished."""
        began = time.monotonic()
        if self._walk is None:
            self._walk, self._found, self._spent = _files_in_memory(list(pids)), 0, 0.0
        finished = self._go_on(began + _TURN_S)
        now = time.monotonic()
        self._spent += now - began
        self._files = self._found if finished else max(self._files, self._found)
        if finished:
            self._walk = None
            self._look_at = now + min(max(_PAUSE_S, 100 * self._spent), _PAUSE_MAX_S)

    def _go_on(self, end: float) -> bool:
        """True when the scan is finished."""
        for size in self._walk or ():
            self._found += size
            if time.monotonic() > end:
                return False
        return True


def _files_in_memory(pids: Iterable[int]) -> Iterator[int]:
    """Bytes in open memory files (memfd_create), and in a sandbox's own /dev/shm; yields zeros in between."""
    seen: set[tuple[int, int]] = set()
    own_mounts: set[int] = set()
    for pid in pids:
        for device, size in _own_shared_memory(pid).items():
            yield 0 if device in own_mounts else size
            own_mounts.add(device)
        for status in proc.unnamed_files(pid, in_memory=True):
            if status is None or (key := (status.st_dev, status.st_ino)) in seen:
                yield 0
                continue
            seen.add(key)
            yield status.st_blocks * 512


def _own_shared_memory(pid: int) -> dict[int, int]:
    """Bytes used in the /dev/shm that a process sees, by device; empty if that is the machine's."""
    path = f"/proc/{pid}/root/{_SHARED_MEMORY}"
    try:
        device = os.stat(path).st_dev
        if device == os.stat(f"/{_SHARED_MEMORY}").st_dev or not stat.S_ISDIR(os.stat(path).st_mode):
            return {}
        room = os.statvfs(path)
    except OSError:
        return {}
    return {device: (room.f_blocks - room.f_bfree) * room.f_frsize}
