import asyncio
import tempfile
from pathlib import Path

import pytest

from activities.idle_watch import IdleWatch
from domain.delivery_spec import HealthSpec
from tests.drivers.routers.upstreams import Upstream

HEALTH = HealthSpec(path="/health", host="dev.shop.acme.localhost")


async def found(port: int, *, after_s: float = 0.0) -> bool:
    async with IdleWatch() as watch:
        watch.begin("127.0.0.1", port, HEALTH)
        await asyncio.sleep(after_s)
        return await watch.closed()


@pytest.fixture
async def upstream():
    made = await Upstream("blue").start()
    yield made
    await made.stop()


async def test_a_server_that_closes_without_saying_so_is_found(upstream):
    upstream.closes_idle = True
    async with IdleWatch() as watch:
        watch.begin("127.0.0.1", upstream.port, HEALTH)
        assert watch._task is not None
        assert await asyncio.wait_for(watch._task, 120)
        assert await watch.closed()
    assert upstream.health_hosts == {HEALTH.host}


async def test_one_that_keeps_its_connections_is_not(upstream):
    assert not await found(upstream.port)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",  # its end is the end of the connection
        b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nok",
        b"NOT HTTP\r\n\r\n",
        b"",
    ],
)
async def test_one_that_says_so_or_breaks_off_is_not(answer):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with IdleWatch() as watch:
        watch.begin("127.0.0.1", server.sockets[0].getsockname()[1], HEALTH)
        assert watch._task is not None
        assert not await asyncio.wait_for(watch._task, 120)
    server.close()


async def test_nothing_was_asked_or_nobody_is_there(free_port):
    async with IdleWatch() as watch:
        assert not await watch.closed()
    assert not await found(free_port(), after_s=0.01)


async def test_who_closes_without_saying_so_is_found_behind_a_bridge_too(upstream):
    with tempfile.TemporaryDirectory(prefix="idle-") as folder:
        await upstream.behind_a_bridge(Path(folder) / "i")
        upstream.closes_idle = True
        async with IdleWatch() as watch:
            watch.begin(upstream.endpoint.address, 8080, HEALTH)
            assert watch._task is not None
            assert await asyncio.wait_for(watch._task, 120)
        await upstream.bridge.end()
