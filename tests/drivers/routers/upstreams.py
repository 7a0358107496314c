"""A small real HTTP/1.1 service, several of them in one process: says who it is, and misbehaves on request."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

from domain.routing import Endpoint
from tests.drivers.bridge.bed import Bridge, begin

MAX_HEAD = 65536
CLOSES_AFTER_S = 0.01
TICK_S = 0.1


class Upstream:
    """Listens on a free port of 127.0.0.1.

    `/slow` answers once `release` is set, `/fail` with 500, `/code/404` with that code, `/reset` breaks the connection,
    `/echo` answers with the request's body, a WebSocket echoes 4 bytes, `/ticks?n` sends n lines a tenth of a second
    apart, `/garbage` no HTTP; everything else answers 200 with name, path and headers. `/health` says 503 while
    `healthy` is False, and 400 to a Host other than `only_host`. With `closes_idle` it closes each connection 10 ms
    after its answer and does not say so.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.healthy = True
        self.only_host = ""
        self.closes_idle = False
        self.health_hosts: set[str] = set()
        self.answered = 0
        self.checked = 0
        self.port = 0
        self.bridge: Bridge | None = None
        self.release = asyncio.Event()
        self.waiting = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> "Upstream":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=MAX_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def behind_a_bridge(self, folder: Path) -> "Upstream":
        """From now on it is reached by a unix socket, as an instance with a network of its own."""
        folder.mkdir(mode=0o700)  # noqa: ASYNC240 - a moment, in a test
        self.bridge = await begin(folder, port=self.port)
        return self

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint.pipe(str(self.bridge.path)) if self.bridge else Endpoint("127.0.0.1", self.port)

    async def end(self) -> None:
        await self.stop()
        if self.bridge is not None:
            await self.bridge.end()

    async def stop(self) -> None:
        """Nobody listens any more; its bridge, if it has one, is still there."""
        assert self._server is not None
        loop = asyncio.get_running_loop()
        for listener in self._server.sockets:
            loop.remove_reader(listener.fileno())
        for _ in range(4):  # asyncio loses a connection that was accepted, but is not in anybody's hands, at the close
            await asyncio.sleep(0)
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer(reader, writer):
                    pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        if path == "/reset":
            writer.transport.abort()
            return False
        if path == "/slow":
            self.waiting.set()
            await self.release.wait()
        if headers.get("upgrade") == "websocket":
            writer.write(b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            writer.write(await reader.readexactly(4))
            return False
        if path == "/garbage":
            writer.write(b"NOT HTTP\r\n\r\n")
            return False
        if path.startswith("/ticks?"):
            return await _tick(writer, int(path.partition("?")[2]))
        status = 500 if path == "/fail" else 503 if path == "/health" and not self.healthy else 200
        if path.startswith("/code/"):
            status = int(path[6:9])
        if path == "/health":
            self.health_hosts.add(headers["host"])
            status = 400 if self.only_host not in ("", headers["host"]) else status
        self.answered += path != "/health"
        self.checked += path == "/health"
        body = json.dumps({"name": self.name, "path": path, "headers": headers}).encode()
        got = await reader.readexactly(int(headers.get("content-length", 0)))
        body = got if path == "/echo" else body
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nx-delivery-release: forged\r\n\r\n".encode() + body
        )
        await writer.drain()
        if self.closes_idle:
            await asyncio.sleep(CLOSES_AFTER_S)
        return not self.closes_idle


async def _tick(writer: asyncio.StreamWriter, count: int) -> bool:
    writer.write(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(count):
        writer.write(b"5\r\ntick\n\r\n")
        await writer.drain()
        await asyncio.sleep(TICK_S)
    writer.write(b"0\r\n\r\n")
    return True
