"""One writer in the folder at a time, between processes too. The kernel lets go when its holder dies."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import DependencyError
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.files import ConfigFolder

BUSY = "somebody else is changing the routes and does not finish; try again shortly"


class WriterLock:
    """The folder's lock. Tasks of one process line up before it, so that each goes on the moment the last is done."""

    def __init__(self, folder: ConfigFolder) -> None:
        self._folder = folder
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def held(self, deadline: Deadline) -> AsyncIterator[None]:
        """Hold it.

        Raises:
            DependencyError: another writer kept it until the deadline.
        """
        try:
            async with asyncio.timeout(deadline.left_s):
                await self._line.acquire()
        except TimeoutError as error:
            raise DependencyError(BUSY) from error
        try:
            async with _alone(self._folder, deadline):
                yield
        finally:
            self._line.release()


@asynccontextmanager
async def _alone(folder: ConfigFolder, deadline: Deadline) -> AsyncIterator[None]:
    """Among processes."""
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
            raise DependencyError(BUSY)
        yield
    finally:
        os.close(descriptor)
