"""Counters of one process."""

import time
from collections.abc import Callable, Sequence

from limits.aio.storage import MemoryStorage

from domain.rate_limits import Count, Decision, Quota

SWEEP_EVERY_S = 30.0


class MemoryStore(MemoryStorage):
    """The library's memory, read and written in one step: nothing is awaited between, so no request comes between.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._swept_at = clock()

    async def take(self, quotas: Sequence[Quota]) -> Decision:
        """See `Store`."""
        now = self._clock()
        self._sweep(now)
        used = [self._used(quota.key, now) for quota in quotas]
        allowed = all(count < quota.limit for count, quota in zip(used, quotas, strict=True))
        counts = []
        for count, quota in zip(used, quotas, strict=True):
            if allowed:
                count += 1  # noqa: PLW2901 - this request is in it
                self.storage[quota.key] = count
                self.expirations.setdefault(quota.key, now + quota.seconds)
            counts.append(Count(quota, count, self.expirations.get(quota.key, now + quota.seconds) - now))
        return Decision(allowed, counts)

    async def ping(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """Nothing to give back."""

    def _used(self, key: str, now: float) -> int:
        ends = self.expirations.get(key)
        if ends is not None and ends <= now:
            del self.expirations[key]
            del self.storage[key]
        return self.storage.get(key, 0)

    def _sweep(self, now: float) -> None:
        """Remove unused counters, which would be kept for ever."""
        if now - self._swept_at < SWEEP_EVERY_S:
            return
        self._swept_at = now
        for key in [key for key, ends in self.expirations.items() if ends <= now]:
            del self.expirations[key]
            del self.storage[key]
