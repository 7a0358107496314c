"""Asks the store, and serves on without it."""

import time
from collections.abc import Callable, Sequence

from domain.rate_limits import Decision, Quota, RateWindow
from runtime.limiting.memory import MemoryStore
from runtime.limiting.store import Store, StoreAwayError
from runtime.logging import get_logger
from runtime.settings import Settings

log = get_logger(__name__)

# While the store is away, one request in so many seconds tries it; the others do not wait.
TRY_AGAIN_S = 1.0
LOG_EVERY_S = 30.0


class Limiter:
    """Fails open: what cannot be counted is allowed."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._own = MemoryStore(clock)
        self._clock = clock
        self._away_until = self._quiet_until = float("-inf")

    async def take(self, quotas: Sequence[Quota]) -> Decision | None:
        """Count a request in all quotas or in none; None: not known now, let it pass."""
        if self._clock() < self._away_until:
            return None
        try:
            return await self._store.take(quotas)
        except StoreAwayError as error:
            self._note_away(error)
            return None

    async def hit(self, name: str, key: str, windows: Sequence[RateWindow]) -> Decision:
        """Count a try of something that has limits of its own, such as logins.

        Unlike `take` it does not fail open: while the store is away, this process counts alone.

        Args:
            name: of the limit, such as "login".
            key: whose tries are counted together, such as an address.
            windows: all of them have to have room.
        """
        quotas = [
            Quota(f"{{{name}:{key}}}:{window.name}", f"{name}-{window.name}", window.limit, window.seconds)
            for window in windows
        ]
        return await self.take(quotas) or await self._own.take(quotas)

    async def check(self) -> None:
        """StoreAwayError when the store does not answer."""
        await self._store.ping()

    async def close(self) -> None:
        """Give connections back."""
        await self._store.close()

    def _note_away(self, error: StoreAwayError) -> None:
        now = self._clock()
        self._away_until = now + TRY_AGAIN_S
        if now >= self._quiet_until:
            self._quiet_until = now + LOG_EVERY_S
            log.error("limits.store_away", reason=error.message, effect="requests are not limited")


def make_limiter(settings: Settings) -> Limiter:
    """The limiter the settings ask for."""
    url = settings.redis_url.get_secret_value()
    if not url:
        return Limiter(MemoryStore())
    from runtime.limiting.redis import RedisStore  # noqa: PLC0415 - a tenth of the time an API needs to start

    return Limiter(RedisStore(url))
