"""Waiting on conditions, never on time alone."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], bool], limit_s: float = 120) -> None:
    """Wait until the condition holds; `TimeoutError` after `limit_s` seconds."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - the condition is a plain value, nobody sets an event
            await asyncio.sleep(0.01)
