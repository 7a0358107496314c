"""How often something may be tried: logins, and the endpoints of programs. A port, so that the store can change."""

import hashlib
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol

from storage.engine import Sessions, transaction
from storage.repositories.attempts import AttemptRepository, Policy

HOUR_S: Final = 3600.0
MINUTE_S: Final = 60.0
# Wrong passwords of one account from one address, or from one known device: 5, then 2 s, 4 s, ... 15 min.
LOGIN: Final = Policy(free=5, window_s=HOUR_S, first_s=2, longest_s=900)
# Of one account from all addresses together, known devices aside: a botnet gets two guesses a minute.
ACCOUNT: Final = Policy(free=20, window_s=HOUR_S, first_s=1, longest_s=30)
# All logins from one address, whatever the accounts.
ADDRESS: Final = Policy(free=60, window_s=MINUTE_S, first_s=1, longest_s=MINUTE_S)
# One client from one address; a program needs one token an hour.
TOKENS: Final = Policy(free=120, window_s=MINUTE_S, first_s=1, longest_s=MINUTE_S)
LOOKUPS: Final = Policy(free=1200, window_s=MINUTE_S, first_s=1, longest_s=MINUTE_S)

_V6_NETWORK: Final = 64  # bits that a provider gives to one household


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
    """In PostgreSQL: exact over any number of processes, and a restart forgets nothing."""

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


def network_of(address: str) -> str:
    """An address as one party: of IPv6 its network, since one party has all of that."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return f"{int(parsed) >> _V6_NETWORK:x}/{_V6_NETWORK}"
    return str(parsed)


def _digest(key: str) -> str:
    """Keys hold addresses of people: none of them is stored."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
