"""One writer at a time in the folder, also between processes. The kernel releases the lock when its holder dies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import DependencyError
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.files import ConfigFolder
from runtime.files import locked

BUSY = "somebody else is changing the routes and does not finish; try again shortly"


class WriterLock:
    """The folder's lock. Tasks of one process queue for it, so that each continues as soon as it is free."""

    def __init__(self, folder: ConfigFolder) -> None:
        self._folder = folder
        self._line = asyncio.Lock()

    @asynccontextmanager
    async def held(self, deadline: Deadline) -> AsyncIterator[None]:
        """Hold the lock.

        Raises:
            DependencyError: another writer held it until the deadline.
        """
        try:
            async with asyncio.timeout(deadline.left_s):
                await self._line.acquire()
        except TimeoutError as error:
            raise DependencyError(BUSY) from error
        try:
            async with locked(self._folder.root / "writer.lock", deadline.left_s, BUSY):
                yield
        finally:
            self._line.release()
