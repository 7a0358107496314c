"""Over a real socket: what no HTTP parser takes is answered in the envelope."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.responses import Response

from api.protocol import EnvelopedHttp


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(
        Response("fine"), host="127.0.0.1", port=0, http=EnvelopedHttp, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield listener.getsockname()[1]
    server.should_exit = True
    await serving
    listener.close()


async def answer(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    async with asyncio.timeout(10):
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


async def test_the_rest_is_as_before(port):
    assert (await answer(port, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).endswith(b"fine")
