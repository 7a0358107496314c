"""Somebody who takes webhooks: an HTTP server that keeps what arrives and answers as a test says."""

import asyncio
import json
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Received:
    """One request. `headers` have lower-case names."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass
class Reply:
    """What is answered, after a while; `hold`: only when it is set."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    hold: asyncio.Event | None = None


class Receiver:
    """`async with Receiver() as receiver:` listens on a free port of `host`.

    `answer` decides by request; without one it is 204.
    """

    def __init__(self, host: str = "127.0.0.1", *, tls: ssl.SSLContext | None = None, keep: int | None = None) -> None:
        self._host = host
        self._tls = tls
        self._server: asyncio.Server | None = None
        self.received: deque[Received] = deque(maxlen=keep)
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.answer: Callable[[Received], Reply] = lambda _: Reply()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
            for writer in list(self._writers):
                writer.close()
            await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def url(self, path: str = "/hook") -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while request := await _read(reader):
                self.received.append(request)
                reply = self.answer(request)
                if reply.hold:
                    await reply.hold.wait()
                writer.write(_head(reply) + reply.body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def _head(reply: Reply) -> bytes:
    headers = {"Content-Length": str(len(reply.body)), **reply.headers}
    if reply.status == 204:
        headers.pop("Content-Length")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {reply.status} X\r\n{lines}\r\n".encode()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(first.split(" ")[1], headers, body, time.time())
