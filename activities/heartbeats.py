"""Heartbeats: proof of life of long activities, and the way a cancellation reaches them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from temporalio import activity

BEAT_EVERY_S = 1.0


@asynccontextmanager
async def heartbeating() -> AsyncIterator[None]:
    """Beat while the body runs.

    The body and the beat share one event loop: a body that blocks it goes silent and is seen as dead. Bodies wait on
    processes or sockets that they look at at least ten times a second, with limits of their own.
    """

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(BEAT_EVERY_S)

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
