"""Counters that all processes share, in Redis or Valkey."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from limits.aio.storage import RedisStorage
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from domain.rate_limits import Count, Decision, Quota
from runtime.limiting.store import StoreAwayError

T = TypeVar("T")

ANSWER_LIMIT_S = 0.1
# An event loop that was busy for longer than this notices an answer late that came in time: then it waits again.
BUSY_S = 0.02
TRIES = 3
BATCH = 200
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


@dataclass(frozen=True)
class _Asked:
    quotas: Sequence[Quota]
    answer: asyncio.Future[Decision]

    def settle(self, found: Any) -> None:
        """Hand over what the script answered, or why it did not."""
        if self.answer.done():  # the caller was cancelled
            return
        if isinstance(found, BaseException):
            error = StoreAwayError(f"Redis does not count: {type(found).__name__}")
            self.answer.set_exception(found if isinstance(found, StoreAwayError) else error)
            return
        allowed, *numbers = found
        pairs = zip(self.quotas, numbers[::2], numbers[1::2], strict=True)
        self.answer.set_result(Decision(bool(allowed), [Count(one, used, left / 1000) for one, used, left in pairs]))


class RedisStore(RedisStorage):
    """The library's Redis storage, with a script of ours.

    Requests that arrive while a batch is under way wait for the next one: a crowd costs one round trip, not one each.

    Args:
        url: `redis://`, `rediss://`, `valkey://`, `valkeys://` or `unix://`; never logged, as it may hold a password.
    """

    def __init__(self, url: str) -> None:
        url = url.replace("valkey", "redis", 1)  # one protocol, one client
        pool = ConnectionPool.from_url(url, retry=Retry(NoBackoff(), 0))
        options: dict[str, Any] = {"connection_pool": pool}
        scheme = url.replace("unix://", "redis+unix://", 1)
        super().__init__(f"async+{scheme}", implementation="redispy", key_prefix=PREFIX, **options)
        self._client: Any = self.bridge.storage  # type: ignore[attr-defined] # of the bridge for redis-py
        self._script = self._client.register_script(TAKE)
        self._pool = pool
        self._waiting: list[_Asked] = []
        self._work: asyncio.Task[None] | None = None

    async def take(self, quotas: Sequence[Quota]) -> Decision:
        """See `Store`."""
        asked = _Asked(quotas, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._work is None:
            self._work = asyncio.create_task(self._send_all())
        return await asked.answer

    async def ping(self) -> None:
        """StoreAwayError when it does not answer."""
        await _answered(self._client.ping())

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()
        await self._pool.aclose()

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                try:
                    await self._send(batch)
                except Exception as error:  # noqa: BLE001 - every waiting request must get an answer
                    self._refuse(batch, error)
        finally:
            self._work = None

    async def _send(self, batch: Sequence[_Asked]) -> None:
        found = await self._run(batch)
        unknown = [asked for asked, answer in zip(batch, found, strict=True) if isinstance(answer, NoScriptError)]
        for asked, answer in zip(batch, found, strict=True):
            if asked not in unknown:
                asked.settle(answer)
        if unknown:  # Redis is new, or was started anew
            await _answered(self._client.script_load(TAKE))
            for asked, answer in zip(unknown, await self._run(unknown), strict=True):
                asked.settle(answer)

    async def _run(self, batch: Sequence[_Asked]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for asked in batch:
            keys = [f"{PREFIX}:{quota.key}" for quota in asked.quotas]
            numbers = [number for quota in asked.quotas for number in (quota.limit, quota.seconds * 1000)]
            pipeline.evalsha(self._script.sha, len(keys), *keys, *numbers)
        found: list[Any] = await _answered(pipeline.execute(raise_on_error=False))
        return found

    def _refuse(self, batch: Sequence[_Asked], error: Exception) -> None:
        """Those who wait behind would wait for nothing."""
        waiting, self._waiting = self._waiting, []
        for asked in (*batch, *waiting):
            asked.settle(error)


async def _answered(call: Coroutine[Any, Any, T]) -> T:
    task = asyncio.create_task(call)
    try:
        for _ in range(TRIES):
            began = time.monotonic()
            await asyncio.wait({task}, timeout=ANSWER_LIMIT_S)
            if task.done() or time.monotonic() - began < ANSWER_LIMIT_S + BUSY_S:
                break
        if not task.done():
            raise StoreAwayError(f"Redis did not answer within {ANSWER_LIMIT_S} s")
        return task.result()
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreAwayError(f"Redis does not answer: {type(error).__name__}") from error
    finally:
        task.cancel()
