"""Counting requests: in memory and in a real Redis, alone and many at once, and without a store that answers."""

import asyncio
import socket
import time
from collections import Counter

import pytest
from structlog.testing import capture_logs

from domain.rate_limits import Quota, RateWindow
from runtime.limiting import redis as redis_module
from runtime.limiting.limiter import LOG_EVERY_S, TRY_AGAIN_S, Limiter, make_limiter
from runtime.limiting.memory import SWEEP_EVERY_S, MemoryStore
from runtime.limiting.redis import RedisStore
from runtime.limiting.store import StoreAwayError
from runtime.settings import Settings
from tests.support.redis_server import RedisServer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """A busy machine may keep an answer for longer than a request is to wait for one."""
    monkeypatch.setattr(redis_module, "ANSWER_LIMIT_S", 30.0)


@pytest.fixture(scope="module")
def redis(short_dir):
    folder = short_dir / "limiting-redis"
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(params=["memory", "redis"])
async def store(request, redis):
    made = MemoryStore() if request.param == "memory" else RedisStore(redis.url)
    yield made
    await made.close()


def quotas(name: str, *limits: int, seconds: int = 60) -> list[Quota]:
    return [Quota(f"{{{name}}}:{number}", f"p{number}", limit, seconds) for number, limit in enumerate(limits)]


async def test_of_many_at_once_exactly_as_many_as_allowed_pass(store):
    wanted = quotas("many", 100, 1000)
    taken = await asyncio.gather(*(store.take(wanted) for _ in range(300)))
    assert Counter(decision.allowed for decision in taken) == {True: 100, False: 200}
    assert sorted(decision.counts[0].used for decision in taken if decision.allowed) == list(range(1, 101))


async def test_two_processes_share_the_counters_of_redis(redis):
    wanted = quotas("shared", 100)
    stores = [RedisStore(redis.url) for _ in range(2)]
    taken = await asyncio.gather(*(one.take(wanted) for _ in range(150) for one in stores))
    assert sum(decision.allowed for decision in taken) == 100
    for one in stores:
        await one.close()


async def test_what_is_refused_is_counted_nowhere(store):
    narrow, wide = quotas("refused", 2, 50)
    for _ in range(5):
        decision = await store.take([narrow, wide])
    assert not decision.allowed
    assert [count.used for count in decision.counts] == [2, 2]
    assert (await store.take([wide])).counts[0].used == 3


async def test_a_window_begins_with_its_first_request_and_ends_in_time(store):
    [short] = quotas("window", 1, seconds=1)
    first = await store.take([short])
    assert 0 < first.counts[0].resets_in_s <= 1
    while (refused := await store.take([short])).allowed:
        pass  # on a busy machine the window was over
    assert refused.retry_after_s == 1
    await asyncio.sleep(refused.counts[0].resets_in_s + 0.01)
    assert (await store.take([short])).allowed


async def test_memory_lets_go_of_counters_nobody_asks_for():
    clock = Clock()
    store = MemoryStore(clock)
    for number in range(100):
        await store.take(quotas(f"old{number}", 5, seconds=1))
    clock.now += SWEEP_EVERY_S
    await store.take(quotas("new", 5))
    assert len(store.storage) == len(store.expirations) == 1


async def test_a_script_that_redis_has_forgotten_is_sent_again(redis):
    store = RedisStore(redis.url)
    await store.take(quotas("script", 5))
    await store._client.script_flush()
    assert (await store.take(quotas("script", 5))).counts[0].used == 2
    await store.close()


async def test_counters_in_redis_expire_by_themselves(redis):
    store = RedisStore(redis.url)
    await store.take(quotas("expiring", 5, 6))
    keys = await store._client.keys("delivery:limits:{expiring}*")
    assert len(keys) == 2
    assert all([0 < await store._client.ttl(key) <= 60 for key in keys])
    await store.close()


async def test_without_its_store_the_limiter_lets_pass_says_so_once_and_comes_back(short_dir):
    folder = short_dir / "away"
    folder.mkdir()
    server, clock = RedisServer(folder), Clock()
    limiter, wanted = Limiter(RedisStore(server.url), clock), quotas("away", 1)
    with capture_logs() as logs:
        assert [await limiter.take(wanted) for _ in range(5)] == [None] * 5
        clock.now += TRY_AGAIN_S
        assert await limiter.take(wanted) is None
        with pytest.raises(StoreAwayError):
            await limiter.check()
    assert [entry["event"] for entry in logs] == ["limits.store_away"]
    server.start()
    try:
        assert await limiter.take(wanted) is None  # nobody waits for a store that was away just now
        clock.now += TRY_AGAIN_S
        assert [(await limiter.take(wanted)).allowed for _ in range(2)] == [True, False]
        await limiter.check()
    finally:
        await limiter.close()
        server.stop()
    with capture_logs() as logs:
        clock.now += LOG_EVERY_S
        assert await limiter.take(wanted) is None
    assert len(logs) == 1


async def test_a_store_that_takes_the_connection_and_says_nothing_costs_its_limit_once(short_dir, monkeypatch):
    monkeypatch.setattr(redis_module, "ANSWER_LIMIT_S", 0.1)
    path, asked = short_dir / "silent.sock", []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        store = RedisStore(f"unix://{path}")
        take = store.take
        monkeypatch.setattr(store, "take", lambda wanted: asked.append(wanted) or take(wanted))
        limiter = Limiter(store, Clock())
        assert [await limiter.take(quotas("silent", 1)) for _ in range(20)] == [None] * 20
        assert len(asked) == 1
        await limiter.close()


async def test_an_event_loop_that_was_busy_is_not_taken_for_a_store_that_is_away(redis, monkeypatch):
    monkeypatch.setattr(redis_module, "ANSWER_LIMIT_S", 1.0)
    store = RedisStore(redis.url)
    await store.take(quotas("warm", 10))
    asked = asyncio.create_task(store.take(quotas("busy", 10)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(2)  # noqa: ASYNC251 - the loop is to be busy
    assert (await asked).allowed
    await store.close()


async def test_tries_with_limits_of_their_own_are_counted_even_without_the_store(short_dir):
    windows = [RateWindow("minute", 3, 60), RateWindow("hour", 10, 3600)]
    for limiter in (Limiter(MemoryStore()), Limiter(RedisStore(f"unix://{short_dir}/nowhere.sock"))):
        tried = [await limiter.hit("login", "203.0.113.9", windows) for _ in range(4)]
        assert [one.allowed for one in tried] == [True, True, True, False]
        assert 0 < tried[-1].retry_after_s <= 60
        assert (await limiter.hit("login", "203.0.113.10", windows)).allowed
        assert (await limiter.hit("token", "203.0.113.9", windows)).allowed
        await limiter.close()


def test_several_processes_refuse_to_count_in_memory(redis):
    with pytest.raises(ValueError, match="DELIVERY_REDIS_URL"):
        Settings(api_processes=2)
    assert Settings(api_processes=2, rate_limits="off").api_processes == 2
    assert Settings(api_processes=2, redis_url=redis.url).api_processes == 2


@pytest.mark.parametrize(
    "url", ["redis://h:1/0", "rediss://u:p@h:1", "valkey://h:1", "valkeys://h:1", "unix:///x.sock"]
)
async def test_redis_and_valkey_are_named_by_their_usual_addresses(url):
    await make_limiter(Settings(redis_url=url)).close()


def test_a_wrong_address_is_refused_without_showing_its_password():
    with pytest.raises(ValueError, match="redis://") as refused:
        Settings(redis_url="http://:secret-word@host")
    assert "secret-word" not in str(refused.value)
