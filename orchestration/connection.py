"""One lazily created Temporal client per process. Every wait has a limit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from temporalio.client import Client, RPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from domain.errors import DependencyError
from runtime.refused_payloads import TYPE
from runtime.settings import Settings
from runtime.temporal import check_temporal, connect_temporal
from runtime.temporal_rotation import Rotation

log = structlog.get_logger(__name__)

# Status codes of a server that is down, overloaded or starting. All others are unexpected and are logged.
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
    """Connects on first use. Reconnects after a failure, and when the certificate files were replaced."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rotation = Rotation(settings)
        self._client: Client | None = None
        self._lock = asyncio.Lock()

    async def client(self) -> Client:
        """The client; raises `DependencyError` if Temporal does not answer."""
        async with self._lock:
            if self._client is None:
                self._client = await connect_temporal(self._settings)
            elif (rotated := await self._rotation.look_if_due()) is not None:
                self._client = rotated
            return self._client

    async def check(self, limit_s: float) -> None:
        """Check that the server is serving; raises `DependencyError` if it does not confirm that in time."""
        async with answering_within(limit_s):
            await check_temporal(await self.client(), self._settings, limit_s)


@asynccontextmanager
async def answering_within(seconds: float) -> AsyncIterator[None]:
    """Turn an unavailable or slow Temporal into `DependencyError`. Catch errors with another meaning inside.

    `rpc_timeout` is per attempt (2 s became 6 s with the server down), hence this limit around everything. An update
    turns the cancellation by that limit into its own error type.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, RPCTimeoutOrCancelledError) as error:
        raise DependencyError("the workflow engine did not answer in time; try again shortly") from error
    except ApplicationError as error:
        if error.type != TYPE:
            raise
        raise DependencyError(f"the workflow engine answers strangely: {error.message}") from error
    except RPCError as error:
        if error.status not in DOWN:
            log.exception("temporal.unexpected_answer", status=error.status.name, message=error.message[:500])
        raise DependencyError("the workflow engine does not answer; try again shortly") from error


def is_missing(error: RPCError) -> bool:
    """Whether the error means that the workflow does not exist (and not that the namespace does not exist)."""
    details = error.grpc_status.details
    if any(detail.type_url.endswith("NamespaceNotFoundFailure") for detail in details):
        return False
    return error.status is RPCStatusCode.NOT_FOUND
