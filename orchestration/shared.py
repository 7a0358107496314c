"""One question in flight per key, its answer shared for a moment: a thousand pollers cost what one does."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MAX_KEYS = 10_000


class SharedAnswers(Generic[K, V]):
    """Asks at most once per key at a time and keeps the answer `keep_s` seconds."""

    def __init__(self, ask: Callable[[K], Awaitable[V]], *, keep_s: float) -> None:
        self._ask = ask
        self._keep_s = keep_s
        self._flights: dict[K, asyncio.Task[V]] = {}
        self._answers: dict[K, tuple[float, V]] = {}

    async def get(self, key: K) -> V:
        """The answer: a kept one, the one under way, or a new one."""
        kept = self._answers.get(key)
        if kept and kept[0] > time.monotonic():
            return kept[1]
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key))
            self._flights[key] = flight
        # One impatient poller must not cancel the question of the others.
        return await asyncio.shield(flight)

    async def _fly(self, key: K) -> V:
        try:
            answer = await self._ask(key)
            self._keep(key, answer)
            return answer
        finally:
            self._flights.pop(key, None)

    def _keep(self, key: K, answer: V) -> None:
        now = time.monotonic()
        if len(self._answers) >= MAX_KEYS:
            self._answers = {k: kept for k, kept in self._answers.items() if kept[0] > now}
        self._answers[key] = (now + self._keep_s, answer)
