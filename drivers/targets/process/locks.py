"""One at a time per instance and for the ports, across all processes of the engine."""

import asyncio
import fcntl
import os
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from domain.errors import DependencyError

# So many that hardly two instances share one: whose artifact is big must keep nobody else's from starting.
_FILES = 4096
_POLL_S = 0.02
_PATIENCE_S = 120.0


def instance_turn(root: Path, instance_id: str) -> AbstractAsyncContextManager[None]:
    """Instances share a fixed number of lock files, which therefore never need removing."""
    return _turn(root / ".turns" / str(zlib.crc32(instance_id.encode()) % _FILES))


def ports_turn(root: Path) -> AbstractAsyncContextManager[None]:
    """Taken inside of an instance's turn, never the other way round."""
    return _turn(root / ".turns" / "ports")


@asynccontextmanager
async def _turn(path: Path) -> AsyncIterator[None]:
    """Holds the lock file.

    Raises:
        DependencyError: somebody else holds it for too long.
    """
    descriptor = _open(path)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _try(descriptor):
            if time.monotonic() > deadline:
                raise DependencyError(f"Another process has held {path} for {_PATIENCE_S:g} s.")
            await asyncio.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
