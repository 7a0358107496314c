"""One question in flight per key, its answer shared for a moment: a thousand pollers cost what one does."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MAX_KEYS = 10_000


class SharedAnswers(Generic[K, V]):
    """Asks at most once per key at a time and keeps the answer `keep_s` seconds; an error goes to all, and is not kept.

    For one event loop. `ask` has its own time limit: a question ends although nobody waits for it any more.
    """

    def __init__(self, ask: Callable[[K], Awaitable[V]], *, keep_s: float, max_keys: int = MAX_KEYS) -> None:
        self._ask = ask
        self._keep_s = keep_s
        self._max_keys = max_keys
        self._flights: dict[K, asyncio.Task[V]] = {}
        # All are kept equally long, so the order they came in is the order they expire in.
        self._answers: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def is_under_way(self, key: K) -> bool:
        """Whether a question is asked just now: who asks this one, too, waits for the same answer."""
        return key in self._flights

    async def get(self, key: K) -> V:
        """The answer: a kept one, the one under way, or a new one."""
        kept = self._answers.get(key)
        if kept and kept[0] > time.monotonic():
            return kept[1]
        flight = self._flights.get(key) or self._take_off(key)
        # One impatient poller must not cancel the question of the others.
        return await asyncio.shield(flight)

    def forget(self, key: K) -> None:
        """Whoever asks from now on gets a new answer; those who wait already get the old one."""
        self._answers.pop(key, None)
        self._flights.pop(key, None)

    def _take_off(self, key: K) -> asyncio.Task[V]:
        # In a context of its own: it is nobody's request, and must not log under the id of the one that came first.
        flight = asyncio.create_task(self._fly(key), context=Context())
        flight.add_done_callback(_seen)
        self._flights[key] = flight
        return flight

    async def _fly(self, key: K) -> V:
        try:
            answer = await self._ask(key)
            if self._is_current(key):
                self._keep(key, answer)
            return answer
        finally:
            if self._is_current(key):
                del self._flights[key]

    def _is_current(self, key: K) -> bool:
        return self._flights.get(key) is asyncio.current_task()

    def _keep(self, key: K, answer: V) -> None:
        now = time.monotonic()
        self._answers[key] = (now + self._keep_s, answer)
        self._answers.move_to_end(key)
        while self._answers and self._is_spare(next(iter(self._answers.values()))[0], now):
            self._answers.popitem(last=False)

    def _is_spare(self, expires: float, now: float) -> bool:
        return expires <= now or len(self._answers) > self._max_keys


def _seen(flight: asyncio.Task[V]) -> None:
    """A fault nobody waits for any more is not worth a warning of the event loop."""
    if not flight.cancelled():
        flight.exception()
