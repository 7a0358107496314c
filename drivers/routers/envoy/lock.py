"""One writer in the folder at a time, between processes too. The kernel lets go when its holder dies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from domain.errors import DependencyError
from drivers.routers.envoy.deadline import Deadline
from drivers.routers.envoy.files import ConfigFolder
from runtime.files import locked

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
            async with locked(self._folder.root / "writer.lock", deadline.left_s, BUSY):
                yield
        finally:
            self._line.release()
