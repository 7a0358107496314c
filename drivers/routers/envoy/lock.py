"""One writer in the folder at a time, between processes too. The kernel lets go when its holder dies."""

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import DependencyError
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.files import ConfigFolder


@asynccontextmanager
async def writing(folder: ConfigFolder, deadline: Deadline) -> AsyncIterator[None]:
    """Hold the folder's lock.

    Raises:
        DependencyError: another writer kept it until the deadline.
    """
    folder.make()
    descriptor = os.open(folder.root / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:

        async def locked() -> bool:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not await deadline.until(locked):
            raise DependencyError("another process is changing the routes and does not finish; try again shortly")
        yield
    finally:
        os.close(descriptor)
