"""What a process tree takes of the memory, also what belongs to none of its processes."""

import os
import stat
import time
from collections.abc import Iterable

from drivers.shim import proc

# Seconds between two looks at what belongs to no process: a hundred times what the last one took, between these.
_PAUSE_S, _PAUSE_MAX_S = 0.5, 60.0
_SHARED_MEMORY = "dev/shm"


class MemoryWatch:
    """Adds up pages of processes, and files that are kept in memory only.

    Args:
        limit: bytes, all together.
        kernel_counts: a control group holds the tree, where files in memory count by themselves.
    """

    def __init__(self, limit: int, *, kernel_counts: bool) -> None:
        self._limit = limit
        self._kernel_counts = kernel_counts
        self._files = 0
        self._look_at = 0.0
        self._weigh_at = 0.0

    def exceeded(self, pids: list[int]) -> bool:
        """One look; the exact figure is dear, and only asked for if it may be too much."""
        began = time.monotonic()
        if not self._kernel_counts and began >= self._look_at:
            self._files = _files_in_memory(pids)
            took = time.monotonic() - began
            self._look_at = began + took + min(max(_PAUSE_S, 100 * took), _PAUSE_MAX_S)
        if proc.resident_bytes(pids) + self._files <= self._limit or time.monotonic() < self._weigh_at:
            return False
        began = time.monotonic()
        own, shared = proc.proportional_bytes(pids)
        now = time.monotonic()
        self._weigh_at = now + 10 * (now - began)
        # A file in memory that is mapped is among the shared pages: it counts once.
        return own + max(shared, self._files) > self._limit


def _files_in_memory(pids: Iterable[int]) -> int:
    """Bytes in memory files (memfd_create) that are open, and in a sandbox's own /dev/shm."""
    seen: set[tuple[int, int]] = set()
    found = 0
    own_mounts: dict[int, int] = {}
    for pid in pids:
        own_mounts.update(_own_shared_memory(pid))
        for status in proc.unnamed_files(pid, in_memory=True):
            if (key := (status.st_dev, status.st_ino)) not in seen:
                seen.add(key)
                found += status.st_blocks * 512
    return found + sum(own_mounts.values())


def _own_shared_memory(pid: int) -> dict[int, int]:
    """Bytes used in the /dev/shm that a process sees, by device; nothing where that is the machine's."""
    path = f"/proc/{pid}/root/{_SHARED_MEMORY}"
    try:
        device = os.stat(path).st_dev
        if device == os.stat(f"/{_SHARED_MEMORY}").st_dev or not stat.S_ISDIR(os.stat(path).st_mode):
            return {}
        room = os.statvfs(path)
    except OSError:
        return {}
    return {device: (room.f_blocks - room.f_bfree) * room.f_frsize}
