"""The disk usage of a process tree, measured in small steps: the shim must never block on a large folder."""

import errno
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator

from drivers.shim import proc

# Every entry counts as at least one block, since empty files take inodes.
_LEAST = 4096
# Entries between two checks of the clock.
_STRIDE = 64
# Seconds per turn for the scan: usually, and when the disk loses space fast.
_CALM_S, _ALARMED_S = 0.01, 0.1
# Seconds between two scans: a thousand times the duration of the last one, within these bounds. A scan starts at once
# if half of the remaining limit disappeared from the disk meanwhile, whoever used it: checking that costs nothing.
_PAUSE_S, _PAUSE_MAX_S = 5.0, 300.0


class DiskWatch:
    """Adds up the size of some folders and of files that are open or mapped but deleted.

    Descriptors in flight through a socket belong to no process and cannot be seen; the kernel limits their number.

    Args:
        folders: they may vanish or change during the scan.
        limit: bytes on disk in total.
    """

    def __init__(self, folders: Iterable[str], limit: int) -> None:
        self._folders = [os.path.realpath(folder) for folder in folders]
        self._limit = limit
        self._walk: Iterator[int] | None = None
        self._used = 0
        self._last = 0
        self._spent = 0.0
        self._next_at = 0.0
        self._free_before = self._free()

    def exceeded(self, pids: Iterable[int]) -> bool:
        """One turn: continue the scan in progress, or begin one if it is due. `pids` are the tree's processes."""
        began = time.monotonic()
        alarmed = self._free_before - self._free() > (self._limit - self._last) // 2
        if self._walk is None:
            if began < self._next_at and not alarmed:
                return False
            self._walk, self._used, self._spent = self._sizes(list(pids)), 0, 0.0
            self._free_before = self._free()
        end = began + (_ALARMED_S if alarmed else _CALM_S)
        finished = self._go_on(end)
        now = time.monotonic()
        self._spent += now - began
        if finished:
            self._walk, self._last = None, min(self._used, self._limit)
            self._next_at = now + min(max(_PAUSE_S, 1000 * self._spent), _PAUSE_MAX_S)
        return self._used >= self._limit

    @property
    def used(self) -> int:
        """Known bytes: of the last scan, or of the one in progress if that is more."""
        return max(self._last, self._used)

    def _go_on(self, end: float) -> bool:
        """True when the scan is finished, or has found more than the limit."""
        for number, size in enumerate(self._walk or ()):
            self._used += size
            if self._used >= self._limit:
                return True
            if number % _STRIDE == 0 and time.monotonic() > end:
                return False
        return True

    def _sizes(self, pids: list[int]) -> Iterator[int]:
        seen: set[tuple[int, int]] = set()
        for pid in pids:
            for status in proc.unnamed_files(pid, in_memory=False):
                yield _size(status, seen) if status else 0
            yield from _mapped(pid, seen)
        pending = list(self._folders)
        while pending:
            yield from _entries(pending.pop(), pending, seen)

    def _free(self) -> int:
        """Bytes free on the folders' disk, plus a block per free inode; only a hint, since others write there too."""
        try:
            found = os.statvfs(self._folders[0])
        except (OSError, IndexError):
            return 0
        return found.f_bavail * found.f_frsize + found.f_favail * _LEAST


def _entries(folder: str, pending: list[str], seen: set[tuple[int, int]]) -> Iterator[int]:
    try:
        descriptor = _opened(folder)
    except OSError as error:
        # Nested too deeply to be named: only code that hides something does that.
        yield sys.maxsize if error.errno == errno.ENAMETOOLONG else 0
        return
    try:
        with os.scandir(descriptor) as found:
            for entry in found:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    pending.append(f"{folder}/{entry.name}")
                yield _size(status, seen)
    finally:
        os.close(descriptor)


def _opened(folder: str) -> int:
    """Open a folder, also one whose mode excludes its owner, who may be us.

    The code runs during the scan and may replace an entry by a link to something of ours: nothing is opened or changed
    by name, only by the descriptor that is held already, after checking that it is the expected one.

    Raises:
        OSError: it is no longer a folder, or is reached through a link.
    """
    held = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        here = f"/proc/self/fd/{held}"
        if os.readlink(here) != os.path.normpath(folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder)
        try:
            return os.open(here, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:
            mode = stat.S_IMODE(os.stat(here).st_mode)
            os.chmod(here, mode | stat.S_IRUSR | stat.S_IXUSR)
            try:
                return os.open(here, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            finally:
                os.chmod(here, mode)
    finally:
        os.close(held)


def _mapped(pid: int, seen: set[tuple[int, int]]) -> Iterator[int]:
    """Files that are deleted and closed but still mapped."""
    for found in proc.deleted_mappings(pid):
        if found is None or found[0] in seen:
            yield 0
            continue
        seen.add(found[0])
        yield found[1]


def _size(status: os.stat_result, seen: set[tuple[int, int]]) -> int:
    """Blocks on disk; a file with several names, or open several times, counts once."""
    if status.st_nlink != 1 and not stat.S_ISDIR(status.st_mode):
        if (status.st_dev, status.st_ino) in seen:
            return 0
        seen.add((status.st_dev, status.st_ino))
    return max(status.st_blocks * 512, _LEAST)
