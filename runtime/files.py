"""Files that several processes share: written whole or not at all, and locks. Drivers use this, too."""

import asyncio
import errno
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from domain.errors import DependencyError

PRIVATE: Final = 0o600
LOCK_POLL_S: Final = 0.02


def write_whole(path: Path, content: str | bytes, *, sync: bool, mode: int = 0o666) -> None:
    """Write to a temporary file and rename it: a reader gets the old content or the new, never a part.

    Args:
        path: its folder must be there.
        content: text is written as UTF-8.
        sync: bring it to the disk first. Without that a power cut may leave an empty file; the death of any process
            loses nothing either way.
        mode: of a new file, less the umask.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)  # on a full disk the half would keep what room there is
        raise


def open_lock(path: Path) -> int:
    """A descriptor of a lock file. The file stays when the lock is free: removing it would make two locks possible."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)


def try_lock(descriptor: int) -> bool:
    """Take the lock, which the kernel releases when the descriptor is closed or its process dies; False: it is held."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True


@asynccontextmanager
async def locked(path: Path, limit_s: float, busy: str) -> AsyncIterator[None]:
    """Hold a lock file, among tasks and among processes.

    Raises:
        DependencyError: another holder has had it for `limit_s` seconds; says `busy`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = open_lock(path)
    try:
        end = time.monotonic() + limit_s
        while not try_lock(descriptor):
            if time.monotonic() >= end:
                raise DependencyError(busy)
            await asyncio.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(descriptor)
