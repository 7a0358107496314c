"""Over a real socket: what no HTTP parser takes is answered in the envelope."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from starlette.responses import Response

from api.http import uvicorn_protocol
from tests.support.serving import served


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    async with served(Response("fine")) as port:
        yield port


async def answer(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    async with asyncio.timeout(120):
        whole = await reader.read()
    writer.close()
    await writer.wait_closed()
    return whole


LINES = [
    b"nonsense",
    b"GET /\xff HTTP/1.1",
    b"GET /?a=\xc3\xbc HTTP/1.1",
    b"BREW / HTTP/1.1",
    b"GET / HTTP/1.1\r\nContent-Length: x",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1",
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:20].decode("latin-1"))
async def test_what_is_not_http_is_400_in_the_envelope(port, line):
    head, _, body = (await answer(port, line + b"\r\nHost: a\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    told = json.loads(body)
    assert (told["success"], told["status"], told["error"]["code"]) == (False, 400, "VALIDATION_ERROR")
    assert f"x-request-id: {told['meta']['request_id']}".encode() in head


def headers_of(whole: bytes, status: int) -> dict[str, str]:
    """The headers of an enveloped refusal."""
    head, _, body = whole.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"HTTP/1.1 {status} ")
    envelope = json.loads(body)
    assert (envelope["success"], envelope["status"]) == (False, status)
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert headers["x-request-id"] == envelope["meta"]["request_id"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers
    return headers


@pytest.mark.parametrize("endless", [b"X: ", b"X: 1\r\n"], ids=["one header", "many headers"])
async def test_a_head_without_an_end_is_431(port, endless):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n" + endless)
    answered = asyncio.create_task(reader.read())
    async with asyncio.timeout(120):
        while not answered.done():
            writer.write(b"a" * 16_384 if endless == b"X: " else endless * 2048)
            await asyncio.sleep(0.01)
    assert headers_of(answered.result(), 431)["connection"] == "close"
    writer.close()


async def test_a_head_that_takes_too_long_is_408_and_silence_is_ended(port, monkeypatch):
    monkeypatch.setattr(uvicorn_protocol, "HEAD_LIMIT_S", 0.1)
    assert headers_of(await answer(port, b"GET / HTTP/1.1\r\nHost:"), 408)["connection"] == "close"
    assert await answer(port, b"") == b""


async def test_too_many_connections_are_503_with_retry_after():
    async with served(Response("fine"), limit_concurrency=2) as port:
        _, first = await asyncio.open_connection("127.0.0.1", port)
        headers = headers_of(await answer(port, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 503)
        assert (headers["retry-after"], headers["connection"]) == ("1", "close")
        first.close()
        await first.wait_closed()
        async with asyncio.timeout(120):  # the server hears a little later that it has gone
            while b" 200 OK" not in await answer(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):
                pass


async def test_the_rest_is_as_before(port):
    assert (await answer(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).endswith(b"fine")
