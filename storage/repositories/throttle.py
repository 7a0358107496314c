"""Throttle counters, exact for any number of concurrent processes."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, func, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Attempts

_MAX_DOUBLINGS: Final = 20
# One statement: the row's lock serializes concurrent attempts. Each reads the clock once it has the lock: `now()` would
# be the start of its transaction.
_TRY: Final = text(
    """
    INSERT INTO attempts AS a (key, count, blocked_until, expires_at)
    VALUES (:key, 1, clock_timestamp(), clock_timestamp() + make_interval(secs => :window_s))
    ON CONFLICT (key) DO UPDATE SET
      count = CASE WHEN a.expires_at <= clock_timestamp() THEN 1 ELSE a.count + 1 END,
      expires_at = CASE WHEN a.expires_at <= clock_timestamp() THEN excluded.expires_at ELSE a.expires_at END,
      blocked_until = CASE
        WHEN a.expires_at <= clock_timestamp() OR a.count + 1 < :free THEN clock_timestamp()
        ELSE clock_timestamp() + make_interval(secs => LEAST(
          :longest_s, :first_s * power(2, LEAST(a.count + 1 - :free, :doublings))::double precision))
      END
    WHERE a.blocked_until <= clock_timestamp() OR a.expires_at <= clock_timestamp()
    RETURNING count
    """
)
_LEFT: Final = text(
    "SELECT extract(epoch FROM LEAST(blocked_until, expires_at) - clock_timestamp()) FROM attempts WHERE key = :key"
)


@dataclass(frozen=True)
class Policy:
    """The limit of attempts.

    Attributes:
        free: attempts in a window without any delay.
        window_s: seconds from the first attempt until the counter is reset.
        first_s: seconds to wait after the last free attempt, doubled by each further one.
        longest_s: the maximum wait.
    """

    free: int
    window_s: float
    first_s: float
    longest_s: float


class AttemptRepository:
    """Attempts by key, by the database's clock."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def attempt(self, key: str, policy: Policy) -> float:
        """Count an attempt if it is allowed now, and return 0; otherwise the seconds to wait, without counting it."""
        values = {
            "key": key,
            "free": policy.free,
            "window_s": policy.window_s,
            "first_s": policy.first_s,
            "longest_s": policy.longest_s,
            "doublings": _MAX_DOUBLINGS,
        }
        if (await self._session.execute(_TRY, values)).first() is not None:
            return 0.0
        left = await self._session.scalar(_LEFT, {"key": key})
        return max(0.001, float(left or 0))

    async def give_back(self, key: str) -> None:
        """Undo the attempt that was just allowed; when it was allowed, nothing was blocked."""
        less = update(Attempts).where(Attempts.key == key, Attempts.count > 0)
        await self._session.execute(less.values(count=Attempts.count - 1, blocked_until=func.clock_timestamp()))

    async def forget(self, key: str) -> None:
        await self._session.execute(delete(Attempts).where(Attempts.key == key))
