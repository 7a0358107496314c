"""How often passwords may be tried: a port, so that the store can change. See `api/rate_limits/sensitive_limits.py`."""

import hashlib
from typing import Final, Protocol

from storage.engine import Sessions, transaction
from storage.repositories.throttle import AttemptRepository, Policy

HOUR_S: Final = 3600.0
MINUTE_S: Final = 60.0
# Wrong passwords of one account from one address, or from one known device: 5, then 2 s, 4 s, ... 15 min.
LOGIN: Final = Policy(free=5, window_s=HOUR_S, first_s=2, longest_s=900)
# Of one account from all addresses together, known devices aside: a botnet gets two guesses a minute.
ACCOUNT: Final = Policy(free=20, window_s=HOUR_S, first_s=1, longest_s=30)
# All logins from one address, whatever the accounts.
ADDRESS: Final = Policy(free=60, window_s=MINUTE_S, first_s=1, longest_s=MINUTE_S)


class Throttle(Protocol):
    """Counts attempts by key."""

    async def attempt(self, key: str, policy: Policy) -> float:
        """0 when it is allowed now (and is counted); else the seconds until one is."""
        ...

    async def give_back(self, key: str) -> None:
        """The attempt that was just allowed was not made: it does not count."""
        ...

    async def forget(self, key: str) -> None:
        """The attempts were rightful: begin anew."""
        ...


class StoredThrottle:
    """Counters in PostgreSQL: exact across processes, and kept over restarts."""

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
    """Keys hold addresses of people: none of them is stored."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
