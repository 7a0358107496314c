"""Background tasks of an API process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from runtime.logging import get_logger
from storage.listen import Listener

log = get_logger(__name__)

WAIT_S = 1.0


@asynccontextmanager
async def running(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run endless tasks; at the end cancel them and wait for them."""
    tasks = [asyncio.create_task(job) for job in jobs]
    for task in tasks:
        task.add_done_callback(_tell)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def listen(listener: Listener, *told: Callable[[], None]) -> None:
    """Call all of them at each notification."""
    try:
        while True:
            if await listener.wait(WAIT_S):
                for tell in told:
                    tell()
    finally:
        await listener.close()


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background.ended", exc_info=error)
