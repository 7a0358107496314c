"""One lazily made Temporal client a process; every wait has a limit."""

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

# What a server says that is away, overloaded or starting. Anything else is strange and goes to the log.
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
    """Connects at the first use, again after a failure, and with new certificates when their files were replaced."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rotation = Rotation(settings)
        self._client: Client | None = None
        self._lock = asyncio.Lock()

    async def client(self) -> Client:
        """The client; raises `DependencyError` when Temporal does not answer."""
        async with self._lock:
            if self._client is None:
                self._client = await connect_temporal(self._settings)
            elif (rotated := await self._rotation.look_if_due()) is not None:
                self._client = rotated
            return self._client

    async def check(self, limit_s: float) -> None:
        """Ask the server whether it serves; raises `DependencyError` when it does not say so in time."""
        async with answering_within(limit_s):
            await check_temporal(await self.client(), self._settings, limit_s)


@asynccontextmanager
async def answering_within(seconds: float) -> AsyncIterator[None]:
    """Turn Temporal being away, slow or strange into `DependencyError`; what has another meaning is caught inside.

    `rpc_timeout` is per attempt (2 s became 6 s with the server down), hence the limit of our own around everything.
    An update turns the cancellation by that limit into an error of its own.
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
    """Whether an answer means: there is no such workflow (and not: there is no such namespace)."""
    details = error.grpc_status.details
    if any(detail.type_url.endswith("NamespaceNotFoundFailure") for detail in details):
        return False
    return error.status is RPCStatusCode.NOT_FOUND
