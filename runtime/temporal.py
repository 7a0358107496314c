"""The Temporal client, with a limit on every wait."""

import asyncio
from datetime import timedelta

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import KeepAliveConfig, RPCError

from domain.errors import DependencyError
from runtime.settings import Settings

CONNECT_TIMEOUT_S = 5.0


async def connect_temporal(settings: Settings, *, lazy: bool = False) -> Client:
    """A client for the configured server and namespace; payloads are pydantic models.

    Args:
        settings: name address and namespace.
        lazy: connect at the first call instead of now (the API starts without Temporal).

    Raises:
        DependencyError: the server does not answer within five seconds.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await Client.connect(
                settings.temporal_address,
                namespace=settings.temporal_namespace,
                data_converter=pydantic_data_converter,
                keep_alive_config=KeepAliveConfig(interval_millis=10_000, timeout_millis=5_000),
                lazy=lazy,
            )
    except (RuntimeError, RPCError, TimeoutError) as error:
        raise _unreachable(settings) from error


async def check_temporal(client: Client, settings: Settings, limit_s: float = 1.5) -> None:
    """Ask the server whether it serves.

    Raises:
        DependencyError: it does not, or not in time.
    """
    try:
        # rpc_timeout counts per attempt; the outer limit counts once
        async with asyncio.timeout(limit_s):
            serves = await client.service_client.check_health(timeout=timedelta(seconds=limit_s))
    except (RuntimeError, RPCError, TimeoutError) as error:
        raise _unreachable(settings) from error
    if not serves:
        raise _unreachable(settings)


def _unreachable(settings: Settings) -> DependencyError:
    return DependencyError(
        f"Temporal does not answer at {settings.temporal_address}; see that it runs (`make up`), then try again"
    )
