"""The Temporal client, with a limit on every wait."""

import asyncio
from datetime import timedelta

from temporalio.client import Client
from temporalio.service import KeepAliveConfig, RPCError

from domain.errors import DependencyError
from runtime.codec import data_converter
from runtime.settings import Settings
from runtime.telemetry import temporal_plugins
from runtime.temporal_access import is_protected, tls_of

CONNECT_TIMEOUT_S = 5.0


async def connect_temporal(settings: Settings, *, lazy: bool = False) -> Client:
    """A client for the configured server and namespace; payloads are pydantic models, encrypted if there are keys.

    Args:
        settings: name address, namespace, credentials and keys; files are read now.
        lazy: connect at the first call instead of now (the API starts without Temporal).

    Raises:
        DependencyError: the server does not answer within five seconds or does not want us, or TLS is half configured.
    """
    tls, converter = tls_of(settings), data_converter(settings)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await Client.connect(
                settings.temporal_address,
                namespace=settings.temporal_namespace,
                api_key=settings.temporal_api_key.get_secret_value() or None,
                tls=tls,
                data_converter=converter,
                keep_alive_config=KeepAliveConfig(interval_millis=10_000, timeout_millis=5_000),
                lazy=lazy,
                plugins=temporal_plugins(),
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
    if is_protected(settings):
        return DependencyError(
            f"Temporal does not answer at {settings.temporal_address}, or one of us refuses the other; see "
            "that it runs, and that DELIVERY_TEMPORAL_TLS_* or DELIVERY_TEMPORAL_API_KEY are the credentials it wants"
        )
    return DependencyError(
        f"Temporal does not answer at {settings.temporal_address}; see that it runs (`make up`), then try again"
    )
