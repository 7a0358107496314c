"""Throttling of password attempts: a port, so that the store is replaceable (`api/rate_limits/sensitive_limits.py`)."""

import hashlib
from typing import Final, Protocol

from storage.engine import Sessions, transaction
from storage.repositories.throttle import AttemptRepository, Policy

HOUR_S: Final = 3600.0
MINUTE_S: Final = 60.0
# Wrong passwords for one account from one network, or from one known device: 5, then 2 s, 4 s, ... 15 min.
LOGIN: Final = Policy(free=5, window_s=HOUR_S, first_s=2, longest_s=900)
# For one account from all networks together, known devices aside: a botnet gets two guesses a minute.
ACCOUNT: Final = Policy(free=20, window_s=HOUR_S, first_s=1, longest_s=30)
# All logins from one network, for any account.
ADDRESS: Final = Policy(free=60, window_s=MINUTE_S, first_s=1, longest_s=MINUTE_S)


class Throttle(Protocol):
    """Counts attempts by key."""

    async def attempt(self, key: str, policy: Policy) -> float:
        """0 if the attempt is allowed (it is then counted); else the seconds to wait."""
        ...

    async def give_back(self, key: str) -> None:
        """Uncount an allowed attempt that was not made."""
        ...

    async def forget(self, key: str) -> None:
        """Reset the counter after a success."""
        ...


class StoredThrottle:
    """Counters in PostgreSQL: exact across processes, and durable over restarts."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def attempt(self, key: str, policy: Policy) -> float:
        async with transaction(self._sessions) as session:
            return await AttemptRepository(session).attempt(_digest(key), policy)

    async def give_back(self, key: str) -> None:
        async with transaction(self._sessions) as session:
            await AttemptRepository(session).give_back(_digest(key))

    async def forget(self, key: str) -> None:
        async with transaction(self._sessions) as session:
            await AttemptRepository(session).forget(_digest(key))


def _digest(key: str) -> str:
    """Keys contain people's addresses, so only their digests are stored."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
