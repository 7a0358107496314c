"""Counters that all processes share, in Redis or Valkey."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from domain.limits import Count, Decision, Quota
from runtime.limiting.store import StoreAwayError

T = TypeVar("T")

ANSWER_LIMIT_S = 0.1
# A busy event loop reads an answer late that came in time: so many turns of it before the limit counts.
GRACE_TURNS = 10
CONNECTIONS = 32
PREFIX = "delivery:limits"

# KEYS: counters. ARGV: of each its limit and its milliseconds. Answers whether the request was counted, and of each
# counter its value and the milliseconds left. A script runs alone, so all quotas are taken or none is.
TAKE = """
local used, allowed = {}, 1
for i, key in ipairs(KEYS) do
  used[i] = tonumber(redis.call('GET', key)) or 0
  if used[i] >= tonumber(ARGV[2 * i - 1]) then allowed = 0 end
end
local answer = {allowed}
for i, key in ipairs(KEYS) do
  local left = used[i] > 0 and redis.call('PTTL', key) or -1
  if allowed == 1 then
    used[i] = redis.call('INCR', key)
    if left < 0 then redis.call('PEXPIRE', key, ARGV[2 * i]) end
  end
  if left < 0 then left = tonumber(ARGV[2 * i]) end
  answer[2 * i] = used[i]
  answer[2 * i + 1] = left
end
return answer
"""


class RedisStore(RedisStorage):
    """The library's Redis storage, with a script of ours.

    Args:
        url: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`; never logged, as it may hold a password.
    """

    def __init__(self, url: str) -> None:
        url = url.replace("valkey", "redis", 1)  # one protocol, one client
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=None,  # one limit for all of it, below
            retry=Retry(NoBackoff(), 0),
        )
        scheme = url.replace("unix://", "redis+unix://", 1)
        options: dict[str, Any] = {"connection_pool": pool}
        super().__init__(f"async+{scheme}", implementation="redispy", key_prefix=PREFIX, **options)
        self._client: Any = self.bridge.storage  # type: ignore[attr-defined] # of the bridge for redis-py
        self._take = self._client.register_script(TAKE)
        self._pool = pool

    async def take(self, quotas: Sequence[Quota]) -> Decision:
        """See `Store`."""
        keys = [f"{PREFIX}:{quota.key}" for quota in quotas]
        arguments = [number for quota in quotas for number in (quota.limit, quota.seconds * 1000)]
        allowed, *found = await _answered(self._take(keys=keys, args=arguments))
        pairs = zip(quotas, found[::2], found[1::2], strict=True)
        return Decision(bool(allowed), [Count(quota, used, left / 1000) for quota, used, left in pairs])

    async def ping(self) -> None:
        """StoreAwayError when it does not answer."""
        await _answered(self._client.ping())

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()
        await self._pool.aclose()


async def _answered(call: Coroutine[Any, Any, T]) -> T:
    task = asyncio.create_task(call)
    try:
        await asyncio.wait({task}, timeout=ANSWER_LIMIT_S)
        turns = 0
        while not task.done() and turns < GRACE_TURNS:
            turns += 1
            await asyncio.sleep(0)
        if not task.done():
            raise StoreAwayError(f"Redis did not answer within {ANSWER_LIMIT_S} s")
        return task.result()
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreAwayError(f"Redis does not answer: {type(error).__name__}") from error
    finally:
        task.cancel()
