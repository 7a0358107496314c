"""Waiting for a condition with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable

FIRST_PAUSE_S = 0.002
LONGEST_PAUSE_S = 0.05


class Deadline:
    """A deadline shared by all waits of one call."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, 0 once it has passed."""
        return max(0.0, self._end - time.monotonic())

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        """Poll with increasing intervals; False when the deadline passed first."""
        pause = FIRST_PAUSE_S
        while not await condition():
            if not self.left_s:
                return False
            await asyncio.sleep(min(pause, self.left_s))
            pause = min(pause * 2, LONGEST_PAUSE_S)
        return True
