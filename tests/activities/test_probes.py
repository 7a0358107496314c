import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest

from activities.probes import Prober
from domain.errors import DependencyError
from tests.drivers.routers.upstreams import Upstream
from tests.support.services import free_port


@pytest.fixture
async def prober():
    made = Prober("127.0.0.1", free_port())
    yield made
    await made.close()


async def test_a_router_that_is_away_says_nothing_of_the_version_behind_it(prober):
    with pytest.raises(DependencyError, match="takes no connections"):
        await prober.through_router("dev.shop.acme.localhost", "/healthz", 1)


async def test_a_preview_is_asked_with_its_token_and_users_are_asked_without():
    ingress = await Upstream("ingress").start()
    prober = Prober("127.0.0.1", ingress.port)
    for preview in ("secret-token", None):
        probe = await prober.through_router("dev.shop.acme.localhost", "/healthz", 60, preview=preview)
        assert probe.healthy
        assert ("x-delivery-preview" in probe.words) == (preview is not None)
        assert '"host": "dev.shop.acme.localhost"' in probe.words
    await prober.close()
    await ingress.stop()


async def test_an_instance_that_is_away_is_not_healthy(prober):
    probe = await prober.instance("127.0.0.1", free_port(), "/healthz", 1)
    assert not probe.healthy
    assert "ConnectError" in probe.words


async def test_an_instance_is_asked_through_its_socket(prober):
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        upstream = await (await Upstream("blue").start()).behind_a_bridge(Path(folder) / "i")
        socket = upstream.endpoint.address
        probe = await prober.instance(socket, 8080, "/health", 60, host="dev.shop.acme.localhost")
        assert (probe.healthy, probe.status) == (True, 200)
        assert probe.words.startswith("GET http://127.0.0.1:8080/health answered 200")
        assert upstream.health_hosts == {"dev.shop.acme.localhost"}
        upstream.healthy = False
        assert "answered 503" in (await prober.instance(socket, 8080, "/health", 60)).words
        await upstream.stop()
        probe = await prober.instance(socket, 8080, "/health", 60)
        assert (probe.healthy, probe.words) == (
            False,
            "GET http://127.0.0.1:8080/health failed: nobody listens on the port",
        )
        await upstream.start()
        await upstream.end()
        probe = await prober.instance(socket, 8080, "/health", 60)
        assert not probe.healthy
        assert "ConnectError" in probe.words


async def test_an_answer_that_comes_in_drops_has_no_more_time_than_any_other(prober):
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            for letter in b"HTTP/1.1 200 OK\r\nx: " + b"x" * 10_000:
                writer.write(bytes([letter]))
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()

    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        socket = f"{folder}/i"
        async with await asyncio.start_unix_server(drip, socket), asyncio.timeout(120):
            probe = await prober.instance(socket, 8080, "/health", 0.3)
    assert (probe.healthy, probe.words) == (False, "GET http://127.0.0.1:8080/health did not answer within 0.3 s")
