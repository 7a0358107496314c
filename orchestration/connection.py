"""One lazily made Temporal client a process; every wait has a limit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import DependencyError
from runtime.settings import Settings
from runtime.temporal import connect_temporal

DOWN = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNKNOWN,
    }
)


class Connection:
    """Connects at the first use and again after a failure."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._lock = asyncio.Lock()

    async def client(self) -> Client:
        """The client; raises `DependencyError` when Temporal does not answer."""
        async with self._lock:
            if self._client is None:
                self._client = await connect_temporal(self._settings)
            return self._client


@asynccontextmanager
async def answering_within(seconds: float) -> AsyncIterator[None]:
    """Turn Temporal being away or slow into `DependencyError`.

    `rpc_timeout` is per attempt (2 s became 6 s with the server down), hence the limit of our own around everything.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DependencyError("the workflow engine did not answer in time; try again shortly") from error
    except RPCError as error:
        if error.status in DOWN:
            raise DependencyError("the workflow engine does not answer; try again shortly") from error
        raise
