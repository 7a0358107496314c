"""One call in flight for each key, whose result is shared for a moment: a thousand pollers cost one query."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

from runtime.meter import cache_hit, cache_miss, current

K = TypeVar("K")
V = TypeVar("V")

MAX_KEYS = 10_000


class SharedAnswers(Generic[K, V]):
    """Calls `ask` at most once per key at a time and keeps the result `keep_s` seconds. An error goes to all who wait.

    Errors are not kept. For one event loop. `ask` needs a time limit of its own: it goes on without anyone waiting.
    """

    def __init__(self, ask: Callable[[K], Awaitable[V]], *, keep_s: float, max_keys: int = MAX_KEYS) -> None:
        self._ask = ask
        self._keep_s = keep_s
        self._max_keys = max_keys
        self._flights: dict[K, asyncio.Task[V]] = {}
        # All are kept equally long, so they expire in the order of their arrival.
        self._answers: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def is_under_way(self, key: K) -> bool:
        """Whether a call is in flight, whose result `get` would wait for."""
        return key in self._flights

    async def get(self, key: K) -> V:
        """The result: a kept one, that of the call in flight, or of a new call."""
        kept = self._answers.get(key)
        if kept and kept[0] > time.monotonic():
            cache_hit()
            return kept[1]
        cache_miss()
        flight = self._flights.get(key) or self._take_off(key)
        # A cancelled caller must not cancel the call of the others.
        return await asyncio.shield(flight)

    def forget(self, key: K) -> None:
        """Later callers get a new result; those who already wait get the old one."""
        self._answers.pop(key, None)
        self._flights.pop(key, None)

    def _take_off(self, key: K) -> asyncio.Task[V]:
        # In a context of its own: it must not log under the request id of the first caller. That its queries are
        # counted for the first caller is right: somebody's they are.
        context = Context()
        context.run(current.set, current.get())
        flight = asyncio.create_task(self._fly(key), context=context)
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
    """Read the exception, so that the event loop does not warn of it when no one waits any more."""
    if not flight.cancelled():
        flight.exception()
